package token

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
)

func digestOf(text string) *[sha256.Size]byte {
	sum := sha256.Sum256([]byte(text))
	return &sum
}

func b64Of(sum *[sha256.Size]byte) string { return base64.RawURLEncoding.EncodeToString(sum[:]) }

// boundIdentity is that of a token with this cnf, in JSON, of a provider in this mode; "" for none.
func boundIdentity(t *testing.T, cnf string, mode SenderMode) *Identity {
	t.Helper()
	object, err := parseObject(claims(map[string]string{"cnf": cnf}))
	if err != nil {
		t.Fatal(err)
	}
	id, err := NewIdentity(corp(t, func(p *Provider) { p.Sender = mode }), object, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestCheckSenderByCertificate(t *testing.T) {
	mine, other := digestOf("mine"), digestOf("other")
	bound := fmt.Sprintf(`{"x5t#S256":%q}`, b64Of(mine))
	for _, tc := range []struct {
		name        string
		cnf         string
		certificate *[sha256.Size]byte
		// whether IfBound, Required and None refuse
		ifBound, required, none bool
	}{
		{"not bound", "", nil, false, true, false},
		{"not bound, with a certificate", "", mine, false, true, false},
		{"bound, with the certificate", bound, mine, false, false, false},
		{"bound, with another", bound, other, true, true, false},
		{"bound, without one", bound, nil, true, true, false},
		{"null", "null", mine, true, true, false},
		{"no member", "{}", mine, true, true, false},
		{"a text", fmt.Sprintf("%q", b64Of(mine)), mine, true, true, false},
		{"a list", "[" + bound + "]", mine, true, true, false},
		{"an unknown method", `{"kid":"a"}`, mine, true, true, false},
		{"an unknown method beside it", fmt.Sprintf(`{"x5t#S256":%q,"x5t":"a"}`, b64Of(mine)), mine, true, true, false},
		{"in other case", fmt.Sprintf(`{"X5T#s256":%q}`, b64Of(mine)), mine, true, true, false},
		{"no text", `{"x5t#S256":7}`, mine, true, true, false},
		{"nothing", `{"x5t#S256":""}`, nil, true, true, false},
		{"padded", fmt.Sprintf(`{"x5t#S256":%q}`, b64Of(mine)+"="), mine, true, true, false},
		{"a byte short", fmt.Sprintf(`{"x5t#S256":%q}`, base64.RawURLEncoding.EncodeToString(mine[:31])), mine, true, true, false},
		{"a byte long", fmt.Sprintf(`{"x5t#S256":%q}`, base64.RawURLEncoding.EncodeToString(append(mine[:], 0))), mine, true, true, false},
		{"in hexadecimal", fmt.Sprintf(`{"x5t#S256":"%x"}`, mine[:]), mine, true, true, false},
	} {
		for mode, refuses := range map[SenderMode]bool{SenderIfBound: tc.ifBound, SenderRequired: tc.required, SenderAny: tc.none} {
			t.Run(fmt.Sprint(tc.name, " ", mode), func(t *testing.T) {
				err := boundIdentity(t, tc.cnf, mode).CheckSender(Sender{Certificate: tc.certificate})
				if (err != nil) != refuses || err != nil && !errors.Is(err, ErrSender) {
					t.Errorf("%v; refuses: want %t", err, refuses)
				}
			})
		}
	}
}

// The last character of a digest in base64url has two bits that belong to no byte: of the four spellings one is taken.
func TestADigestHasOneSpelling(t *testing.T) {
	mine := digestOf("mine")
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	text := b64Of(mine)
	taken := 0
	for _, last := range alphabet {
		id := boundIdentity(t, fmt.Sprintf(`{"x5t#S256":%q}`, text[:42]+string(last)), SenderIfBound)
		if id.CheckSender(Sender{Certificate: mine}) == nil {
			taken++
		}
	}
	if taken != 1 {
		t.Errorf("%d spellings are taken", taken)
	}
}

// A token of the cache is judged by what this request proves, not by what an earlier one did.
func TestTheCacheProvesNothingOfTheSender(t *testing.T) {
	v := verifier(t, Config{CacheBytes: 1 << 20})
	p := corp(t, nil)
	raw := sign(t, RS256, "rsa", rs256Header, claims(map[string]string{"cnf": fmt.Sprintf(`{"x5t#S256":%q}`, b64Of(digestOf("mine")))}))
	for _, wantHit := range []bool{false, true} {
		hit, err := hits(t, v, raw, p)
		if err != nil || hit != wantHit {
			t.Fatalf("from the cache: %t, %v", hit, err)
		}
		id, err := v.Verify(t.Context(), Credential{Raw: raw, Source: bearer}, []*Provider{p})
		if err != nil {
			t.Fatal(err)
		}
		if err := id.CheckSender(Sender{Certificate: digestOf("mine")}); err != nil {
			t.Error(err)
		}
		wraps(t, id.CheckSender(Sender{Certificate: digestOf("other")}), ErrSender)
		wraps(t, id.CheckSender(Sender{}), ErrSender)
	}
}

// An answer that says token_type DPoP, and not to what the token is bound, opens nothing.
func TestAnOpaqueTokenOfTypeDPoPIsBound(t *testing.T) {
	for _, tc := range []struct {
		name, more string
		want       error
	}{
		{"Bearer", `"token_type":"Bearer",`, nil},
		{"DPoP", `"token_type":"DPoP",`, ErrSender},
		{"DPoP, with its key", `"token_type":"dpop","cnf":{"jkt":"` + b64Of(digestOf("mine")) + `"},`, nil},
		{"bound to a key", `"cnf":{"jkt":"` + b64Of(digestOf("other")) + `"},`, ErrSender},
	} {
		id, err := NewIntrospected(dpopProvider(t, nil), `{"active":true,`+tc.more+claims(nil)[1:], testNow)
		if err != nil {
			t.Fatal(err)
		}
		var sender Sender
		if id.confirmation != nil {
			sender.Key = digestOf("mine")
		}
		if err := id.CheckSender(sender); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}
