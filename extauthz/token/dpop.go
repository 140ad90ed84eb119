package token

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// maxProofBytes bounds a proof: an RSA key of 8192 bits and its signature take some 3 KiB.
	maxProofBytes = 8 << 10
	// maxProofIDBytes bounds jti; 96 bits of chance, or a UUID, stay far below it.
	maxProofIDBytes = 256
	// proofType is the typ of a proof.
	proofType = "dpop+jwt"
	// ProofHeader is the header that a proof stands in, in lower case.
	ProofHeader = "dpop"
	// proofScheme is the scheme in front of a token that is shown with a proof.
	proofScheme = "DPoP"
)

// DPoP says which proofs of possession a provider's tokens may be shown with (RFC 9449).
type DPoP struct {
	// Algorithms of proofs; all are asymmetric.
	Algorithms Algorithms
	// MaxAge of a proof, by its iat, beside the leeway for clocks.
	MaxAge time.Duration
	// NonceRequired refuses proofs without a fresh nonce of this server.
	NonceRequired bool
}

// ProofSource is the place of a token that is shown with a proof (RFC 9449 §7.1).
func ProofSource() Source { return Source{Header: "authorization", Scheme: proofScheme} }

// WantsProof tells whether a token that stands at s is shown with a proof.
func (s Source) WantsProof() bool {
	return s.Header == "authorization" && equalASCIIFold(s.Scheme, proofScheme)
}

// Target is the request that a proof must be for.
type Target struct {
	// Method of the request.
	Method string
	// Scheme, Host (with its port) and Path as the client wrote them.
	Scheme, Host, Path string
	// Token that was shown with the proof.
	Token string
}

// Proof is what a proof proves.
type Proof struct {
	// Key is the thumbprint of the key that signed it (RFC 7638), which cnf of a token names as jkt.
	Key [sha256.Size]byte
	// ID is another for each proof: a digest of its key, jti and htu. Nothing of the token is in it.
	ID [sha256.Size]byte
	// Until is when its age refuses it.
	Until time.Time
	// NonceAge is how old its nonce is; meaningful only where nonces are required.
	NonceAge time.Duration
}

// CheckProof checks the one proof that c shows, in the order of RFC 9449 §4.3. That it was not used before, and that its key is
// the one that the token is bound to, is for the caller to see. The error wraps ErrProof, or ErrNonce where all is well but
// the nonce. p has a DPoP.
func (p *Provider) CheckProof(c Carrier, target Target, nonces *Nonces, now time.Time) (Proof, error) {
	raw, there := c.Header(ProofHeader)
	switch {
	case !there || raw == "":
		return Proof{}, proofFault("there is none")
	case strings.Contains(raw, ","):
		return Proof{}, proofFault("there are several")
	case len(raw) > maxProofBytes:
		return Proof{}, proofFault("longer than 8 KiB")
	}
	claims, key, err := p.DPoP.open(raw)
	if err != nil {
		return Proof{}, fmt.Errorf("%w: %s", ErrProof, err.Error()) // whatever the error wraps, it is of the proof
	}
	uri, err := claims.fits(target)
	if err != nil {
		return Proof{}, err
	}
	out := Proof{Key: key, ID: proofID(key, claims.jti, uri)}
	if p.DPoP.NonceRequired {
		var fresh bool
		if out.NonceAge, fresh = nonces.age(claims.nonce, now); !fresh {
			return Proof{}, ErrNonce
		}
	}
	out.Until = claims.issued.Add(p.DPoP.MaxAge + p.skew())
	switch {
	case now.Add(p.skew()).Before(claims.issued):
		return Proof{}, proofFault("iat lies in the future")
	case !now.Before(out.Until):
		return Proof{}, proofFault("issued too long ago")
	}
	sum := sha256.Sum256([]byte(target.Token))
	if subtle.ConstantTimeCompare([]byte(base64url.EncodeToString(sum[:])), []byte(claims.ath)) != 1 {
		return Proof{}, proofFault("ath is not the hash of this token")
	}
	return out, nil
}

func proofFault(what string) error { return fmt.Errorf("%w: %s", ErrProof, what) }

// proofClaims are those that a proof must have, and its nonce.
type proofClaims struct {
	jti, htm, htu, ath, nonce string
	issued                    time.Time
}

