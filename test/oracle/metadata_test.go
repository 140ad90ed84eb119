package oracle

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// TestMetadataOpensNothing lets policies serve the metadata of resources, and compares with what was said without it. Off
// the well-known paths nothing differs. On them nothing is allowed that was not, but for preflights where the policy says
// so, which land as the request would that they announce; and a document is an answer to GET and HEAD
// alone, from a policy that is enforced and has the host.
func TestMetadataOpensNothing(t *testing.T) {
	n := pairs(t) / 3
	tried, served := 0, 0
	for seed := uint64(1); tried < n; seed++ {
		d := newDrawer(seed)
		without, draw := d.any()
		with := without.clone()
		for _, p := range with.policies {
			if !d.rarely(3) {
				p.Spec.Denied = &v1alpha1.PolicyDenied{ResourceMetadata: &v1alpha1.ResourceMetadata{
					Resources: one(d, nil, []string{"https://a.com"}, []string{"https://x.a.com:8443/a", "https://a.com/a"}),
				}}
			}
		}
		a, b := compile(with), compile(without)
		for range each {
			q := draw()
			wellKnown := d.rarely(2)
			if wellKnown {
				q.path = "/.well-known/oauth-protected-resource" + one(d, "", "", "/a", "/a", "/", "/b") + one(d, "", "?q=1")
			}
			tried++
			got, want := a.ask(q), b.ask(q)
			opened := got.Allow && !want.Allow && got.Reason != policy.ReasonPreflight
			document := got.Reason == policy.ReasonResourceMetadata
			switch {
			case !wellKnown && got.Verdict != want.Verdict, opened, document != (got.Document != nil):
				t.Fatalf("seed %d: %+v with metadata, %+v without\n%s", seed, got.Verdict, want.Verdict, describe(t, with, q))
			case document:
				served++
				if q.method != "GET" && q.method != "HEAD" || got.Allow || !with.mayServe(got.Policy, plain(q.host), got.Document.Body) {
					t.Fatalf("seed %d: %+v with the document %s\n%s", seed, got.Verdict, got.Document.Body, describe(t, with, q))
				}
			}
		}
	}
	if served*200 < tried {
		t.Errorf("%d documents in %d answers", served, tried)
	}
}

// mayServe tells whether the policy of this name is enforced, and the document about the host.
func (w *world) mayServe(name, host, body string) bool {
	for _, p := range w.policies {
		if p.Namespace+"/"+p.Name == name {
			about, _, _ := strings.Cut(strings.TrimPrefix(body, `{"resource":"https://`), `"`)
			about, _, _ = strings.Cut(about, "/")
			about, _, _ = strings.Cut(about, ":")
			return !w.tried(p) && about == host
		}
	}
	return false
}
