package token

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"testing"
)

// mutants judges altered tokens with one verifier that has just verified and cached the original, and with one that
// keeps nothing.
type mutants struct {
	original   string
	trusted    []*Provider
	warm, cold *Verifier
	tried      int
}

// newMutants issues the original: one token of this algorithm, with everything in it that a mutation may touch.
func newMutants(t *testing.T, a Algorithm) *mutants {
	t.Helper()
	p := corp(t, func(p *Provider) {
		p.Algorithms, p.Audiences = NewAlgorithms(a), []string{"a"}
		if a.bit()&hmacAlgorithms != 0 {
			p.Static = mustSet(t, jwks(jwk("hmac", `"kid":"hmac"`)), true)
		}
	})
	payload := fmt.Sprintf(`{"iss":%q,"aud":"a","sub":"al","exp":%d}`, testIssuer, testNow.Unix()+300)
	m := &mutants{
		original: sign(t, a, keyFor(a), fmt.Sprintf(`{"alg":%q,"kid":%q}`, a, keyFor(a)), payload),
		trusted:  []*Provider{p}, warm: verifier(t, Config{CacheBytes: 1 << 20}), cold: verifier(t, Config{}),
	}
	m.intact(t)
	return m
}

// intact wants the original to pass, from the cache where there is one.
func (m *mutants) intact(t *testing.T) {
	t.Helper()
	for _, v := range []*Verifier{m.warm, m.warm, m.cold} {
		if _, err := v.Verify(context.Background(), Credential{m.original, bearer}, m.trusted); err != nil {
			t.Fatalf("the original is refused: %v", err)
		}
	}
	if entries, _, hits, _ := m.warm.CacheStats(); entries != 1 || hits == 0 {
		t.Fatalf("the cache holds %d tokens and found %d", entries, hits)
	}
}

// refuse wants raw refused by every verifier, unless it is the original.
func (m *mutants) refuse(t *testing.T, what, raw string, verifiers ...*Verifier) {
	t.Helper()
	if raw == m.original {
		return
	}
	m.tried++
	for _, v := range verifiers {
		if id, err := v.Verify(context.Background(), Credential{raw, bearer}, m.trusted); err == nil || id != nil {
			t.Errorf("%s passes: %q, of %q", what, raw, m.original)
		}
	}
}

func (m *mutants) refuseBoth(t *testing.T, what, raw string) {
	t.Helper()
	m.refuse(t, what, raw, m.warm, m.cold)
}

// algorithms are all of them, and under -short, as .ci/mutate runs the tests some hundred times, two that cost little.
func algorithms() []Algorithm {
	if testing.Short() {
		return []Algorithm{ES256, HS256}
	}
	return everyAlgorithm
}

// TestEveryByteOfAToken changes each byte of one token per algorithm to each other value. With the original in the
// cache, and without a cache: none passes. What is no base64url, and what is wrong before the signature is looked at,
// costs little; of the rest, whose signature is checked, every value is tried where SALLYPORT_MUTATIONS is "all", and
// otherwise every ninth, and every 61st where a check takes long or time is short.
func TestEveryByteOfAToken(t *testing.T) {
	all := os.Getenv("SALLYPORT_MUTATIONS") == "all"
	for _, a := range algorithms() {
		t.Run(string(a), func(t *testing.T) {
			m, step := newMutants(t, a), 9
			if a == ES384 || a == ES512 || testing.Short() {
				step = 61
			}
			raw := []byte(m.original)
			for i := range raw {
				before := raw[i]
				for value := range 256 {
					if signed := sextet(byte(value)) >= 0 && sextet(before) >= 0; signed && !all && (value+i)%step != 0 {
						continue
					}
					raw[i] = byte(value)
					m.refuse(t, fmt.Sprintf("byte %d as %#x", i, value), string(raw), m.warm)
					if value%16 == i%16 {
						m.refuse(t, fmt.Sprintf("byte %d as %#x, cold", i, value), string(raw), m.cold)
					}
				}
				raw[i] = before
				m.refuseBoth(t, fmt.Sprintf("without byte %d", i), m.original[:i]+m.original[i+1:])
				m.refuseBoth(t, fmt.Sprintf("byte %d twice", i), m.original[:i+1]+m.original[i:])
				m.refuseBoth(t, fmt.Sprintf("cut at %d", i), m.original[:i])
			}
			m.intact(t)
			t.Logf("%d mutations of a token of %d bytes", m.tried, len(raw))
		})
	}
}

