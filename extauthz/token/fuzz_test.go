package token

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// FuzzVerify's law: of all byte strings only the tokens that were issued verify. So whatever the fuzzer makes
// of them passes only if it is one of them to the last byte, cache or not. (The twin of an ECDSA signature, see
// TestECDSAHasATwin, is not found by chance.)
func FuzzVerify(f *testing.F) {
	secret := mustSet(f, jwks(jwk("hmac", `"kid":"h"`)), true)
	public := corp(f, func(p *Provider) { p.Fingerprint[1] = 1 })
	symmetric := corp(f, func(p *Provider) {
		p.Issuer, p.Static, p.Algorithms = "https://hs.example.com", secret, NewAlgorithms(HS256)
	})
	trusted := []*Provider{public, symmetric}
	issued := make(map[string]bool)
	issue := func(a Algorithm, key, header, payload string) {
		raw := sign(f, a, key, header, payload)
		issued[raw] = true
		f.Add(raw)
	}
	issue(RS256, "rsa", rs256Header, claims(nil))
	issue(ES256, "p256", `{"alg":"ES256","kid":"p256","typ":"at+jwt"}`, claims(map[string]string{"aud": `["x","orders-api"]`}))
	issue(EdDSA, "ed", `{"alg":"EdDSA"}`, claims(map[string]string{"scope": `"a b"`}))
	issue(HS256, "hmac", `{"alg":"HS256","kid":"h"}`, claims(map[string]string{"iss": `"https://hs.example.com"`}))
	for _, header := range []string{`{"alg":"none"}`, `{"alg":"RS256","crit":["x"]}`, `{"alg":"HS256","kid":"rsa"}`} {
		f.Add(b64([]byte(header)) + "." + b64([]byte(claims(nil))) + ".AAAA")
	}
	f.Add("..")
	cached, plain := verifier(f, Config{CacheBytes: 1 << 20}), verifier(f, Config{})
	for raw := range issued {
		if _, err := cached.Verify(context.Background(), Credential{raw, bearer}, trusted); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for _, v := range []*Verifier{cached, plain} {
			id, err := v.Verify(context.Background(), Credential{raw, bearer}, trusted)
			if (err == nil) != issued[raw] {
				t.Fatalf("issued: %v, error: %v", issued[raw], err)
			}
			if (id == nil) != (err != nil) {
				t.Fatal("an identity beside an error, or neither")
			}
			if err != nil {
				oneSentinel(t, err)
			}
		}
	})
}

func oneSentinel(t *testing.T, err error) {
	t.Helper()
	n := 0
	for _, sentinel := range allSentinels {
		if strings.Contains(err.Error(), sentinel.Error()) {
			n++
		}
	}
	if n != 1 {
		t.Fatalf("%q wraps %d sentinels", err, n)
	}
}

