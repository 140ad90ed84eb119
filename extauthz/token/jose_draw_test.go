package token

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// anybodySigns reports whether crypto/ed25519 takes one signature, which needs no private key, for some message.
func anybodySigns(public ed25519.PublicKey) bool {
	for i := range 64 {
		for _, r := range smallOrder {
			var signature []byte
			if _, err := fmt.Sscanf(r, "%x", &signature); err != nil {
				return false
			}
			for _, bit := range []byte{0, 0x80} {
				forged := append(slices.Clone(signature), make([]byte, 32)...)
				forged[31] |= bit
				if ed25519.Verify(public, []byte{byte(i)}, forged) {
					return true
				}
			}
		}
	}
	return false
}

// drawn is a key of a set that was drawn: which key of the world, and how the set describes it.
type drawn struct {
	key, kid, alg, use string
	hasKid, private    bool
}

func (d drawn) jwk() string {
	var more []string
	for _, m := range []struct {
		there       bool
		name, value string
	}{{d.hasKid, "kid", d.kid}, {d.alg != "", "alg", d.alg}, {d.use != "", "use", d.use}, {d.private, "qi", "AA"}} {
		if m.there {
			more = append(more, fmt.Sprintf("%q:%q", m.name, m.value))
		}
	}
	return jwk(d.key, strings.Join(more, ","))
}

// forge is one way to come by a signature of input that is not the right one, or not in the right form.
var forgeries = map[string]func(input string, signature []byte, r *mathrand.Rand) []byte{
	"a flipped bit":   func(_ string, s []byte, r *mathrand.Rand) []byte { s[r.IntN(len(s))] ^= 1 << r.IntN(8); return s },
	"one octet short": func(_ string, s []byte, _ *mathrand.Rand) []byte { return s[:len(s)-1] },
	"a zero in front": func(_ string, s []byte, _ *mathrand.Rand) []byte { return append([]byte{0}, s...) },
	"a zero behind":   func(_ string, s []byte, _ *mathrand.Rand) []byte { return append(s, 0) },
	"all zeros":       func(_ string, s []byte, _ *mathrand.Rand) []byte { return make([]byte, len(s)) },
	"all ones":        func(_ string, s []byte, _ *mathrand.Rand) []byte { return slices.Repeat([]byte{0xff}, len(s)) },
	"in DER": func(_ string, s []byte, _ *mathrand.Rand) []byte {
		half := len(s) / 2
		der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(s[:half]), new(big.Int).SetBytes(s[half:])})
		if err != nil {
			panic(err)
		}
		return der
	},
	"the public key as a secret": func(input string, _ []byte, _ *mathrand.Rand) []byte {
		s, err := jwt.SigningMethodHS256.Sign(input, []byte(jwk("rsa", "")))
		if err != nil {
			panic(err)
		}
		return s
	},
}

// pssWithSalt signs with a salt that is not as long as the hash.
func pssWithSalt(t *testing.T, a Algorithm, input string, salt int) []byte {
	t.Helper()
	m := method(a).(*jwt.SigningMethodRSAPSS)
	h := m.Hash.New()
	h.Write([]byte(input))
	s, err := rsa.SignPSS(rand.Reader, testKeys()["rsa"].(*rsa.PrivateKey), m.Hash, h.Sum(nil), &rsa.PSSOptions{SaltLength: salt, Hash: m.Hash})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// trial is a key set and a token, and what is known of how they came about.
type trial struct {
	set       []drawn
	algorithm Algorithm
	kid       string
	hasKid    bool
	salt      bool // PSS with another salt than the standard's
	raw       string
}

// drawTrial draws up to eight keys, some of one kid, and a token that one of them, or none, has signed.
func drawTrial(t *testing.T, r *mathrand.Rand) trial {
	t.Helper()
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	var c trial
	symmetric := r.IntN(5) == 0
	for range 1 + r.IntN(8) {
		d := drawn{key: pick("rsa", "rsa", "rsa2", "weak", "p256", "p384", "p521", "ed"), hasKid: r.IntN(4) > 0, kid: pick("a", "b", "c", ""), private: r.IntN(20) == 0}
		if symmetric {
			d.key = "hmac"
		}
		if d.alg = pick("", "", "", "RS256", "ES256", "PS512", "EdDSA", "HS384"); r.IntN(2) == 0 {
			d.use = pick("sig", "sig", "sig", "enc")
		}
		c.set = append(c.set, d)
	}
	if r.IntN(30) == 0 {
		c.set = append(c.set, drawn{key: "hmac"})
	}
	if r.IntN(40) == 0 { // many keys without a kid, of which at most one is the signer's
		c.set = append(slices.Repeat([]drawn{{key: "rsa2"}}, 3+r.IntN(3)), drawn{key: "rsa"})
	}
	signer := c.set[r.IntN(len(c.set))].key
	if r.IntN(8) == 0 {
		signer = pick("rsa2", "p256", "ed", "hmac")
	}
	for c.algorithm = everyAlgorithm[r.IntN(13)]; !canSign(signer, c.algorithm); {
		c.algorithm = everyAlgorithm[r.IntN(13)]
	}
	chosen := c.set[r.IntN(len(c.set))]
	c.kid, c.hasKid = chosen.kid, chosen.hasKid
	if r.IntN(6) == 0 {
		c.kid, c.hasKid = pick("a", "z", ""), true
	}
	header := fmt.Sprintf(`{"alg":%q}`, c.algorithm)
	if c.hasKid {
		header = fmt.Sprintf(`{"alg":%q,"kid":%q}`, c.algorithm, c.kid)
	}
	payload := make([]byte, r.IntN(80))
	for i := range payload {
		payload[i] = byte(r.Uint32())
	}
	c.raw = sign(t, c.algorithm, signer, header, string(payload))
	input, signature := c.raw[:strings.LastIndexByte(c.raw, '.')], []byte(nil)
	signature, _ = base64url.DecodeString(c.raw[len(input)+1:])
	switch names := []string{"a flipped bit", "one octet short", "a zero in front", "a zero behind", "all zeros", "all ones", "in DER", "the public key as a secret"}; {
	case signer == "rsa" && strings.HasPrefix(string(c.algorithm), "PS") && r.IntN(3) == 0:
		c.salt, signature = true, pssWithSalt(t, c.algorithm, input, r.IntN(30))
	case r.IntN(4) == 0:
		signature = forgeries[names[r.IntN(len(names))]](input, signature, r)
	}
	c.raw = input + "." + b64(signature)
	return c
}
