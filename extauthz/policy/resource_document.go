package policy

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/extauthz/token"
)

// resourceMetadata is what a policy says of its resources.
type resourceMetadata struct {
	resources []Resource
	// scopes that are told of; nil for those of the rules.
	scopes                                 []string
	name, documentation, policyURI, tosURI string
}

// Document is an answer that Sallyport gives itself, in place of the application.
type Document struct {
	// Body in JSON. It is a text of the snapshot, the same for every request.
	Body string
}

// document is the metadata of a protected resource (RFC 9728 §2).
type document struct {
	Resource               string   `json:"resource"`
	AuthorizationServers   []string `json:"authorization_servers,omitempty"`
	ScopesSupported        []string `json:"scopes_supported,omitempty"`
	BearerMethodsSupported []string `json:"bearer_methods_supported"`
	DPoPSigningAlgorithms  []string `json:"dpop_signing_alg_values_supported,omitempty"`
	ResourceName           string   `json:"resource_name,omitempty"`
	ResourceDocumentation  string   `json:"resource_documentation,omitempty"`
	ResourcePolicyURI      string   `json:"resource_policy_uri,omitempty"`
	ResourceTosURI         string   `json:"resource_tos_uri,omitempty"`
}

// documents are those of the resources of d, of which refs are the providers; nil ones are left out.
func (d *draft) documents(refs []*trusted) []Document {
	m := d.metadata
	doc := document{
		ScopesSupported: m.scopes, BearerMethodsSupported: bearerMethods(refs), DPoPSigningAlgorithms: proofAlgorithms(refs), ResourceName: m.name,
		ResourceDocumentation: m.documentation, ResourcePolicyURI: m.policyURI, ResourceTosURI: m.tosURI,
	}
	if m.scopes == nil {
		doc.ScopesSupported = d.scopesShown()
	}
	for _, t := range refs {
		// RFC 8414 §2: an authorization server is known by a URL. Another issuer is none that a client could ask.
		if t != nil && (strings.HasPrefix(t.token.Issuer, "https://") || strings.HasPrefix(t.token.Issuer, "http://")) &&
			!slices.Contains(doc.AuthorizationServers, t.token.Issuer) {
			doc.AuthorizationServers = append(doc.AuthorizationServers, t.token.Issuer)
		}
	}
	out := make([]Document, len(m.resources))
	for i, r := range m.resources {
		doc.Resource = r.id
		body, _ := json.Marshal(doc) // texts only: cannot fail
		out[i].Body = string(body)
	}
	return out
}

// bearerMethods are those of RFC 6750 §2 by which the providers take tokens; never nil. Others, such as cookies, have no
// name there.
func bearerMethods(refs []*trusted) []string {
	out := []string{}
	for _, s := range sourcesOf(refs) {
		method := ""
		switch {
		case s.Header == "authorization" && strings.EqualFold(s.Scheme, "Bearer"):
			method = "header"
		case s.QueryParameter == "access_token":
			method = "query"
		}
		if method != "" && !slices.Contains(out, method) {
			out = append(out, method)
		}
	}
	return out
}

// proofAlgorithms are those of the proofs that tokens may be shown with; nil where none may.
func proofAlgorithms(refs []*trusted) []string {
	var all token.Algorithms
	for _, t := range refs {
		if t != nil && t.token.DPoP != nil {
			all |= t.token.DPoP.Algorithms
		}
	}
	if all == 0 {
		return nil
	}
	return strings.Split(all.String(), ", ")
}

// scopesShown are the scopes that rules ask for, sorted. Rules that are only tried, and those that hide behind a status,
// are not told of.
func (d *draft) scopesShown() []string {
	var out []string
	add := func(q *requirements) {
		if q == nil {
			return
		}
		out = append(out, q.scopes...)
		for i := range q.anyOf {
			out = append(out, q.anyOf[i].scopes...)
		}
	}
	add(d.require)
	for _, r := range d.rules {
		hidden := r.look.forbidden != nil && r.look.forbidden.Status != 0 || r.look.unauthenticated != nil && r.look.unauthenticated.Status != 0
		if !r.dryRun && !hidden {
			add(r.require)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
