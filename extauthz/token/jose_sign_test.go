package token

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

var everyAlgorithm = []Algorithm{RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384, HS512}

func joseAlgorithms() (list []jose.SignatureAlgorithm) {
	for _, a := range everyAlgorithm {
		list = append(list, jose.SignatureAlgorithm(a))
	}
	return list
}

// canSign reports whether the key of this name can sign with a; PS512 needs more than 1024 bits.
func canSign(name string, a Algorithm) bool {
	if name == "weak" {
		return keyFor(a) == "rsa" && a != PS512
	}
	return keyFor(a) == strings.TrimRight(name, "2")
}

// dropped names the rule by which key i is not in our set at all.
func (c trial) dropped(i int) string {
	d := c.set[i]
	twins := 0
	for _, o := range c.set {
		if d.hasKid && o.hasKid && o.kid == d.kid && o.use != "enc" {
			twins++
		}
	}
	switch {
	case d.use == "enc":
		return "use is not sig"
	case d.private:
		return "private members"
	case d.key == "weak":
		return "RSA below 2048 bits"
	case d.key == "hmac" && !c.symmetric():
		return "a secret among public keys"
	case d.alg != "" && keyFor(Algorithm(d.alg)) != strings.TrimRight(d.key, "2"):
		return "alg of the key is of another kind"
	case twins > 1:
		return "a kid that stands there twice"
	}
	return ""
}

func (c trial) symmetric() bool {
	return !slices.ContainsFunc(c.set, func(d drawn) bool { return d.key != "hmac" })
}

// excuse names the rule by which we do not let key i speak for the token of c; "" where there is none.
func (c trial) excuse(i int) string {
	if rule := c.dropped(i); rule != "" {
		return rule
	}
	named, tried := -1, 0
	for j, d := range c.set {
		if c.dropped(j) != "" {
			continue
		}
		if c.hasKid && d.hasKid && d.kid == c.kid {
			named = j
		}
		if j < i && d.fits(c.algorithm) && !(c.hasKid && d.hasKid) {
			tried++
		}
	}
	switch d := c.set[i]; {
	case !d.fits(c.algorithm):
		return "alg of the key is another"
	case named >= 0 && named != i:
		return "the kid names another key"
	case c.hasKid && d.hasKid && named != i:
		return "the key has another kid"
	case c.salt:
		return "the salt of PSS is not as long as the hash"
	case named < 0 && tried >= 4:
		return "four keys were tried"
	}
	return ""
}

// fits reports whether the key could have made a signature of a.
func (d drawn) fits(a Algorithm) bool {
	return keyFor(a) == strings.TrimRight(d.key, "2") && (d.alg == "" || d.alg == string(a))
}

// askJose verifies the token with each key by go-jose. allowed: with one that no rule of ours excludes; excuses are the
// rules that exclude the others.
func (c trial) askJose(t *testing.T, keys []string) (allowed bool, excuses []string) {
	t.Helper()
	parsed, err := jose.ParseSignedCompact(c.raw, joseAlgorithms())
	if err != nil {
		t.Fatalf("go-jose cannot read %s: %v", c.raw, err)
	}
	for i, text := range keys {
		k := new(jose.JSONWebKey)
		if json.Unmarshal([]byte(text), k) != nil {
			t.Fatalf("go-jose cannot read %s", text)
		}
		if payload, err := parsed.Verify(k.Key); err != nil || !strings.Contains(c.raw, "."+b64(payload)+".") {
			continue
		}
		if e := c.excuse(i); e == "" {
			allowed = true
		} else {
			excuses = append(excuses, e)
		}
	}
	return allowed, excuses
}

// TestSignaturesAsGoJose draws key sets and tokens and compares the verdict with go-jose's: what we take, go-jose takes
// with a key that no rule of ours excludes; what go-jose takes with some key, we take, unless a rule, and it is named,
// excludes each such key. Every rule is needed.
func TestSignaturesAsGoJose(t *testing.T) {
	const trials = 3000
	if testing.Short() {
		t.Skip("needs all its trials to meet every rule")
	}
	r := mathrand.New(mathrand.NewPCG(7, 3))
	seen := map[string]int{}
	for n := range trials {
		c := drawTrial(t, r)
		var keys []string
		for _, d := range c.set {
			keys = append(keys, d.jwk())
		}
		set, _, err := ParseJWKS([]byte(jwks(keys...)), c.symmetric())
		ours := err == nil
		if ours {
			_, err = set.VerifyJWS(c.raw, Asymmetric|hmacAlgorithms)
			ours = err == nil
		}
		allowed, excuses := c.askJose(t, keys)
		if ours != allowed {
			t.Errorf("trial %d: %v, go-jose %v (rules %q)\nkeys %s\ntoken %s", n, ours, allowed, excuses, jwks(keys...), c.raw)
		}
		switch {
		case ours:
			seen["both take it: "+string(c.algorithm)]++
		case len(excuses) == 0:
			seen["both refuse it: "+string(c.algorithm)]++
		}
		for _, e := range excuses {
			if !ours {
				seen["only go-jose takes it: "+e]++
			}
		}
	}
	for _, a := range everyAlgorithm {
		if seen["both take it: "+string(a)] < 10 || seen["both refuse it: "+string(a)] < 10 {
			t.Errorf("%s: too few of a kind: %v", a, seen)
		}
	}
	for _, rule := range []string{
		"use is not sig", "private members", "RSA below 2048 bits", "a secret among public keys", "alg of the key is of another kind",
		"alg of the key is another", "a kid that stands there twice",
		"the key has another kid", "the kid names another key", "the salt of PSS is not as long as the hash", "four keys were tried",
	} {
		if seen["only go-jose takes it: "+rule] == 0 {
			t.Errorf("no trial needed the rule %q", rule)
		}
	}
	t.Logf("%d tokens compared: %v", trials, seen)
}

// TestECDSAHasATwin states the one change of a token that keeps it valid: (r, n-s) signs what (r, s) signs, in every
// reading of RFC 7518 §3.4, go-jose's too. It proves the same identity; no rule may take a token's bytes for its name.
func TestECDSAHasATwin(t *testing.T) {
	for _, a := range []Algorithm{ES256, ES384, ES512} {
		k := testKeys()[keyFor(a)].(*ecdsa.PrivateKey)
		raw := sign(t, a, keyFor(a), fmt.Sprintf(`{"alg":%q,"kid":%q}`, a, keyFor(a)), claims(nil))
		dot := strings.LastIndexByte(raw, '.')
		signature, _ := base64url.DecodeString(raw[dot+1:])
		half := len(signature) / 2
		s := new(big.Int).SetBytes(signature[half:])
		s.Sub(k.Params().N, s).FillBytes(signature[half:])
		twin := raw[:dot+1] + b64(signature)
		parsed, err := jose.ParseSignedCompact(twin, joseAlgorithms())
		if err != nil {
			t.Fatal(err)
		}
		_, ours := publicSet(t).VerifyJWS(twin, Asymmetric)
		_, theirs := parsed.Verify(crypto.PublicKey(&k.PublicKey))
		if ours != nil || theirs != nil {
			t.Errorf("%s: we %v, go-jose %v", a, ours, theirs)
		}
	}
}
