package policy

import (
	"maps"
	"strings"
	"time"

	"github.com/google/cel-go/cel"

	"github.com/sallyport/sallyport/extauthz/token"
)

// variables are those of one request, looked up by name when an expression asks. req, path and match are nil
// where claims alone are judged.
type variables struct {
	identity *token.Identity
	// claims are those of identity, once an expression has asked for them.
	claims claimMap
	req    *Request
	path   *path
	match  *match
	now    time.Time
	// trustDomain of the mesh; empty where nobody said.
	trustDomain string
	// lookups are the answers that the rule reads, by name; complete: each is there that is not optional.
	lookups  map[string]any
	complete bool
}

// Parent implements cel.Activation: there is none.
func (v *variables) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (v *variables) ResolveName(name string) (any, bool) {
	switch name {
	case "claims":
		v.claims.identity = v.identity
		return &v.claims, true
	case "now":
		return v.now, true
	case "params":
		return v.params(), true
	case lookupsVariable:
		if v.lookups == nil {
			return map[string]any{}, true
		}
		return v.lookups, true
	case "identity.issuer":
		return v.identity.Issuer, true
	case "identity.subject":
		return v.identity.Subject, true
	case "identity.scopes":
		return v.identity.Scopes, true
	case "identity.roles":
		return v.identity.Roles, true
	case "identity.groups":
		return v.identity.Groups, true
	}
	return v.ofRequest(name)
}

func (v *variables) ofRequest(name string) (any, bool) {
	in := &v.req.in
	switch name {
	case "request.method":
		return in.Method, true
	case "request.scheme":
		return in.Scheme, true
	case "request.host":
		return v.req.host, true
	case "request.path":
		return v.path.String(), true
	case "request.query":
		return v.req.query, true
	case "request.headers":
		return withoutPseudo(in.Headers), true
	case "request.size":
		return in.Size, true
	case "context":
		return in.Context.texts(), true
	}
	return v.ofSource(name)
}

func (v *variables) ofSource(name string) (any, bool) {
	in := &v.req.in
	switch name {
	case "source.address":
		if !in.SourceAddress.IsValid() {
			return "", true
		}
		return in.SourceAddress.Unmap().String(), true
	case "source.principal":
		return in.SourcePrincipal, true
	case "source.namespace":
		ns, _ := serviceAccountOf(in.SourcePrincipal, v.trustDomain)
		return ns, true
	case "source.serviceAccount":
		_, sa := serviceAccountOf(in.SourcePrincipal, v.trustDomain)
		return sa, true
	}
	return nil, false
}

// withoutPseudo are the headers without pseudo-headers, which are no headers (RFC 9113 §8.3) and not judged as such.
func withoutPseudo(headers Fields) map[string]string {
	out := headers.texts()
	maps.DeleteFunc(out, func(name, _ string) bool { return strings.HasPrefix(name, ":") })
	return out
}

// params are the captures of the path, by name.
func (v *variables) params() map[string]string {
	out := map[string]string{}
	if v.match == nil {
		return out
	}
	for _, c := range v.match.captures {
		if s, ok := v.match.capture(v.path, c.name); ok {
			out[c.name] = s
		}
	}
	return out
}
