package token

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// maxCost is how many times the memory of a typical input another may take.
const maxCost = 100

// memoryOf returns the bytes that f allocates. Nothing else may run meanwhile.
func memoryOf(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzTokenCost's law: to look for a token in a request, and to verify it, takes at most 100 times the memory that it
// takes for a typical one, whatever the client sends within the bound of a token.
func FuzzTokenCost(f *testing.F) {
	trusted := []*Provider{corp(f, func(p *Provider) {
		p.Sources = []Source{bearer, {Cookie: "sid"}, {QueryParameter: "access_token"}}
	})}
	v := verifier(f, Config{})
	look := func(r request) {
		if cred, err := Extract(r, trusted); err == nil {
			_, _ = v.Verify(context.Background(), cred, trusted)
		}
	}
	shown := func(raw string) request { return request{fields: []string{"authorization:Bearer " + raw}} }
	good := sign(f, RS256, "rsa", rs256Header, claims(map[string]string{"scope": `"orders.read orders.write"`, "realm_access": `{"roles":["a","b"]}`}))
	look(shown(good))
	typical := memoryOf(func() { look(shown(good)) })
	f.Add(good, "", "")
	fill := func(n int, s string) string { return strings.Repeat(s, n/len(s)) }
	for _, payload := range []string{
		`{"a":[` + fill(11800, "[],") + `0]}`, `{"a":[` + fill(11800, "{},") + `0]}`, `{"a":[` + fill(11800, `{"":0},`) + `0]}`,
		`{"a":[` + fill(11800, "0,") + `0]}`, `{"a":"` + fill(11800, `\n`) + `"}`, `{"a":[` + fill(11800, `"\n",`) + `0]}`, `{"a":` + fill(11000, "[") + `}`,
	} {
		f.Add(b64([]byte(rs256Header))+"."+b64([]byte(payload))+"."+strings.Repeat("A", 342), "", "")
	}
	f.Add("", fill(16000, "sid=;"), fill(16000, "a&"))
	f.Add(fill(16000, ","), fill(16000, ","), fill(16000, "%61"))
	f.Fuzz(func(t *testing.T, raw, cookie, query string) {
		r := shown(raw)
		r.fields, r.query = append(r.fields, "cookie:"+cookie), query
		if cost := memoryOf(func() { look(r) }); cost > maxCost*typical {
			t.Errorf("%d bytes, of which a typical token takes %d", cost, typical)
		}
	})
}

// FuzzKeySetCost's law: a key set takes at most 100 times the memory, byte for byte of its text, that a typical one
// takes, and a signature without a kid takes the work of at most four keys, however many there are.
func FuzzKeySetCost(f *testing.F) {
	read := func(data []byte) {
		if set, _, err := ParseJWKS(data, false); err == nil {
			_ = set.VerifySignature(RS256, data, data[:min(len(data), 256)])
		}
	}
	usual := []byte(jwks(jwk("rsa", `"kid":"a","alg":"RS256","use":"sig"`), jwk("rsa2", `"kid":"b"`), jwk("p256", `"kid":"c"`)))
	read(usual)
	typical := memoryOf(func() { read(usual) })
	f.Add(usual)
	f.Add([]byte(jwks(strings.Split(strings.Repeat(jwk("rsa", "")+" ", 40), " ")[:40]...)))
	for _, s := range []string{"{},", `{"":0},`, `[],`, `{"kty":"OKP","crv":"Ed25519","x":""},`, `{"kid":"a"},`} {
		f.Add([]byte(`{"keys":[` + strings.Repeat(s, 250) + `0]}`))
	}
	f.Add([]byte(jwks(fmt.Sprintf(`{"kty":"RSA","e":"AQAB","n":%q}`, strings.Repeat("_", 4000)))))
	f.Fuzz(func(t *testing.T, data []byte) {
		times := uint64(1 + len(data)/len(usual))
		if cost := memoryOf(func() { read(data) }); cost > maxCost*typical*times {
			t.Errorf("%d bytes for a text of %d, of which a typical one of %d takes %d", cost, len(data), len(usual), typical)
		}
	})
}
