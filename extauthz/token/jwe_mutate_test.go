package token

import (
	"encoding/base64"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"testing"
)

// mutatedKinds are one of each way to come by the key of the content, and of each kind of content.
var mutatedKinds = []sealKind{direct, onP256, onCBC, onRSA, {"ECDH-ES+A256KW", "A256CBC-HS512", "p384"}}

// newSealedMutants issues an encrypted token for a key of this kind.
func newSealedMutants(t *testing.T, kind sealKind) *mutants {
	t.Helper()
	p := corp(t, func(p *Provider) { p.Decryption = privateSet(t, kind.key) })
	inside := sign(t, ES256, "p256", `{"alg":"ES256"}`, fmt.Sprintf(`{"iss":%q,"aud":"orders-api","sub":"al","exp":%d}`, testIssuer, testNow.Unix()+300))
	m := &mutants{
		original: sealing{sealKind: kind, plaintext: inside}.seal(t),
		trusted:  []*Provider{p}, warm: verifier(t, Config{CacheBytes: 1 << 20}), cold: verifier(t, Config{}),
	}
	m.intact(t)
	return m
}

// TestEveryByteOfAnEncryptedToken changes each byte to other values, takes it away, doubles it and cuts the token there.
// Every value is tried where SALLYPORT_MUTATIONS is "all", and otherwise some that are base64url and more that are not.
func TestEveryByteOfAnEncryptedToken(t *testing.T) {
	all := os.Getenv("SALLYPORT_MUTATIONS") == "all"
	for _, kind := range mutatedKinds {
		t.Run(kind.String(), func(t *testing.T) {
			m, step := newSealedMutants(t, kind), 31
			if kind == onRSA {
				step = 127
			}
			raw := []byte(m.original)
			for i := range raw {
				before := raw[i]
				for value := range 256 {
					each := 7
					if sextet(byte(value)) >= 0 {
						each = step // its segment decodes, and may be decrypted
					}
					if !all && (value+i)%each != 0 {
						continue
					}
					raw[i] = byte(value)
					m.refuse(t, fmt.Sprintf("byte %d as %#x", i, value), string(raw), m.warm)
				}
				raw[i] = before
				m.refuse(t, fmt.Sprintf("without byte %d", i), m.original[:i]+m.original[i+1:], m.cold)
				m.refuse(t, fmt.Sprintf("byte %d twice", i), m.original[:i+1]+m.original[i:], m.cold)
				m.refuse(t, fmt.Sprintf("cut at %d", i), m.original[:i], m.cold)
			}
			m.intact(t)
			t.Logf("%d mutations of a token of %d bytes", m.tried, len(raw))
		})
	}
}

// TestSegmentsOfAnEncryptedToken writes each segment in each other way, and puts segments, of this token and of another
// for the same key, where they do not belong.
func TestSegmentsOfAnEncryptedToken(t *testing.T) {
	for _, kind := range mutatedKinds {
		m := newSealedMutants(t, kind)
		whole := strings.Split(m.original, ".")
		other := strings.Split(joseEncrypt(t, kind, kind.key, signedInside(t)), ".")
		replaced := func(n int, by string) string {
			parts := append([]string{}, whole...)
			parts[n] = by
			return strings.Join(parts, ".")
		}
		for n, segment := range whole {
			for _, c := range base64Changes {
				for _, at := range []int{0, len(segment) / 2, len(segment) - 1} {
					if segment != "" {
						m.refuseBoth(t, fmt.Sprintf("%s: segment %d, %s at %d", kind, n, c.name, at), replaced(n, c.apply(segment, at)))
					}
				}
			}
			m.refuseBoth(t, "without a segment", strings.Join(append(append([]string{}, whole[:n]...), whole[n+1:]...), "."))
			m.refuseBoth(t, "a segment twice", strings.Join(append(append([]string{}, whole[:n+1]...), whole[n:]...), "."))
			for k := range whole {
				m.refuseBoth(t, "a segment of another place", replaced(n, whole[k]))
				if other[k] != whole[n] {
					m.refuseBoth(t, "a segment of another token", replaced(n, other[k]))
				}
			}
		}
		for _, raw := range []string{
			m.original + ".", "." + m.original, m.original + m.original, m.original + "," + m.original, m.original + " ", m.original + "\n",
			"Bearer " + m.original, strings.ToUpper(m.original), m.original + strings.Repeat("A", maxTokenBytes),
			fmt.Sprintf(`{"protected":%q,"encrypted_key":%q,"iv":%q,"ciphertext":%q,"tag":%q}`, whole[0], whole[1], whole[2], whole[3], whole[4]),
		} {
			m.refuseBoth(t, kind.String(), raw)
		}
		m.intact(t)
	}
}

// TestHeadersOfAnEncryptedToken writes the header otherwise and keeps the rest: what it says is the same to a lenient
// reader, or is what such a reader would not look at, but it is not what was encrypted under.
func TestHeadersOfAnEncryptedToken(t *testing.T) {
	for _, kind := range mutatedKinds {
		m := newSealedMutants(t, kind)
		segment, rest, _ := strings.Cut(m.original, ".")
		text, err := base64.RawURLEncoding.DecodeString(segment)
		if err != nil {
			t.Fatal(err)
		}
		header := string(text)
		end := len(header) - 1
		for _, changed := range []string{
			header + " ", " " + header, strings.Replace(header, ":", ": ", 1), header[:end] + `,"a":1}`, header[:end] + `,"cty":"JWT"}`,
			strings.Replace(header, `"alg"`, `"\u0061lg"`, 1), strings.Replace(header, `"alg"`, `"Alg"`, 1), header[:end] + `,"Alg":"none"}`,
			header[:end] + `,"apu":"AAAA"}`, header[:end] + `,"kid":"x"}`, strings.Replace(header, `"kid":"`+kind.key+`"`, `"typ":"JWT"`, 1),
			header[:end] + `,"zip":"DEF"}`, header[:end] + `,"crit":[]}`, strings.Replace(header, `"x":"`, `"y":"`, 1), "", "{}", "null",
		} {
			m.refuseBoth(t, "the header "+changed, b64([]byte(changed))+"."+rest)
		}
		for i := range header {
			for bit := range 8 {
				b := []byte(header)
				b[i] ^= 1 << bit
				m.refuse(t, fmt.Sprintf("bit %d of byte %d of the header", bit, i), b64(b)+"."+rest, m.cold)
			}
		}
		m.intact(t)
	}
}

// TestManyChangesOfAnEncryptedToken makes several changes at once, drawn from a seed.
func TestManyChangesOfAnEncryptedToken(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(7516, 7518))
	for _, kind := range mutatedKinds {
		m := newSealedMutants(t, kind)
		for range 1000 {
			raw := m.original
			for range 1 + r.IntN(3) {
				if raw != "" {
					raw = mutate(r, raw)
				}
			}
			m.refuse(t, kind.String(), raw, m.warm)
		}
		m.intact(t)
	}
}
