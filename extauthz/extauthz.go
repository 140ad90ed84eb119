// Package extauthz answers Envoy's ext_authz: it reads a CheckRequest, asks the snapshot that is in force what becomes
// of the request, and writes the CheckResponse.
//
//	s, err := extauthz.New(extauthz.Config{Snapshot: &snapshot, Verifier: verifier, Log: log})
//	lis, err := extauthz.Listen(":9001", 0)
//	go s.Serve(lis)
//	…
//	s.Shutdown(ctx)
//
// It keeps no rules and knows no keys, and dials nobody. While there is a snapshot, every Check ends in a decision and
// none in a gRPC error, whatever bytes a client sends: under Envoy's failure_mode_allow an error would let the request
// pass.
package extauthz

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// Verifier verifies a token that a request shows; token.Verifier is one.
type Verifier interface {
	Verify(ctx context.Context, cred token.Credential, trusted []*token.Provider) (*token.Identity, error)
}

// Defaults of Config.
const (
	// DefaultMaxInFlight is about what one core answers within Envoy's default timeout of 200 ms, at 50 µs a Check. What
	// comes on top would be answered too late.
	DefaultMaxInFlight = 4096
	// DefaultMaxMessageBytes is well above what Envoy sends: at most 8 MiB of headers (max_request_headers_kb), which
	// name the path and the host a second time. Only a body, where with_request_body asks for it, could come near it, and
	// Sallyport does not read bodies. A larger message would be a gRPC error.
	DefaultMaxMessageBytes = 64 << 20
	// DefaultStreamWorkers was best when measured: a fresh goroutine would grow its stack for each Check.
	DefaultStreamWorkers = 32
	// DefaultConnectionAge lets proxies spread anew over the replicas after one was added.
	DefaultConnectionAge = 10 * time.Minute
	// DefaultDrainTimeout leaves room in the 30 s that Kubernetes gives a pod to end.
	DefaultDrainTimeout = 20 * time.Second
	// DefaultRefusalsPerSecond bounds the log lines of refusals.
	DefaultRefusalsPerSecond = 100
)

// Config of a Server. Snapshot and Verifier are required; the zero value of every other field is usable.
type Config struct {
	// Snapshot that is in force; a nil one means not ready. Loaded once a Check.
	Snapshot *atomic.Pointer[policy.Snapshot]
	// Verifier of tokens.
	Verifier Verifier
	// Introspector of opaque tokens; nil refuses them.
	Introspector Introspector
	// Looker of what rules look up; nil refuses where they do.
	Looker Looker
	// Revocations of tokens; nil: none is revoked.
	Revocations Revocations
	// Proofs remember which proofs of possession were used; nil refuses tokens that are shown with one.
	Proofs Proofs
	// Nonces for proofs of possession; nil for those of a key that only this server has.
	Nonces *token.Nonces
	// CacheStats of the verifier, for the metrics; nil leaves these out.
	CacheStats func() (entries int, bytes int64, hits, misses uint64)
	// Decryptions of the verifier, for the metrics; nil leaves these out.
	Decryptions func() token.Decryptions
	// Ready says what is still missing; nil for nothing beside the snapshot.
	Ready func() error
	// Status is a line for operators, which /readyz shows; nil for none.
	Status func() string
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// Log of decisions and faults; the zero Logger drops them.
	Log logr.Logger
	// RefusalsPerSecond bounds the lines about refusals; 0 for DefaultRefusalsPerSecond. What is left out is counted.
	RefusalsPerSecond float64
	// Registerer of the metrics; nil registers none.
	Registerer prometheus.Registerer
	// Tracer makes a span for each Check whose proxy samples the trace that it belongs to; nil traces none.
	Tracer trace.Tracer

	// ClientAddress says whose address rules with cidrs judge: the same as in the policy.Options of the snapshot.
	ClientAddress policy.ClientAddress
	// XFFTrustedHops are the proxies in front of Envoy that append to X-Forwarded-For; for ClientAddressXFF.
	XFFTrustedHops int
	// ClientCertificate says where the client certificate is read that a token may be bound to; empty for CertificatePeer.
	ClientCertificate CertificateSource
	// XFCCTrustedHops are the proxies in front of Envoy that append to X-Forwarded-Client-Cert; for CertificateXFCC.
	XFCCTrustedHops int
	// PublicScheme is https or http where clients use that one and Envoy cannot know it; empty to take Envoy's word.
	PublicScheme string
	// RequireScope refuses proxies that state no scope.
	RequireScope bool
	// ScopeFromPrincipal takes the namespace of destination.principal for the scope where none is stated.
	ScopeFromPrincipal bool
	// TrustDomain that a SPIFFE destination.principal must be of; empty for any.
	TrustDomain string
	// GatewayPrincipals are patterns of destination.principal, "*" for one segment, of proxies that route by Host. They
	// are judged by the policies of every namespace, and RequireScope does not refuse them.
	GatewayPrincipals []string

	// TLS of the gRPC port; nil for none. TLS.Config makes one.
	TLS *tls.Config
	// MaxInFlight bounds the Checks that are worked on; above it the answer is Overloaded at once. 0 for
	// DefaultMaxInFlight.
	MaxInFlight int
	// MaxMessageBytes bounds a CheckRequest; 0 for DefaultMaxMessageBytes.
	MaxMessageBytes int
	// StreamWorkers are the goroutines that are kept for Checks; 0 for DefaultStreamWorkers, below 0 for none.
	StreamWorkers int
	// ConnectionAge after which a proxy is asked to connect anew; 0 for DefaultConnectionAge, below 0 for never.
	ConnectionAge time.Duration
	// DrainDelay is the time between saying not ready and closing the listeners, in which load balancers take note. 0 for
	// none.
	DrainDelay time.Duration
	// DrainTimeout bounds a Shutdown; 0 for DefaultDrainTimeout.
	DrainTimeout time.Duration
}