// FuzzStrictJSON's law: what the strict reader takes, encoding/json takes too, as one object of the same
// value, whose members stand there once each; and what encoding/json refuses, the strict reader refuses.
func FuzzStrictJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"a":[1,-0.5e+3,"x",true,false,null,{"b":{}}]}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":"\ud83d\ude00"}`,
		`{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":"\/\b\f\n\r\t\"\\"}`, ` {"a" : [ ] } `, `{}x`, `[]`, `{"a":01}`, `{"a":1e999}`, "\ufeff{}",
		`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, claims(nil), rs256Header,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseObject(text)
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		var want map[string]any
		reference := decoder.Decode(&want)
		if reference == nil {
			if _, trailing := decoder.Token(); trailing != io.EOF {
				reference = trailing
			}
		}
		switch {
		case err != nil:
			return
		case reference != nil || want == nil:
			t.Fatalf("encoding/json refuses %q: %v", text, reference)
		case !reflect.DeepEqual(got, want):
			t.Fatalf("%q: read %v, encoding/json %v", text, got, want)
		case names(t, text) != countNames(got):
			t.Fatalf("%q has a member twice", text)
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := parseObject(string(again))
		if err != nil || !reflect.DeepEqual(got, twice) {
			t.Fatalf("%q does not survive being written: %v", text, err)
		}
	})
}

// names counts the names of members in text with encoding/json's tokenizer.
func names(t *testing.T, text string) (n int) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var inObject []bool
	isName := false
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			inObject, isName = append(inObject, token == json.Delim('{')), token == json.Delim('{')
			continue
		case json.Delim('}'), json.Delim(']'):
			inObject = inObject[:len(inObject)-1]
			isName = len(inObject) > 0 && inObject[len(inObject)-1]
			continue
		}
		if isName {
			n++
		}
		isName = !isName && len(inObject) > 0 && inObject[len(inObject)-1]
	}
}

func countNames(v any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		n = len(v)
		for _, member := range v {
			n += countNames(member)
		}
	case []any:
		for _, element := range v {
			n += countNames(element)
		}
	}
	return n
}

// FuzzParseJWKS's law: every key of a set is strong and of the right kind, kids are unique, each key is
// either imported or reported, the same bytes give the same set, and go-jose reads the same keys.
func FuzzParseJWKS(f *testing.F) {
	for _, symmetric := range []bool{false, true} {
		f.Add([]byte(jwks(jwk("rsa", `"kid":"a"`), jwk("p256", `"kid":"b","use":"sig"`), jwk("ed", `"alg":"EdDSA"`))), symmetric)
		f.Add([]byte(jwks(jwk("hmac", `"kid":"h","key_ops":["verify"]`))), symmetric)
		f.Add([]byte(jwks(jwk("p384", `"d":"AAAA"`), jwk("p521", ""))), symmetric)
		f.Add([]byte(jwks(`{"kty":"RSA","n":"AQAB","e":"Aw"}`, `1`, `{}`)), symmetric)
		f.Add([]byte(`{"keys":null}`), symmetric)
	}
	f.Fuzz(func(t *testing.T, data []byte, symmetric bool) {
		before := bytes.Clone(data)
		set, problems, err := ParseJWKS(data, symmetric)
		if !bytes.Equal(before, data) {
			t.Fatal("the bytes were written to")
		}
		again, problemsAgain, errAgain := ParseJWKS(data, symmetric)
		if (err == nil) != (errAgain == nil) || len(problems) != len(problemsAgain) {
			t.Fatal("the second reading differs")
		}
		if err != nil {
			return
		}
		if !set.same(again) || !reflect.DeepEqual(abilities(set), abilities(again)) {
			t.Fatal("the second reading gives another set")
		}
		object, _ := parseObject(string(data))
		sameAsJose(t, object["keys"].([]any), set)
		if n := len(object["keys"].([]any)); n != set.Len()+len(problems) {
			t.Fatalf("%d keys: %d imported, %d reported", n, set.Len(), len(problems))
		}
		if len(set.KeyIDs())+len(set.nameless) != set.Len() {
			t.Fatal("a kid stands there twice")
		}
		for _, k := range set.keys {
			strong(t, k, symmetric)
		}
	})
}

// sameAsJose wants each key of set to be one that go-jose reads in list. What go-jose reads beside the key itself, we do
// not: certificates and thumbprints; and a modulus above 4096 bits it never takes.
func sameAsJose(t *testing.T, list []any, set *KeySet) {
	t.Helper()
	var theirs []*jose.JSONWebKey
	for _, element := range list {
		jwk, _ := element.(map[string]any)
		only := map[string]any{}
		for _, name := range []string{"kty", "crv", "n", "e", "x", "y", "k"} {
			if s, ok := jwk[name].(string); ok {
				only[name] = s
			}
		}
		text, err := json.Marshal(only)
		if err != nil {
			t.Fatal(err)
		}
		if k := joseKey(text); k != nil {
			theirs = append(theirs, k)
		}
	}
	for _, k := range set.keys {
		if m, ok := k.material.(*rsa.PublicKey); ok && m.N.BitLen() > jose.MaxRSAModulusBits {
			continue
		}
		if !slices.ContainsFunc(theirs, func(their *jose.JSONWebKey) bool { return samePublic(k, their) }) {
			t.Errorf("go-jose reads no key like %+v", k.material)
		}
	}
}

// strong states the rules for keys once more, in other words than the import does.
func strong(t *testing.T, k *key, symmetric bool) {
	t.Helper()
	var fits Algorithms
	switch m := k.material.(type) {
	case *rsa.PublicKey:
		if m.Size() >= 256 && m.N.Bit(0) == 1 && m.E&1 == 1 && m.E > 2 {
			fits = NewAlgorithms(RS256, RS384, RS512, PS256, PS384, PS512)
		}
	case *ecdsa.PublicKey:
		if _, err := m.ECDH(); err == nil {
			fits = map[int]Algorithms{256: NewAlgorithms(ES256), 384: NewAlgorithms(ES384), 521: NewAlgorithms(ES512)}[m.Params().BitSize]
		}
	case ed25519.PublicKey:
		if len(m) == 32 {
			fits = NewAlgorithms(EdDSA)
		}
	case []byte:
		for _, a := range []Algorithm{HS256, HS384, HS512} {
			if symmetric && len(m) >= method(a).(*jwt.SigningMethodHMAC).Hash.Size() {
				fits |= NewAlgorithms(a)
			}
		}
	}
	if k.algorithms == 0 || k.algorithms&^fits != 0 || symmetric != k.algorithms.Symmetric() {
		t.Fatalf("a key that fits %q may verify %q", fits, k.algorithms)
	}
}

// FuzzExtract's law: a token comes back only if it stands in the request literally, at the place that it is
// said to come from; and a request that shows a second one gives none.
func FuzzExtract(f *testing.F) {
	for _, value := range []string{"Bearer abc", "bearer  abc", "Basic x", "Bearer", "Bearer\t0", "Bearer a,Bearer b", "Digest a=\"b\", Bearer c", ""} {
		f.Add(value, "a=b; sid=abc", "x=y&access_token=abc")
		f.Add(value, "sid=a,sid=b", "")
		f.Add(value, "", "%61ccess_token=a")
	}
	trusted := []*Provider{{Sources: []Source{bearer, {Cookie: "sid"}}}, {Sources: []Source{{QueryParameter: "access_token"}}}}
	f.Fuzz(func(t *testing.T, authorization, cookie, query string) {
		r := request{fields: []string{"authorization:" + authorization, "cookie:" + cookie}, query: query}
		got, err := Extract(r, trusted)
		if err != nil {
			if got != (Credential{}) {
				t.Fatal("a token beside an error")
			}
			oneSentinel(t, err)
			return
		}
		if got.Raw == "" {
			if got != (Credential{}) {
				t.Fatal("a place without a token")
			}
			return
		}
		stands := map[Source]bool{
			bearer:                           strings.Contains(authorization, got.Raw),
			{Cookie: "sid"}:                  strings.Contains(cookie, "sid="+got.Raw),
			{QueryParameter: "access_token"}: strings.Contains(query, "access_token="+got.Raw),
		}
		if !stands[got.Source] {
			t.Fatalf("%q does not stand at %+v", got.Raw, got.Source)
		}
		second := []request{
			{fields: []string{"authorization:" + authorization, "authorization:Bearer second", "cookie:" + cookie}, query: query},
			{fields: []string{"authorization:" + authorization, "cookie:" + cookie, "cookie:sid=second"}, query: query},
			{fields: r.fields, query: query + "&access_token=second"},
		}
		for _, r := range second {
			if got, err := Extract(r, trusted); err == nil {
				t.Fatalf("of two tokens %q was taken", got.Raw)
			}
		}
	})
}
