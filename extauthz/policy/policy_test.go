package policy

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// corp is a provider that every test may refer to.
const corp = `
kind: ClusterIdentityProvider
metadata: {name: corp}
spec: {issuer: https://id.example.com, audiences: [orders-api]}
---
`

// parse reads objects, strictly.
func parse(t testing.TB, text string) Objects {
	t.Helper()
	var objs Objects
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(doc), &meta); err != nil {
			t.Fatal(err)
		}
		switch meta.Kind {
		case "":
		case "AuthPolicy":
			objs.AuthPolicies = append(objs.AuthPolicies, decode[v1alpha1.AuthPolicy](t, doc))
		case "IdentityProvider":
			objs.IdentityProviders = append(objs.IdentityProviders, decode[v1alpha1.IdentityProvider](t, doc))
		case "ClusterIdentityProvider":
			objs.ClusterIdentityProviders = append(objs.ClusterIdentityProviders, decode[v1alpha1.ClusterIdentityProvider](t, doc))
		case "Secret":
			objs.Secrets = append(objs.Secrets, decode[corev1.Secret](t, doc))
		case "ConfigMap":
			objs.ConfigMaps = append(objs.ConfigMaps, decode[corev1.ConfigMap](t, doc))
		case "Service":
			objs.Services = append(objs.Services, decode[corev1.Service](t, doc))
		case "Gateway":
			objs.Gateways = append(objs.Gateways, decode[gatewayv1.Gateway](t, doc))
		case "HTTPRoute":
			objs.HTTPRoutes = append(objs.HTTPRoutes, decode[gatewayv1.HTTPRoute](t, doc))
		case "GRPCRoute":
			objs.GRPCRoutes = append(objs.GRPCRoutes, decode[gatewayv1.GRPCRoute](t, doc))
		case "Namespace":
			objs.Namespaces = append(objs.Namespaces, decode[corev1.Namespace](t, doc))
		default:
			t.Fatalf("kind %q is not for this test", meta.Kind)
		}
	}
	return objs
}

func decode[T any](t testing.TB, doc string) *T {
	t.Helper()
	out := new(T)
	if err := yaml.UnmarshalStrict([]byte(doc), out); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	if o, ok := any(out).(metav1.Object); ok && o.GetNamespace() == "" {
		o.SetNamespace("default")
	}
	return out
}

// compile makes a snapshot of text, which must have no errors.
func compile(t testing.TB, text string, opts Options) *Snapshot {
	t.Helper()
	s, r := new(Compiler).Compile(parse(t, text), opts)
	for _, o := range r.Objects {
		for _, p := range o.Problems {
			if p.Severity == SeverityError {
				t.Fatalf("%s: %s: %s", o.ObjectRef, p.Field, p.Message)
			}
		}
	}
	return s
}

// call is a request with its token.
type call struct {
	Input
	claims string // JSON; empty for no token
	now    time.Time
}

// get is a GET request for a URL.
func get(target string) call { return request("GET", target) }

func request(method, target string) call {
	u, err := url.Parse(target)
	if err != nil {
		// Paths that net/url refuses are written in Input directly.
		panic(err)
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(target, u.Scheme+"://"), "/")
	return call{
		Input: Input{Method: method, Scheme: u.Scheme, Host: u.Host, Path: "/" + path},
		now:   time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func (c call) with(claims string) call { c.claims = claims; return c }
func (c call) header(name, value string) call {
	c.Headers = slices.Clone(c.Headers).With(name, value)
	return c
}
func (c call) decide(t testing.TB, s *Snapshot) Decision {
	t.Helper()
	req, reason := NewRequest(c.Input)
	if reason != "" {
		return Decision{Verdict: Verdict{Reason: reason}}
	}
	l := s.Lookup(req)
	return l.Decide(c.facts(t, l.Enforced.Trusted()), c.facts(t, l.DryRun.Trusted()))
}

// facts are what the token proves, without its cryptography: the identity that Verify would return.
func (c call) facts(t testing.TB, trusted []*token.Provider) Facts {
	t.Helper()
	f := Facts{Now: c.now}
	if c.claims == "" || trusted == nil {
		return f
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(c.claims)))
	dec.UseNumber()
	claims := token.Claims{}
	if err := dec.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	p := trusted[0]
	if iss, ok := claims["iss"].(string); ok {
		i := slices.IndexFunc(trusted, func(p *token.Provider) bool { return p.Issuer == iss })
		if i < 0 {
			f.Err = token.ErrUntrustedIssuer
			return f
		}
		p = trusted[i]
	}
	if p == nobody {
		f.Err = token.ErrUntrustedIssuer
		return f
	}
	if _, there := claims["aud"]; !there && len(p.Audiences) > 0 {
		claims["aud"] = p.Audiences[0]
	}
	for name, value := range map[string]any{"iss": p.Issuer, "sub": "somebody", "exp": json.Number("253402300799")} {
		if _, there := claims[name]; !there {
			claims[name] = value
		}
	}
	f.Identity, f.Err = token.NewIdentity(p, claims, c.now)
	return f
}

// said is a verdict in short: "allow RULE", or "REASON RULE".
func said(v Verdict) string {
	word := string(v.Reason)
	if v.Allow && v.Reason == ReasonAllowed {
		word = "allow"
	}
	return strings.TrimSpace(word + " " + v.Rule)
}
