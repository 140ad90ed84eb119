package token

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// proofToken is the token that the proofs of these tests are for; its form does not matter to them.
const proofToken = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"

var proofTarget = Target{Method: "GET", Scheme: "https", Host: "api.example.com", Path: "/v1/orders", Token: proofToken}

// proofParts are what a proof is made of; a change of "" takes a member away.
type proofParts struct {
	alg            Algorithm
	key            string // that signs
	header, claims map[string]string
}

func withChanges(members, changes map[string]string) string {
	out := map[string]json.RawMessage{}
	for _, m := range []map[string]string{members, changes} {
		for name, value := range m {
			if value == "" {
				delete(out, name)
			} else {
				out[name] = json.RawMessage(value)
			}
		}
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// proof signs a good proof with changes.
func proof(t testing.TB, p proofParts) string {
	t.Helper()
	if p.alg == "" {
		p.alg, p.key = ES256, "p256"
	}
	sum := sha256.Sum256([]byte(proofToken))
	header := withChanges(map[string]string{"typ": `"dpop+jwt"`, "alg": fmt.Sprintf("%q", p.alg), "jwk": jwk(p.key, "")}, p.header)
	claims := withChanges(map[string]string{
		"jti": `"e1j3V_bKic8-LAEB"`, "htm": `"GET"`, "htu": `"https://api.example.com/v1/orders"`,
		"iat": fmt.Sprint(testNow.Unix()), "ath": fmt.Sprintf("%q", b64(sum[:])),
	}, p.claims)
	return sign(t, p.alg, p.key, header, claims)
}

// shown is a request with these values of the header DPoP, joined as Envoy does.
type shown []string

func (s shown) Header(name string) (string, bool) {
	if name != ProofHeader || len(s) == 0 {
		return "", false
	}
	return strings.Join(s, ","), true
}

func (shown) Query() string { return "" }

func dpopProvider(t testing.TB, change func(*DPoP)) *Provider {
	t.Helper()
	return corp(t, func(p *Provider) {
		p.DPoP = &DPoP{Algorithms: Asymmetric, MaxAge: time.Minute}
		if change != nil {
			change(p.DPoP)
		}
	})
}

func testNonces(t testing.TB) *Nonces {
	t.Helper()
	n, err := NewNonces([]byte(strings.Repeat("nonce", 8)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCheckProofOfEveryAlgorithm(t *testing.T) {
	p := dpopProvider(t, nil)
	for _, a := range []Algorithm{RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA} {
		got, err := p.CheckProof(shown{proof(t, proofParts{alg: a, key: keyFor(a)})}, proofTarget, nil, testNow)
		if err != nil {
			t.Errorf("%s: %v", a, err)
		}
		object, err := parseObject(jwk(keyFor(a), ""))
		if err != nil {
			t.Fatal(err)
		}
		if got.Key != keyThumbprint(object) || !got.Until.Equal(testNow.Add(90*time.Second)) {
			t.Errorf("%s: %+v", a, got)
		}
	}
}

// TestWrongProofs has every way in which a proof may be wrong; all are in the order of RFC 9449 §4.3.
func TestWrongProofs(t *testing.T) {
	good := proof(t, proofParts{})
	quoted := func(s string) string { return fmt.Sprintf("%q", s) }
	claim := func(name, value string) shown {
		return shown{proof(t, proofParts{claims: map[string]string{name: value}})}
	}
	head := func(name, value string) shown {
		return shown{proof(t, proofParts{header: map[string]string{name: value}})}
	}
	private := strings.TrimSuffix(jwk("p256", ""), "}") + `,"d":"c2VlZHNlZWRzZWVkc2VlZHNlZWRzZWVkc2VlZHNlZWQ"}`
	for _, tc := range []struct {
		name  string
		shown shown
	}{
		{"1: none", nil},
		{"1: an empty one", shown{""}},
		{"1: two", shown{good, good}},
		{"1: two, one of which is empty", shown{good, ""}},
		{"2: no JWT", shown{"proof"}},
		{"2: longer than 8 KiB", claim("more", quoted(strings.Repeat("a", 8<<10)))},
		{"2: five parts", shown{good + ".."}},
		{"2: padding", shown{good + "="}},
		{"2: a blank in front", shown{" " + good}},
		{"2: a claim twice", shown{sign(t, ES256, "p256", `{"typ":"dpop+jwt","alg":"ES256","jwk":`+jwk("p256", "")+`}`, `{"jti":"a","jti":"a"}`)}},
		{"2: a key twice", shown{sign(t, ES256, "p256", `{"typ":"dpop+jwt","alg":"ES256","jwk":`+jwk("ed", "")+`,"jwk":`+jwk("p256", "")+`}`, "{}")}},
		{"3: no jti", claim("jti", "")}, {"3: an empty jti", claim("jti", `""`)}, {"3: jti a number", claim("jti", "7")},
		{"3: a jti of 257 bytes", claim("jti", quoted(strings.Repeat("a", 257)))},
		{"3: no htm", claim("htm", "")}, {"3: no htu", claim("htu", "")}, {"3: no iat", claim("iat", "")}, {"3: no ath", claim("ath", "")},
		{"3: iat a text", claim("iat", quoted(fmt.Sprint(testNow.Unix())))}, {"3: iat below zero", claim("iat", "-1")},
		{"4: no typ", head("typ", "")}, {"4: typ JWT", head("typ", `"JWT"`)}, {"4: typ of an access token", head("typ", `"at+jwt"`)},
		{"5: no alg", head("alg", "")}, {"5: none", head("alg", `"none"`)}, {"5: unknown", head("alg", `"ES256K"`)},
		{"5: a shared secret", shown{proof(t, proofParts{alg: HS256, key: "hmac"})}},
		{"5: HS256 with the public key", head("alg", `"HS256"`)},
		{"6: another key", head("jwk", jwk("ed", ""))}, {"6: another key of that kind", head("jwk", jwk("p384", ""))},
		{"6: altered", shown{good[:len(good)-4] + "AAAA"}},
		{"6: no key", head("jwk", "")}, {"6: a key by URL", shown{proof(t, proofParts{header: map[string]string{"jwk": "", "jku": `"https://a/keys"`}})}},
		{"6: a key by name", shown{proof(t, proofParts{header: map[string]string{"jwk": "", "kid": `"p256"`}})}},
		{"6: a key that is a list", head("jwk", "["+jwk("p256", "")+"]")},
		{"6: a weak key", shown{proof(t, proofParts{alg: RS256, key: "weak"})}},
		{"6: a key for encryption", head("jwk", jwk("p256", `"use":"enc"`))},
		{"6: a key of another algorithm", head("jwk", jwk("p256", `"alg":"ES384"`))},
		{"7: a private key", head("jwk", private)},
		{"8: another method", claim("htm", `"POST"`)}, {"8: in lower case", claim("htm", `"get"`)},
		{"9: another scheme", claim("htu", `"http://api.example.com/v1/orders"`)}, {"9: another host", claim("htu", `"https://api.example.org/v1/orders"`)},
		{"9: another port", claim("htu", `"https://api.example.com:8443/v1/orders"`)}, {"9: another path", claim("htu", `"https://api.example.com/v1/orders/"`)},
		{"9: only the path", claim("htu", `"/v1/orders"`)}, {"9: no URI", claim("htu", `"orders"`)},
		{"9: a user", claim("htu", `"https://a@api.example.com/v1/orders"`)}, {"9: dots", claim("htu", `"https://api.example.com/v1/x/../orders"`)},
		{"11: too old", claim("iat", fmt.Sprint(testNow.Unix()-90))}, {"11: from the future", claim("iat", fmt.Sprint(testNow.Unix()+31))},
		{"12: for another token", claim("ath", quoted(b64(make([]byte, 32))))}, {"12: ath is no hash", claim("ath", quoted(proofToken))},
		{"12: ath in another spelling", claim("ath", quoted("fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEp"))},
		{"crit", head("crit", `["a"]`)}, {"b64", head("b64", "true")}, {"zip", head("zip", `"DEF"`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := dpopProvider(t, nil).CheckProof(tc.shown, proofTarget, nil, testNow)
			wraps(t, err, ErrProof)
		})
	}
}

func TestProofsThatAreWrittenOtherwise(t *testing.T) {
	claim := func(name, value string) shown {
		return shown{proof(t, proofParts{claims: map[string]string{name: value}})}
	}
	head := func(name, value string) shown {
		return shown{proof(t, proofParts{header: map[string]string{name: value}})}
	}
	for name, s := range map[string]shown{
		"query and fragment": claim("htu", `"https://api.example.com/v1/orders?a=b#c"`), "capital letters": claim("htu", `"HTTPS://API.Example.com/v1/orders"`),
		"the scheme's port": claim("htu", `"https://api.example.com:443/v1/orders"`), "needless escapes": claim("htu", `"https://api.example.com/%76%31/orders"`),
		"typ with application/": head("typ", `"application/dpop+jwt"`), "members that are not known": head("x", "1"), "claims that are not known": claim("exp", "1"),
		"as old as may be": claim("iat", fmt.Sprint(testNow.Unix()-89)), "as new as may be": claim("iat", fmt.Sprint(testNow.Unix()+30)),
		"a part of a second": claim("iat", fmt.Sprint(testNow.Unix()-5)+".25"), "a nonce that nobody asks for": claim("nonce", `"a"`),
	} {
		if _, err := dpopProvider(t, nil).CheckProof(s, proofTarget, nil, testNow); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProofsOfFewerAlgorithms(t *testing.T) {
	p := dpopProvider(t, func(d *DPoP) { d.Algorithms = NewAlgorithms(EdDSA) })
	if _, err := p.CheckProof(shown{proof(t, proofParts{alg: EdDSA, key: "ed"})}, proofTarget, nil, testNow); err != nil {
		t.Error(err)
	}
	_, err := p.CheckProof(shown{proof(t, proofParts{})}, proofTarget, nil, testNow)
	wraps(t, err, ErrProof)
}

// What is remembered of a proof is another for each key, jti and URI, and the same however the proof is written.
func TestWhatIsRememberedOfAProof(t *testing.T) {
	p := dpopProvider(t, nil)
	ids := map[[32]byte]string{}
	check := func(name string, parts proofParts, target Target) [32]byte {
		t.Helper()
		got, err := p.CheckProof(shown{proof(t, parts)}, target, nil, testNow)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return got.ID
	}
	other := proofTarget
	other.Path = "/v2"
	for name, id := range map[string][32]byte{
		"the proof":   check("the proof", proofParts{}, proofTarget),
		"another jti": check("another jti", proofParts{claims: map[string]string{"jti": `"other"`}}, proofTarget),
		"another URI": check("another URI", proofParts{claims: map[string]string{"htu": `"https://api.example.com/v2"`}}, other),
		"another key": check("another key", proofParts{alg: EdDSA, key: "ed"}, proofTarget),
	} {
		if before, twice := ids[id]; twice {
			t.Errorf("%s is remembered as %s", name, before)
		}
		ids[id] = name
	}
	for name, claims := range map[string]map[string]string{
		"a later iat": {"iat": fmt.Sprint(testNow.Unix() + 1)}, "a query": {"htu": `"https://api.example.com/v1/orders?a"`},
	} {
		if id := check(name, proofParts{claims: claims}, proofTarget); ids[id] != "the proof" {
			t.Errorf("%s makes another proof of it", name)
		}
	}
}

func TestNonces(t *testing.T) {
	n := testNonces(t)
	p := dpopProvider(t, func(d *DPoP) { d.NonceRequired = true })
	others, err := NewNonces([]byte(strings.Repeat("other", 8)))
	if err != nil {
		t.Fatal(err)
	}
	fresh := n.Issue(testNow)
	for _, tc := range []struct {
		name, nonce string
		want        error
	}{
		{"fresh", fresh, nil},
		{"of a replica whose clock is ahead", n.Issue(testNow.Add(nonceSkew)), nil},
		{"as old as may be", n.Issue(testNow.Add(-nonceLife)), nil},
		{"too old", n.Issue(testNow.Add(-nonceLife - time.Second)), ErrNonce},
		{"from the future", n.Issue(testNow.Add(nonceSkew + time.Second)), ErrNonce},
		{"of another key", others.Issue(testNow), ErrNonce},
		{"none", "", ErrNonce},
		{"made up", "abc", ErrNonce},
		{"another time with that MAC", b64(append([]byte{0, 0, 0, 0, 0x6b, 0x49, 0xd2, 1}, make([]byte, 16)...)), ErrNonce},
		{"cut off", fresh[:len(fresh)-4], ErrNonce},
		{"padded", fresh + "=", ErrNonce},
	} {
		t.Run(tc.name, func(t *testing.T) {
			claims := map[string]string{}
			if tc.nonce != "" {
				claims["nonce"] = fmt.Sprintf("%q", tc.nonce)
			}
			raw := proof(t, proofParts{claims: claims})
			if _, err := p.CheckProof(shown{raw}, proofTarget, n, testNow); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if _, err := p.CheckProof(shown{raw}, proofTarget, nil, testNow); !errors.Is(err, ErrNonce) {
				t.Errorf("without a key: %v", err)
			}
		})
	}
	// The nonce comes before the age: who has the wrong time may use the nonce to learn of it.
	_, err = p.CheckProof(shown{proof(t, proofParts{claims: map[string]string{"iat": "1"}})}, proofTarget, n, testNow)
	wraps(t, err, ErrNonce)
	if NonceDue(nonceLife/2) || !NonceDue(nonceLife/2+time.Second) {
		t.Error("a nonce is not renewed when half of its life is over")
	}
	if _, err := NewNonces(make([]byte, 31)); err == nil {
		t.Error("a key of 31 bytes is taken")
	}
}

func TestCheckSenderByKey(t *testing.T) {
	mine, other := digestOf("mine"), digestOf("other")
	jkt := fmt.Sprintf(`{"jkt":%q}`, b64Of(mine))
	both := fmt.Sprintf(`{"jkt":%q,"x5t#S256":%q}`, b64Of(mine), b64Of(other))
	for _, tc := range []struct {
		name, cnf string
		sender    Sender
		ok        bool
	}{
		{"bound, with its proof", jkt, Sender{Key: mine}, true},
		{"bound, as Bearer", jkt, Sender{}, false},
		{"bound, with a proof of another key", jkt, Sender{Key: other}, false},
		{"bound to both, with both", both, Sender{Key: mine, Certificate: other}, true},
		{"bound to both, with the proof alone", both, Sender{Key: mine}, false},
		{"bound to both, with the certificate alone", both, Sender{Certificate: other}, false},
		{"not bound, with a proof", "", Sender{Key: mine}, false},
		{"bound to a certificate, with a proof too", fmt.Sprintf(`{"x5t#S256":%q}`, b64Of(mine)), Sender{Key: mine, Certificate: mine}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id := boundIdentity(t, tc.cnf, SenderIfBound)
			if id.CheckSender(tc.sender) == nil && tc.sender.Key != nil {
				t.Error("a provider without DPoP takes a proof")
			}
			id.Provider.DPoP = &DPoP{Algorithms: Asymmetric}
			if err := id.CheckSender(tc.sender); (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrSender) {
				t.Error(err)
			}
		})
	}
}

func TestNormalizeURI(t *testing.T) {
	for uri, want := range map[string]string{
		"https://a.com": "https://a.com/", "https://a.com/": "https://a.com/", "https://a.com?x": "https://a.com/", "https://A.com#x/y": "https://a.com/",
		"HTTP://a.com:80/x": "http://a.com/x", "http://a.com:443/x": "http://a.com:443/x", "https://a.com:/x": "https://a.com/x", "https://a.com./x": "https://a.com/x",
		"https://[::1]:443/x": "https://[::1]/x", "https://[FE80::1]:8443": "https://[fe80::1]:8443/", "https://a.com/%7euser/%2f%3a": "https://a.com/~user/%2F%3A",
		"https://a.com//x": "https://a.com//x", "https://a.com/x?../y": "https://a.com/x",
		"": "", "a.com/x": "", "ftp://a.com/": "", "https:///x": "", "https://:443/x": "", "https://u@a.com/": "", "https://a.com:x/": "", "https://a:1:2/": "",
		"https://a.com/%": "", "https://a.com/%zz": "", "https://a.com/%2": "", "https://a.com/..": "", "https://a.com/./x": "", "https://a.com/%2e%2E/x": "",
		"https://a.com/x y": "", "https://a.com/x\\y": "", "https://a b/": "", "https://a.com\t/": "", "https://ä.com/": "", "https://./": "",
	} {
		if got, ok := normalizeURI(uri); got != want || ok != (want != "") {
			t.Errorf("%q: %q %t, want %q", uri, got, ok, want)
		}
	}
}

// FuzzProof: only what was signed here is a proof, whoever else writes one; it is one of the key that signed it, and for no
// request but its own.
func FuzzProof(f *testing.F) {
	p := dpopProvider(f, nil)
	signed := map[string][32]byte{}
	object, err := parseObject(jwk("p256", ""))
	if err != nil {
		f.Fatal(err)
	}
	add := func(parts proofParts, key [32]byte) {
		raw := proof(f, parts)
		signed[raw[:strings.LastIndexByte(raw, '.')]] = key
		f.Add(raw, "GET", "https", "api.example.com", "/v1/orders")
	}
	add(proofParts{}, keyThumbprint(object))
	add(proofParts{claims: map[string]string{"htu": `"https://api.example.com:443/%761/orders?x"`}}, keyThumbprint(object))
	ed, err := parseObject(jwk("ed", ""))
	if err != nil {
		f.Fatal(err)
	}
	add(proofParts{alg: EdDSA, key: "ed"}, keyThumbprint(ed))
	f.Add(proof(f, proofParts{}), "POST", "HTTPS", "API.example.com:443", "/v1/%6frders")
	f.Add("a.b.c", "GET", "https", "a", "/")
	if _, isECDSA := testKeys()["p256"].(*ecdsa.PrivateKey); !isECDSA {
		f.Fatal("seeds must be the same in every process")
	}
	f.Fuzz(func(t *testing.T, raw, method, scheme, host, path string) {
		got, err := p.CheckProof(shown{raw}, Target{Method: method, Scheme: scheme, Host: host, Path: path, Token: proofToken}, nil, testNow)
		if err != nil {
			if !errors.Is(err, ErrProof) || strings.Contains(err.Error(), raw) && len(raw) > 20 {
				t.Errorf("error %v", err)
			}
			return
		}
		key, ours := signed[raw[:strings.LastIndexByte(raw, '.')]]
		if !ours || got.Key != key {
			t.Errorf("%q is taken for a proof of %x", raw, got.Key)
		}
		if uri, ok := normalizeURI(scheme + "://" + host + path); !ok || uri != "https://api.example.com/v1/orders" || method != "GET" {
			t.Errorf("a proof for %s %s", method, uri)
		}
	})
}