// complete fills in the defaults and says all that is wrong.
func (c *Config) complete() error {
	var errs []error
	if c.Snapshot == nil {
		errs = append(errs, errors.New("there is no snapshot pointer"))
	}
	if c.Verifier == nil {
		errs = append(errs, errors.New("there is no verifier"))
	}
	switch c.ClientAddress {
	case policy.ClientAddressUnknown, policy.ClientAddressPeer, policy.ClientAddressXFF:
	default:
		errs = append(errs, fmt.Errorf("client address %q: must be peer or xff", c.ClientAddress))
	}
	if c.XFFTrustedHops < 0 || c.XFFTrustedHops > 0 && c.ClientAddress != policy.ClientAddressXFF {
		errs = append(errs, fmt.Errorf("%d trusted hops of X-Forwarded-For: must be 0 or more, and go with the client address xff", c.XFFTrustedHops))
	}
	switch c.ClientCertificate {
	case "", CertificatePeer, CertificateXFCC:
	default:
		errs = append(errs, fmt.Errorf("client certificate %q: must be peer or xfcc", c.ClientCertificate))
	}
	if c.PublicScheme != "" && c.PublicScheme != "https" && c.PublicScheme != "http" {
		errs = append(errs, fmt.Errorf("public scheme %q: must be https or http", c.PublicScheme))
	}
	if c.XFCCTrustedHops < 0 || c.XFCCTrustedHops > 0 && c.ClientCertificate != CertificateXFCC {
		errs = append(errs, fmt.Errorf("%d trusted hops of X-Forwarded-Client-Cert: must be 0 or more, and go with the client certificate xfcc", c.XFCCTrustedHops))
	}
	for _, p := range c.GatewayPrincipals {
		if !policy.MatchPrincipal(p, strings.ReplaceAll(p, "*", "x")) {
			errs = append(errs, fmt.Errorf("principal of gateways %q: must be a URI such as spiffe://cluster.local/ns/infra/sa/*, in whose path * is one whole segment", p))
		}
	}
	if c.MaxInFlight < 0 || c.MaxMessageBytes < 0 || c.RefusalsPerSecond < 0 || c.DrainDelay < 0 || c.DrainTimeout < 0 {
		errs = append(errs, errors.New("a bound is below zero"))
	}
	if c.Nonces == nil {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		c.Nonces, _ = token.NewNonces(key)
	}
	c.fill()
	return errors.Join(errs...)
}

func (c *Config) fill() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	fillIn(&c.MaxInFlight, DefaultMaxInFlight)
	fillIn(&c.MaxMessageBytes, DefaultMaxMessageBytes)
	fillIn(&c.StreamWorkers, DefaultStreamWorkers)
	fillIn(&c.ConnectionAge, DefaultConnectionAge)
	fillIn(&c.DrainTimeout, DefaultDrainTimeout)
	fillIn(&c.RefusalsPerSecond, DefaultRefusalsPerSecond)
}

func fillIn[T int | float64 | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}
