package policy

import (
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// from is where a caller must be; each list that is given must hold by one of its entries.
type from struct {
	principals      [][]string // segments; "*" is any one
	serviceAccounts []string   // SPIFFE identities
	cidrs           []netip.Prefix
}

func (f *from) holds(req *Request) bool {
	p := req.in.SourcePrincipal
	if len(f.principals) > 0 && !slices.ContainsFunc(f.principals, func(segs []string) bool { return matchPrincipal(segs, p) }) {
		return false
	}
	if len(f.serviceAccounts) > 0 && !slices.Contains(f.serviceAccounts, p) {
		return false
	}
	if len(f.cidrs) > 0 {
		addr := req.in.SourceAddress.Unmap()
		if !slices.ContainsFunc(f.cidrs, func(c netip.Prefix) bool { return c.Contains(addr) }) {
			return false
		}
	}
	return true
}

// MatchPrincipal tells whether a principal, as Envoy says it, is one that the pattern names: a URI, in whose path "*" is
// any one whole segment.
func MatchPrincipal(pattern, principal string) bool {
	segs, ok := splitPrincipal(pattern)
	return ok && matchPrincipal(segs, principal)
}

func matchPrincipal(segs []string, principal string) bool {
	if !strings.Contains(principal, "://") {
		return false // a DNS name or a subject, not a URI
	}
	for i, want := range segs {
		got, rest, more := strings.Cut(principal, "/")
		last := i == len(segs)-1
		if more == last || want != got && (want != "*" || got == "") {
			return false
		}
		principal = rest
	}
	return true
}

// splitPrincipal reads a pattern of principals. The scheme, the authority and every segment are whole texts or "*"; the
// scheme and the authority are no "*".
func splitPrincipal(s string) ([]string, bool) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme == "" || strings.ContainsAny(s, " \t\r\n") {
		return nil, false
	}
	segs := strings.Split(rest, "/")
	for i, seg := range segs {
		if seg == "" || strings.Contains(seg, "*") && (seg != "*" || i == 0) {
			return nil, false
		}
	}
	return append([]string{scheme + ":", ""}, segs...), !strings.ContainsAny(scheme, "*/")
}

// serviceAccountOf reads namespace and name from a SPIFFE identity of the trust domain of the mesh. Both are empty for
// anything else, and where nobody said which trust domain that is: any authority could name a namespace.
func serviceAccountOf(principal, trust string) (namespace, name string) {
	rest, ok := strings.CutPrefix(principal, "spiffe://")
	if !ok {
		return "", ""
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" || parts[2] == "" || parts[4] == "" || trust == "" || parts[0] != trust {
		return "", ""
	}
	return parts[2], parts[4]
}

func compileFrom(in *v1alpha1.From, namespace string, opts *Options, at *field.Path, p *problems) *from {
	if in == nil {
		return nil
	}
	out := &from{}
	for _, l := range []struct {
		name   string
		values []string
	}{{"principals", in.Principals}, {"serviceAccounts", in.ServiceAccounts}, {"cidrs", in.CIDRs}} {
		if l.values != nil && len(l.values) == 0 {
			p.required(at.Child(l.name), "an empty list names nobody; leave it out, or say where the caller must be")
		}
	}
	for i, s := range in.Principals {
		segs, ok := splitPrincipal(s)
		if !ok {
			p.invalid(at.Child("principals").Index(i), s, "must be a URI such as spiffe://cluster.local/ns/monitoring/sa/*, in whose path * stands for one whole segment")
		}
		out.principals = append(out.principals, segs)
	}
	for i, s := range in.ServiceAccounts {
		out.serviceAccounts = append(out.serviceAccounts, compileServiceAccount(s, namespace, opts, at.Child("serviceAccounts").Index(i), p))
	}
	for i, s := range in.CIDRs {
		out.cidrs = append(out.cidrs, compileCIDR(s, opts, at.Child("cidrs").Index(i), p))
	}
	if len(in.Principals)+len(in.ServiceAccounts)+len(in.CIDRs) == 0 {
		p.required(at, "say principals, serviceAccounts or cidrs")
	}
	return out
}

func compileServiceAccount(s, namespace string, opts *Options, at *field.Path, p *problems) string {
	ns, name, ok := strings.Cut(s, "/")
	if !ok {
		ns, name = namespace, s
	}
	if !isDNSLabelish(ns) || !isDNSLabelish(name) {
		p.invalid(at, s, "must be namespace/name of a ServiceAccount, or a name alone for one of the policy's namespace")
	}
	if opts.TrustDomain == "" {
		p.invalid(at, s, "nobody said in which trust domain: start sallyport with --trust-domain (often cluster.local)")
	}
	return "spiffe://" + opts.TrustDomain + "/ns/" + ns + "/sa/" + name
}

func compileCIDR(s string, opts *Options, at *field.Path, p *problems) netip.Prefix {
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		p.invalid(at, s, "must be a range of addresses such as 10.0.0.0/8 or 2001:db8::/32; write /32 or /128 behind a single address")
	case prefix.Addr().Is4In6():
		p.invalid(at, s, "write an IPv4 range as IPv4")
	case prefix != prefix.Masked():
		p.invalid(at, s, "has bits behind the prefix; write "+prefix.Masked().String())
	}
	if opts.ClientAddress == ClientAddressUnknown {
		p.invalid(at, s, "nobody said whose address this is: start sallyport with --client-address=peer, or with --client-address=xff and --xff-trusted-hops behind a load balancer")
	}
	return prefix
}
