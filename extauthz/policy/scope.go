package policy

import (
	"fmt"
	"slices"
	"strings"
)

// ScopeKey is the context extension, and the gRPC initial metadata, in which a proxy states its scope.
const ScopeKey = "sallyport-scope"

// ScopeKind is what a scope names.
type ScopeKind int

const (
	// ScopeNone: the proxy states no scope; it is taken for one that routes by Host.
	ScopeNone ScopeKind = iota
	// ScopeNamespace: the proxy serves workloads of one namespace.
	ScopeNamespace
	// ScopeService: the proxy serves one Service.
	ScopeService
	// ScopeGateway: the proxy is a Gateway.
	ScopeGateway
)

// Scope is what a proxy says that it speaks for. The zero Scope is none.
type Scope struct {
	Kind            ScopeKind
	Namespace, Name string
}

// ParseScope reads "namespace/NS", "service/NS/NAME" and "gateway/NS/NAME". Anything else, the empty string too, is an
// error.
func ParseScope(s string) (Scope, error) {
	parts := strings.Split(s, "/")
	for _, p := range parts[1:] {
		if !isDNSLabelish(p) {
			return Scope{}, fmt.Errorf("scope %q: %q is no name of a Kubernetes object", s, p)
		}
	}
	switch {
	case parts[0] == "namespace" && len(parts) == 2:
		return Scope{Kind: ScopeNamespace, Namespace: parts[1]}, nil
	case parts[0] == "service" && len(parts) == 3:
		return Scope{Kind: ScopeService, Namespace: parts[1], Name: parts[2]}, nil
	case parts[0] == "gateway" && len(parts) == 3:
		return Scope{Kind: ScopeGateway, Namespace: parts[1], Name: parts[2]}, nil
	}
	return Scope{}, fmt.Errorf("scope %q: must be namespace/NAMESPACE, service/NAMESPACE/NAME or gateway/NAMESPACE/NAME", s)
}

// Proxies says how a proxy is known that states no scope. The zero Proxies takes each for one that routes by Host.
type Proxies struct {
	// RequireScope refuses proxies that say nothing of what they speak for.
	RequireScope bool
	// FromPrincipal takes the namespace of a proxy's own SPIFFE principal for its scope.
	FromPrincipal bool
	// TrustDomain that a SPIFFE principal must be of; empty for any.
	TrustDomain string
	// Gateways are patterns of principals, "*" for one segment, of proxies that route by Host.
	Gateways []string
}

// Scope of a proxy that states none; principal is its own. The Reason is empty, or says why its requests are refused.
//
// A gateway that is known by its principal has no scope, as one that says nothing, but has said who it is.
func (p *Proxies) Scope(principal string) (Scope, Reason) {
	if p.FromPrincipal {
		if slices.ContainsFunc(p.Gateways, func(pattern string) bool { return MatchPrincipal(pattern, principal) }) {
			return Scope{}, ""
		}
		if id, ok := strings.CutPrefix(principal, "spiffe://"); ok {
			return p.spiffe(id)
		}
	}
	if p.RequireScope {
		return Scope{}, ReasonScopeRequired
	}
	return Scope{}, ""
}

// spiffe reads trust-domain/ns/NAMESPACE/sa/NAME, the identity that meshes give a workload. Any other SPIFFE identity
// says nothing of a namespace, and to guess would be to let a neighbour in.
func (p *Proxies) spiffe(id string) (Scope, Reason) {
	parts := strings.Split(id, "/")
	if len(parts) != 5 || parts[0] == "" || parts[1] != "ns" || parts[3] != "sa" || parts[4] == "" ||
		p.TrustDomain != "" && parts[0] != p.TrustDomain {
		return Scope{}, ReasonInvalidScope
	}
	scope, err := ParseScope("namespace/" + parts[2])
	if err != nil {
		return Scope{}, ReasonInvalidScope
	}
	return scope, ""
}

// isDNSLabelish tells whether s may name a Kubernetes object: lower-case letters, digits, "-" and ".".
func isDNSLabelish(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return s[0] != '-' && s[0] != '.'
}
