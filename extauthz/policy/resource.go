package policy

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// wellKnownResource is where the metadata of a protected resource stands (RFC 9728 §3).
const wellKnownResource = "/.well-known/oauth-protected-resource"

// resourceRule is the name of the rules that serve the metadata.
const resourceRule = "resource-metadata"

// Resource is a protected resource of a policy (RFC 9728).
type Resource struct {
	// Host in normal form, without port, and Path with which URLs of the resource begin; empty for every path.
	Host, Path string
	// MetadataURL is where its metadata stands.
	MetadataURL string

	// id is the resource identifier as the policy writes it.
	id string
}

// MetadataURL is where the metadata stands of the resource that a request to this host and path, as it was sent, is for:
// the one with the longest path; empty where there is none. It is a text of the policy, and holds nothing of the request.
func (r *Refusal) MetadataURL(host, path string) string {
	var best *Resource
	for i := range r.Resources {
		o := &r.Resources[i]
		rest, ok := strings.CutPrefix(path, o.Path)
		if o.Host == host && ok && (rest == "" || rest[0] == '/') && (best == nil || len(o.Path) > len(best.Path)) {
			best = o
		}
	}
	if best == nil {
		return ""
	}
	return best.MetadataURL
}

// resourceID is what a resource identifier may look like: its path is one that clients, proxies and servers write alike.
var resourceID = regexp.MustCompile(`^https://([a-z0-9._:\[\]-]+)((?:/[A-Za-z0-9._~!$&'()+,=:@-]+)*|/)$`)

// resources compiles the resources of the policy, and lets refusals name them. Where anything under resourceMetadata does
// not compile, what would be served is refused.
func (d *drafter) resources(in *v1alpha1.ResourceMetadata, at *field.Path) {
	before := d.p().errors
	m := &resourceMetadata{scopes: slices.Clone(in.Scopes), name: in.ResourceName}
	ids := in.Resources
	if ids == nil {
		for _, h := range d.out.hosts {
			if !strings.HasPrefix(h.host, "*") {
				ids = append(ids, "https://"+h.host)
			}
		}
	}
	if len(ids) == 0 {
		d.p().required(at.Child("resources"), "name each resource, such as https://mcp.example.com: hosts that are wildcards, and targetRefs, do not tell which there are")
	}
	for i, id := range ids {
		d.resource(m, id, at.Child("resources").Index(i))
	}
	for i, s := range in.Scopes {
		if s == "" || strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) >= 0 {
			d.p().invalid(at.Child("scopes").Index(i), s, "is no scope; write one in each entry (RFC 6749 §3.3)")
		}
	}
	if in.Scopes != nil && len(in.Scopes) == 0 {
		d.p().required(at.Child("scopes"), "an empty list tells of none; leave it out for those of the rules")
	}
	m.documentation = d.page(in.ResourceDocumentation, at.Child("resourceDocumentation"))
	m.policyURI = d.page(in.ResourcePolicyURI, at.Child("resourcePolicyURI"))
	m.tosURI = d.page(in.ResourceTosURI, at.Child("resourceTosURI"))
	broken := d.p().errors > before
	d.out.metadata = m
	for i := range m.resources {
		d.out.wellKnown = append(d.out.wellKnown, d.wellKnownRule(m, i, broken, at))
	}
	if !broken {
		d.out.look.forbidden = withResources(d.out.look.forbidden, m.resources)
		d.out.look.unauthenticated = withResources(d.out.look.unauthenticated, m.resources)
	}
}

func withResources(r *Refusal, list []Resource) *Refusal {
	out := Refusal{}
	if r != nil {
		out = *r
	}
	out.Resources = list
	return &out
}

// resource compiles one resource identifier.
func (d *drafter) resource(m *resourceMetadata, id string, at *field.Path) {
	parts := resourceID.FindStringSubmatch(id)
	if parts == nil {
		d.p().invalid(at, id, "must be a URL such as https://example.com or https://example.com/mcp: https, lower-case host, no query, no escapes, no final slash")
		return
	}
	authority, path := parts[1], strings.TrimSuffix(parts[2], "/")
	host, err := normalizeHost(authority, true)
	if err != nil || !strings.HasPrefix(authority, host) || strings.HasPrefix(authority[len(host):], ".") {
		d.p().invalid(at, id, "its host "+errHost.Error())
		return
	}
	if _, ok := splitPath(wellKnownResource+path, d.out.paths, nil); !ok {
		d.p().invalid(at, id, "two servers could read its path in two ways")
		return
	}
	if len(d.out.hosts) > 0 && !slices.ContainsFunc(d.out.hosts, func(c hostClaim) bool { return covers(c.host, host) }) {
		d.p().invalid(at, id, fmt.Sprintf("%s is none of spec.hosts; a policy speaks for its own hosts only", host))
		return
	}
	if slices.ContainsFunc(m.resources, func(r Resource) bool { return r.Host == host && r.Path == path }) {
		d.p().invalid(at, id, "its metadata would stand where that of another one does")
		return
	}
	m.resources = append(m.resources, Resource{Host: host, Path: path, MetadataURL: "https://" + authority + wellKnownResource + path, id: id})
}

// covers tells whether a host of a policy is this one, or a wildcard over it.
func covers(pattern, host string) bool {
	rest, wildcard := strings.CutPrefix(pattern, "*")
	return pattern == host || wildcard && len(host) > len(rest) && strings.HasSuffix(host, rest)
}

// page is the URL of a page for people.
func (d *drafter) page(text string, at *field.Path) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || !isPrintable(text) || strings.Contains(text, " ") {
		d.p().invalid(at, text, "must be a URL such as https://developers.example.com/orders")
	}
	return text
}

// wellKnownRule is the rule that serves the metadata of a resource. It stands before the rules of the policy, takes GET and
// HEAD at this one path, and leaves the other hosts of the policy a place where nothing is served.
func (d *drafter) wellKnownRule(m *resourceMetadata, i int, broken bool, at *field.Path) *ruleDraft {
	r := m.resources[i]
	pattern, err := parseLiteralPath(wellKnownResource+r.Path, d.out.paths)
	return &ruleDraft{
		name: resourceRule, index: i - len(m.resources), at: at, access: accessMetadata, dryRun: d.out.dryRun,
		broken: broken || err != nil, unreadable: err != nil, look: d.out.look, resource: i,
		matches: []match{{pattern: pattern, methods: []string{"GET", "HEAD"}, host: r.Host, rank: rankOf(true, 0, 0)}},
	}
}
