package policy

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/extauthz/token"
)

// Bounds of holdFor, which the schema names too.
const (
	minHoldFor = time.Minute
	maxHoldFor = 9600 * time.Hour
)

// logout reads which logout tokens are believed; nil for none. maxAge is maxTokenAge; 0 for none.
func (c *providerCompiler) logout(maxAge time.Duration, at *field.Path) *token.Logout {
	in := c.spec.BackChannelLogout
	if in == nil {
		return nil
	}
	out := &token.Logout{
		ClientIDs:  slices.Clone(in.ClientIDs),
		TokenTypes: readTokenTypes(in.TokenTypes, at.Child("tokenTypes"), c.p(), "logout+jwt", "JWT"),
		HoldFor:    c.duration(in.HoldFor, maxAge, minHoldFor, maxHoldFor, at.Child("holdFor")),
	}
	if len(in.ClientIDs) == 0 {
		c.p().required(at.Child("clientIDs"), "the client at the provider that logout tokens are for")
	}
	for i, id := range in.ClientIDs {
		if id == "" || slices.Contains(in.ClientIDs[:i], id) {
			c.p().invalid(at.Child("clientIDs").Index(i), id, "must be a text that is not empty and stands here once")
		}
	}
	if in.HoldFor != nil && out.HoldFor < maxAge {
		c.p().warn(at.Child("holdFor"), ProblemEndsEarly, "is less than maxTokenAge: a token could be valid again before it has expired")
	}
	if in.HoldFor == nil && maxAge == 0 {
		c.p().required(at.Child("holdFor"), "without maxTokenAge, how long a token can be valid")
	}
	return out
}
