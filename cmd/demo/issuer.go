package demo

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Issuer is an OpenID provider on a loopback port of its own: a discovery document (OpenID Connect Discovery 1.0 §4) and
// a key set (RFC 7517) over plain HTTP. It signs whatever it is asked to. Safe for concurrent use.
type Issuer struct {
	server *server

	mu      sync.Mutex
	keys    map[string]signingKey // by algorithm
	turn    int                   // rotations so far, part of each kid
	fault   Fault
	cleared chan struct{} // closed when fault is replaced
	fetches int
}

// Fault is how an Issuer misbehaves towards those who fetch its documents. The zero value is none.
type Fault struct {
	Status int    // answer with this status; 0: 200
	Body   string // answer with this body instead of the document; "": the document, unless Status is set
	Issuer string // the discovery document names this issuer; "": the true one
	Hang   bool   // answer only once the fault is replaced or the client goes away
}

type signingKey struct {
	id      string
	private crypto.Signer
}

// StartIssuer starts an Issuer with fresh keys for RS256, ES256 and EdDSA. Close ends it.
func StartIssuer() (*Issuer, error) {
	i := &Issuer{cleared: make(chan struct{})}
	if err := i.Rotate(); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.serveDiscovery)
	mux.HandleFunc("GET /jwks", i.serveKeys)
	var err error
	if i.server, err = listen(mux); err != nil {
		return nil, fmt.Errorf("starting issuer: %w", err)
	}
	return i, nil
}

// URL is the issuer as it stands in iss, such as "http://127.0.0.1:41234".
func (i *Issuer) URL() string { return "http://" + i.server.address() }

// JWKSURL is where the key set is.
func (i *Issuer) JWKSURL() string { return i.URL() + "/jwks" }

// Fetches is how often the key set was asked for, faults included.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// SetFault makes the Issuer misbehave from now on, or no longer with the zero Fault. It lets go of those who hang.
func (i *Issuer) SetFault(f Fault) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fault = f
	close(i.cleared)
	i.cleared = make(chan struct{})
}

// Rotate replaces all keys at once. The old ones are no longer published, and the new ones have other key ids.
func (i *Issuer) Rotate() error {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("making RSA key: %w", err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making EC key: %w", err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("making Ed25519 key: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.turn++
	i.keys = map[string]signingKey{}
	for algorithm, key := range map[string]crypto.Signer{"RS256": rsaKey, "ES256": ecKey, "EdDSA": edKey} {
		i.keys[algorithm] = signingKey{fmt.Sprintf("%s-%d", algorithm, i.turn), key}
	}
	return nil
}

// Close ends the Issuer and whatever still hangs on it.
func (i *Issuer) Close() error {
	i.SetFault(Fault{})
	return i.server.close()
}

// TokenOption says how a token differs from a plain one.
type TokenOption func(*tokenShape)

type tokenShape struct {
	algorithm string
	header    map[string]any
}

// SignedWith picks the key: RS256 (the default), ES256 or EdDSA.
func SignedWith(algorithm string) TokenOption {
	return func(s *tokenShape) { s.algorithm = algorithm }
}

// WithHeader sets a member of the token's header; nil takes it out, as for a token without kid.
func WithHeader(name string, value any) TokenOption {
	return func(s *tokenShape) { s.header[name] = value }
}

// Token signs claims with the current key and returns the compact form (RFC 7515 §7.1). What claims leaves out of iss,
// iat (now) and exp (in an hour) is filled in; a nil value keeps a claim out.
func (i *Issuer) Token(claims map[string]any, opts ...TokenOption) (string, error) {
	shape := tokenShape{algorithm: "RS256", header: map[string]any{"typ": "at+jwt"}}
	for _, opt := range opts {
		opt(&shape)
	}
	i.mu.Lock()
	key, ok := i.keys[shape.algorithm]
	i.mu.Unlock()
	if !ok {
		return "", fmt.Errorf("signing token: no key for algorithm %q", shape.algorithm)
	}
	now := time.Now()
	payload := jwt.MapClaims{"iss": i.URL(), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(payload, claims)
	maps.DeleteFunc(payload, func(_ string, v any) bool { return v == nil })
	t := jwt.NewWithClaims(jwt.GetSigningMethod(shape.algorithm), payload)
	t.Header["kid"] = key.id
	maps.Copy(t.Header, shape.header)
	maps.DeleteFunc(t.Header, func(_ string, v any) bool { return v == nil })
	signed, err := t.SignedString(key.private)
	if err != nil {
		return "", fmt.Errorf("signing token: %w", err)
	}
	return signed, nil
}

func (i *Issuer) serveDiscovery(w http.ResponseWriter, r *http.Request) {
	fault := i.faultFor(r)
	name := i.URL()
	if fault.Issuer != "" {
		name = fault.Issuer
	}
	answer(w, fault, map[string]any{
		"issuer": name, "jwks_uri": i.JWKSURL(), "authorization_endpoint": i.URL() + "/login",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "EdDSA"},
	})
}

func (i *Issuer) serveKeys(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.fetches++
	i.mu.Unlock()
	fault := i.faultFor(r)
	i.mu.Lock()
	set := []map[string]string{}
	for _, algorithm := range slices.Sorted(maps.Keys(i.keys)) {
		set = append(set, publicJWK(algorithm, i.keys[algorithm]))
	}
	i.mu.Unlock()
	answer(w, fault, map[string]any{"keys": set})
}

// faultFor returns the fault that r meets, after r has hung if it must.
func (i *Issuer) faultFor(r *http.Request) Fault {
	i.mu.Lock()
	fault, cleared := i.fault, i.cleared
	i.mu.Unlock()
	if fault.Hang {
		select {
		case <-cleared:
		case <-r.Context().Done():
		}
	}
	return fault
}

func answer(w http.ResponseWriter, fault Fault, document any) {
	w.Header().Set("Content-Type", "application/json")
	if fault.Status != 0 {
		w.WriteHeader(fault.Status)
	}
	switch {
	case fault.Body != "":
		_, _ = w.Write([]byte(fault.Body)) // a client that has gone needs no answer
	case fault.Status == 0:
		_ = json.NewEncoder(w).Encode(document)
	}
}

// publicJWK is the public half of key (RFC 7518 §6, RFC 8037 §2).
func publicJWK(algorithm string, key signingKey) map[string]string {
	jwk := map[string]string{"kid": key.id, "alg": algorithm, "use": "sig"}
	encode := base64.RawURLEncoding.EncodeToString
	switch public := key.private.Public().(type) {
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", encode(public.N.Bytes()), encode(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 0x04, x, y
		if err != nil {
			return nil
		}
		half := (len(point) - 1) / 2
		jwk["kty"], jwk["crv"], jwk["x"], jwk["y"] = "EC", "P-256", encode(point[1:1+half]), encode(point[1+half:])
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", encode(public)
	}
	return jwk
}
