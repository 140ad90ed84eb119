package kube_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// revoking is a TokenRevocation that is sound but for its entry.
func revoking(entry string) string {
	return `{issuer: "https://id.example.com", entries: [` + entry + "]}"
}

func TestMistakesInTokenRevocation(t *testing.T) {
	const at, end = "spec.entries[0]", `, expires: "2026-01-01T00:00:00Z"`
	refuse(t, v1alpha1.KindTokenRevocation, []mistake{
		{"no issuer", `{entries: [{jti: a` + end + `}]}`, "spec.issuer", "Required value"},
		{"no entries", `{issuer: a}`, "spec.entries", "Required value"},
		{"an empty list", revoking(""), "spec.entries", "should have at least 1 items"},
		{"too many", revoking(many(1001, "{jti: j%d"+end+"}")[1 : len(many(1001, "{jti: j%d"+end+"}"))-1]), "spec.entries", "must have at most 1000 items"},
		{"nothing named", revoking(`{expires: "2026-01-01T00:00:00Z"}`), at, "say jti, sid, sub or issuedBefore"},
		{"a token and a session", revoking(`{jti: a, sid: b` + end + `}`), at, "say at most one of jti, sid and sub"},
		{"a session and a subject", revoking(`{sid: a, sub: b` + end + `}`), at, "say at most one of jti, sid and sub"},
		{"a token of some age", revoking(`{jti: a, issuedBefore: "2026-01-01T00:00:00Z"` + end + `}`), at + ".issuedBefore", "goes with sub"},
		{"a session of some age", revoking(`{sid: a, issuedBefore: "2026-01-01T00:00:00Z"` + end + `}`), at + ".issuedBefore", "goes with sub"},
		{"a token for ever", revoking(`{jti: a}`), at, "needs expires"},
		{"a subject for ever", revoking(`{sub: a}`), at, "needs expires"},
		{"an empty name", revoking(`{jti: ""` + end + `}`), at + ".jti", "should be at least 1 chars long"},
		{"a name of 513 letters", revoking(`{sid: ` + strings.Repeat("a", 513) + end + `}`), at + ".sid", "may not be more than 512"},
		{"an end that is no time", revoking(`{jti: a, expires: tomorrow}`), at + ".expires", "must be of type date-time"},
	})
}

// TestLargeRevocationIsAccepted: as many entries as the schema allows cost no more than an API server permits.
func TestLargeRevocationIsAccepted(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	entry := `{sub: "` + strings.Repeat("a", 500) + `-%d", issuedBefore: "2026-01-01T00:00:00Z", expires: "2026-01-02T00:00:00Z"}`
	spec := fmt.Sprintf("{issuer: a, entries: %s}", many(1000, entry))
	t.Logf("an object of %d bytes", len(spec))
	c.create(t, objectOf(t, v1alpha1.KindTokenRevocation, ns, "large", spec))
}
