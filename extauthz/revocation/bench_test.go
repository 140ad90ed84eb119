package revocation

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/sallyport/sallyport/extauthz/token"
)

const million = 1_000_000

// sessions are n revocations of sessions, with values such as Keycloak's.
func sessions(n int) []token.Revocation {
	out := make([]token.Revocation, n)
	for i := range out {
		out[i] = token.Revocation{
			Scope: token.RevocationScope{Issuer: issuer}, By: token.RevokedBySession,
			Value: fmt.Sprintf("%08x-5f3c-4b1e-9d2a-0123456789ab", i), Expires: noon.Add(time.Hour),
		}
	}
	return out
}

// inLists puts in a million revocations, in lists as long as an object may be.
func inLists(s *Set, all []token.Revocation) {
	const most = 1000
	for i := 0; i < len(all); i += most {
		s.Put(FromLogout, fmt.Sprint(i), s.Digest(all[i:min(i+most, len(all))]), noon)
	}
}

// BenchmarkMillion says what a million revocations cost: bytes of memory each, and the time to put them in.
func BenchmarkMillion(b *testing.B) {
	all := sessions(million)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := NewSet()
		inLists(s, all)
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(s)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/million, "B/entry")
}

func BenchmarkRevoked(b *testing.B) {
	full := NewSet()
	inLists(full, sessions(million))
	revoked := proved("", func(id *token.Identity) { id.SessionID = sessions(1)[0].Value })
	for _, tt := range []struct {
		name string
		set  *Set
		id   *token.Identity
		want bool
	}{
		{"nothing is revoked", NewSet(), proved("shop"), false},
		{"a million, another issuer", full, proved("shop", func(id *token.Identity) { id.Issuer = "https://login.example.org/a/realm" }), false},
		{"a million, not among them", full, proved("shop"), false},
		{"a million, one of them", full, revoked, true},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if tt.set.Revoked(tt.id, noon) != tt.want {
					b.Fatal(!tt.want)
				}
			}
		})
	}
}

// BenchmarkRevokedSpread looks for tokens all over a million, whose places are not in the processor's cache.
func BenchmarkRevokedSpread(b *testing.B) {
	full := NewSet()
	inLists(full, sessions(million))
	id, value, i := proved(""), []byte(sessions(1)[0].Value), 0
	id.SessionID = unsafe.String(&value[0], len(value)) // changes with value
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 245_489) % million
		for digit, rest := 7, i; digit >= 0; digit, rest = digit-1, rest>>4 {
			value[digit] = "0123456789abcdef"[rest&15]
		}
		if !full.Revoked(id, noon) {
			b.Fatal("not revoked")
		}
	}
}
