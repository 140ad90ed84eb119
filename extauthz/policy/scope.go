package policy

import (
	"fmt"
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