// open reads a proof and checks its signature with the key that it brings.
func (d *DPoP) open(raw string) (claims proofClaims, key [sha256.Size]byte, err error) {
	parts, err := splitCompact(raw)
	if err != nil {
		return claims, key, err
	}
	header, _, err := decodeObject(parts.header, "header")
	if err != nil {
		return claims, key, err
	}
	payload, _, err := decodeObject(parts.payload, "payload")
	if err != nil {
		return claims, key, err
	}
	if claims, err = readProofClaims(payload); err != nil {
		return claims, key, err
	}
	for _, name := range []string{"crit", "b64", "zip"} {
		if _, there := header[name]; there {
			return claims, key, errors.New("the header asks for an extension (crit, b64 or zip)")
		}
	}
	if typ, _ := header["typ"].(string); mediaType(typ) != proofType {
		return claims, key, errors.New("typ is not dpop+jwt")
	}
	alg, _ := header["alg"].(string)
	a := Algorithm(alg)
	if !d.Algorithms.Has(a) || NewAlgorithms(a).Symmetric() {
		return claims, key, errors.New("alg is not one that is taken for proofs")
	}
	jwk, _ := header["jwk"].(map[string]any)
	k, err := importKey(jwk, false)
	if err != nil {
		return claims, key, fmt.Errorf("jwk: %w", err)
	}
	signature, err := base64url.DecodeString(parts.signature)
	if err != nil || !k.verify(a, parts.input, signature) {
		return claims, key, errors.New("the signature is not that of jwk")
	}
	return claims, keyThumbprint(jwk), nil
}

// readProofClaims reads the claims that a proof must have (RFC 9449 §4.2, and ath of §7).
func readProofClaims(payload map[string]any) (c proofClaims, err error) {
	for _, claim := range []struct {
		name     string
		to       *string
		most     int
		required bool
	}{
		{"jti", &c.jti, maxProofIDBytes, true}, {"htm", &c.htm, maxProofBytes, true}, {"htu", &c.htu, maxProofBytes, true},
		{"ath", &c.ath, maxProofBytes, true}, {"nonce", &c.nonce, maxProofBytes, false},
	} {
		value, there := payload[claim.name]
		if !there && !claim.required {
			continue
		}
		if *claim.to, _ = value.(string); *claim.to == "" || len(*claim.to) > claim.most {
			return c, errors.New(claim.name + " is missing, empty, too long or not a string")
		}
	}
	var ok bool
	if c.issued, ok = numericDate(payload["iat"]); !ok {
		return c, errors.New("iat is missing, or not a number of seconds from 1970 to the year 9999")
	}
	return c, nil
}

// fits tells whether the proof is for this request, and returns its URI, normalized.
func (c *proofClaims) fits(t Target) (uri string, err error) {
	if c.htm != t.Method {
		return "", proofFault("htm is not the method")
	}
	want, ok := normalizeURI(t.Scheme + "://" + t.Host + t.Path)
	if !ok {
		return "", proofFault("the proxy does not tell the URI as the client knows it")
	}
	uri, ok = normalizeURI(c.htu)
	if !ok || uri != want {
		return "", proofFault("htu is not the URI of the request")
	}
	return uri, nil
}

// proofID digests what tells one proof from another, each part with its length, so that no two sequences look alike.
func proofID(key [sha256.Size]byte, jti, uri string) [sha256.Size]byte {
	b := slices.Clone(key[:])
	for _, s := range []string{jti, uri} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	return sha256.Sum256(b)
}

// keyThumbprint is that of RFC 7638 §3 with SHA-256: of the members that make a key of its kind, in their order. jwk was
// imported, so each of them is there, in the one spelling that base64url has, without anything to escape.
func keyThumbprint(jwk map[string]any) [sha256.Size]byte {
	text := func(name string) string { s, _ := jwk[name].(string); return s }
	var b string
	switch text("kty") {
	case "RSA":
		b = `{"e":"` + text("e") + `","kty":"RSA","n":"` + text("n") + `"}`
	case "EC":
		b = `{"crv":"` + text("crv") + `","kty":"EC","x":"` + text("x") + `","y":"` + text("y") + `"}`
	case "OKP":
		b = `{"crv":"` + text("crv") + `","kty":"OKP","x":"` + text("x") + `"}`
	}
	return sha256.Sum256([]byte(b))
}