// base64Changes write a segment so that a lenient reader finds the same bytes in it.
var base64Changes = []struct {
	name  string
	apply func(segment string, at int) string
}{
	{"padded", func(s string, _ int) string { return s + strings.Repeat("=", (4-len(s)%4)%4) }},
	{"one =", func(s string, _ int) string { return s + "=" }},
	{"two =", func(s string, _ int) string { return s + "==" }},
	{"loose bits", func(s string, _ int) string { return looseBits(s) }},
	{"the other alphabet", func(s string, _ int) string { return strings.NewReplacer("-", "+", "_", "/").Replace(s) }},
	{"percent", func(s string, at int) string { return s[:at] + fmt.Sprintf("%%%02X", s[at]) + s[at+1:] }},
	{"line feed", func(s string, at int) string { return s[:at] + "\n" + s[at:] }},
	{"carriage return", func(s string, at int) string { return s[:at] + "\r" + s[at:] }},
	{"both", func(s string, at int) string { return s[:at] + "\r\n" + s[at:] }},
	{"space", func(s string, at int) string { return s[:at] + " " + s[at:] }},
	{"tab", func(s string, at int) string { return s[:at] + "\t" + s[at:] }},
	{"NUL", func(s string, at int) string { return s[:at] + "\x00" + s[at:] }},
	{"fullwidth", func(s string, at int) string { return s[:at] + "Ａ" + s[at+1:] }},
	{"empty", func(string, int) string { return "" }},
	{"encoded twice", func(s string, _ int) string { return b64([]byte(s)) }},
	{"one A more", func(s string, _ int) string { return s + "A" }},
	{"four A more", func(s string, _ int) string { return s + "AAAA" }},
	{"four A in front", func(s string, _ int) string { return "AAAA" + s }},
}

// TestSegmentsWrittenOtherwise writes each segment in each other way, at each place, and puts segments where they do
// not belong.
func TestSegmentsWrittenOtherwise(t *testing.T) {
	tried := 0
	for _, a := range algorithms() {
		m := newMutants(t, a)
		other := strings.Split(sign(t, a, keyFor(a), fmt.Sprintf(`{"alg":%q}`, a), claims(nil)), ".")
		whole := strings.Split(m.original, ".")
		for n, segment := range whole {
			replaced := func(by string) string {
				parts := append([]string{}, whole...)
				parts[n] = by
				return strings.Join(parts, ".")
			}
			for _, c := range base64Changes {
				for at := range segment {
					changed := c.apply(segment, at)
					m.refuseBoth(t, fmt.Sprintf("%s: segment %d, %s at %d", a, n, c.name, at), replaced(changed))
					if changed == c.apply(segment, (at+1)%len(segment)) {
						break // the place makes no difference
					}
				}
			}
			m.refuseBoth(t, "a segment of another token", replaced(other[n]))
		}
		h, p, s := whole[0], whole[1], whole[2]
		for _, raw := range []string{
			h + "." + p, h + "." + p + ".", p + "." + h + "." + s, h + "." + s + "." + p, h + "." + p + "." + s + ".", "." + m.original, m.original + "." + s,
			h + ".." + s, h + "." + p + ".." + s, h + "." + p + "." + p + "." + s, m.original + m.original, m.original + "," + m.original, m.original + " ",
			"Bearer " + m.original, h + "." + h + "." + s, h + "." + p + "." + p, strings.ToUpper(m.original), strings.ToLower(m.original), m.original + "\n",
			fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, p, h, s), fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, p, h, s),
			h + "." + p + "." + s + strings.Repeat("A", maxTokenBytes), h + "." + p + "." + other[2],
		} {
			m.refuseBoth(t, string(a)+": segments", raw)
		}
		m.intact(t)
		tried += m.tried
	}
	t.Logf("%d tokens", tried)
}

// TestManyMutations lays up to four random changes, of bytes and of segments, over one another.
func TestManyMutations(t *testing.T) {
	rounds := 1500
	if testing.Short() {
		rounds = 100
	}
	r := mathrand.New(mathrand.NewPCG(11, 4))
	tried := 0
	for _, a := range algorithms() {
		m := newMutants(t, a)
		for range rounds {
			raw := m.original
			for range 1 + r.IntN(4) {
				raw = mutate(r, raw)
			}
			m.refuseBoth(t, string(a)+": mutated", raw)
		}
		m.intact(t)
		tried += m.tried
	}
	t.Logf("%d tokens under the seed 11, 4", tried)
}

// mutate makes one random change.
func mutate(r *mathrand.Rand, raw string) string {
	if raw == "" {
		return "."
	}
	i, j := r.IntN(len(raw)), r.IntN(len(raw))
	i, j = min(i, j), max(i, j)
	switch r.IntN(7) {
	case 0:
		return raw[:i] + string(rune('A'+r.IntN(26))) + raw[i+1:]
	case 1:
		return raw[:i] + raw[i:j] + raw[i:]
	case 2:
		return raw[:i] + raw[j:]
	case 3:
		return raw[:i] + raw[j:] + raw[i:j]
	case 4:
		b := []byte(raw)
		b[i] ^= 1 << r.IntN(8)
		return string(b)
	case 5:
		parts := strings.Split(raw, ".")
		n := r.IntN(len(parts))
		if parts[n] != "" {
			c := base64Changes[r.IntN(len(base64Changes))]
			parts[n] = c.apply(parts[n], r.IntN(len(parts[n])))
		}
		return strings.Join(parts, ".")
	}
	b := []byte(raw)
	b[i], b[j] = b[j], b[i]
	return string(b)
}
