package idp

import (
	"runtime"
	"strings"
	"testing"
)

// FuzzDiscoveryCost states the law of the cost of a discovery document: byte for byte of its text it takes at most 100
// times the memory that a typical one takes.
func FuzzDiscoveryCost(f *testing.F) {
	usual := []byte(`{"issuer":"https://id.example.com","jwks_uri":"https://keys.example.com/k","scopes_supported":["openid","profile"],"x":{"a":1}}`)
	cost := func(data []byte) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = parseMetadata(data, fuzzIssuer, memberKeys, false)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	cost(usual)
	typical := cost(usual)
	f.Add(usual)
	for _, s := range []string{`"a":[],`, `"a":{"":{}},`, `"\u0061":1,`, `"`, `[`} {
		f.Add([]byte(`{` + strings.Repeat(s, 4000)))
	}
	f.Add([]byte(`{"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`))
	f.Add([]byte(`{"issuer":"https://id.example.com","jwks_uri":"https://` + strings.Repeat("%61", 9000) + `/"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c := cost(data); c > 100*typical*uint64(1+len(data)/len(usual)) {
			t.Errorf("%d bytes for a text of %d, of which a typical one of %d takes %d", c, len(data), len(usual), typical)
		}
	})
}
