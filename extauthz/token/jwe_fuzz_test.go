package token

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// FuzzEncrypted's law: of all byte strings only the tokens that were encrypted pass, each to the last byte; and whatever
// else is said of one wraps one error. Tokens for RSA differ in each process, so none is among them, but their shape is.
func FuzzEncrypted(f *testing.F) {
	p := sealedCorp(f, nil)
	issued := make(map[string]bool)
	for _, kind := range sealKinds {
		s := sealing{sealKind: kind, plaintext: sign(f, ES256, "p256", `{"alg":"ES256"}`, claims(nil)), more: `"cty":"JWT"`}
		if kind.key == "rsa2" {
			f.Add(b64([]byte(`{"alg":"RSA-OAEP-256","enc":"`+kind.enc+`"}`)) + "." + strings.Repeat("A", 342) + ".AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA")
			continue
		}
		raw := s.seal(f)
		issued[raw] = true
		f.Add(raw)
	}
	f.Add("....")
	f.Add(b64([]byte(`{"alg":"dir","enc":"A128GCM","zip":"DEF"}`)) + "..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA")
	v, trusted := verifier(f, Config{}), []*Provider{p}
	for raw := range issued {
		if _, err := v.Verify(context.Background(), Credential{raw, bearer}, trusted); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		id, err := v.Verify(context.Background(), Credential{raw, bearer}, trusted)
		if (err == nil) != issued[raw] || (id == nil) != (err != nil) {
			t.Fatalf("issued: %v, error: %v", issued[raw], err)
		}
		if err != nil {
			oneSentinel(t, err)
		}
	})
}

// FuzzPrivateKeys' law: a text gives keys or problems; of a key that is taken, go-jose has the same opinion; and a problem
// holds no line of the text.
func FuzzPrivateKeys(f *testing.F) {
	for _, name := range []string{"rsa2", "p256", "p521", "sym16", "sym64"} {
		f.Add(privateJWK(name, `"kid":"one"`))
		f.Add(jwks(privateJWK(name, `"kid":"one","use":"enc"`), privateJWK("p384", `"kid":"two"`)))
	}
	f.Add(pemOf(f, "p256"))
	f.Add(strings.Replace(privateJWK("rsa2", ""), `"p":"`, `"p":"AA","x":"`, 1))
	f.Fuzz(func(t *testing.T, text string) {
		set, problems := ParsePrivateKeys(map[string][]byte{"entry": []byte(text)})
		if set.Len() == 0 && len(problems) == 0 || set.Len() != len(set.KeyIDs()) || !slices.IsSorted(set.KeyIDs()) {
			t.Fatalf("%d keys %q, problems %q", set.Len(), set.KeyIDs(), problems)
		}
		for _, problem := range problems {
			if s := problem.Error(); len(text) > 40 && !strings.Contains(s, "have the kid") && strings.Contains(s, text[len(text)/2:len(text)/2+20]) {
				t.Fatalf("a secret shows in %q", s)
			}
		}
		if trimmed := strings.TrimSpace(text); set.Len() == 1 && strings.HasPrefix(trimmed, "{") && len(problems) == 0 && set.byID["entry"] != nil {
			var jwk jose.JSONWebKey
			if err := jwk.UnmarshalJSON([]byte(trimmed)); err != nil {
				t.Fatalf("go-jose refuses %q: %v", text, err)
			}
			if !set.keys[0].same(&privateKey{material: jwk.Key}) {
				t.Fatalf("go-jose reads another key in %q", text)
			}
		}
	})
}
