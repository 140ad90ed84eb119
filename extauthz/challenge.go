package extauthz

import (
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// challenge is the value of WWW-Authenticate; ok is false where there is none. A status that a policy changed gets
// none, so that a hidden 404 betrays nothing; but for 401, which has one always (RFC 9110 §15.5.2), then without a code.
func (c *check) challenge(row refusal, status int32, look *policy.Refusal) (value string, ok bool) {
	p := params{realm: look.Realm}
	if c.req != nil && len(look.Resources) > 0 {
		p.resourceMetadata = look.MetadataURL(c.req.Host(), c.req.Path())
	}
	switch {
	case row.challenge && int(status) == c.decision.Reason.Status():
		p.oauth = row.oauth
		switch c.decision.Reason {
		case policy.ReasonInsufficientScope:
			p.scopes = c.decision.Scopes
		case policy.ReasonInsufficientUserAuthentication:
			p.stepUp = c.decision.StepUp
		}
		return c.challenges(&p), true
	case status == http.StatusUnauthorized:
		return c.challenges(&p), true
	}
	return "", false
}

// challenges writes one for each scheme that the rule's providers take, with the error in the one that was tried (RFC 9449
// §7.2); of a request that tried several, in both. A client that shows proofs is told of no scheme without them.
func (c *check) challenges(p *params) string {
	p.algorithms = proofAlgorithms(c.trusted)
	if p.algorithms == 0 {
		return p.write("Bearer")
	}
	other := *p
	other.oauth, other.scopes, other.stepUp = "", nil, nil
	switch {
	case c.sending.withProof:
		return p.write(dpop)
	case c.decision.Reason == policy.ReasonAmbiguousCredential:
		other.oauth = p.oauth
	}
	return p.write("Bearer") + ", " + other.write(dpop)
}

// dpop is the scheme of RFC 9449 §7.1.
const dpop = "DPoP"

// params are those of a challenge; what is empty is left out.
type params struct {
	realm, oauth string
	scopes       []string
	stepUp       *policy.StepUp
	// algorithms of proofs, for DPoP (RFC 9449 §7.1).
	algorithms token.Algorithms
	// resourceMetadata is a URL (RFC 9728 §5.1).
	resourceMetadata string
}

// write writes the challenge of a scheme, as RFC 6750 §3, RFC 9449 §7.1 and RFC 9470 §3 have it. What cannot be written as the RFCs have it is left out: half
// of it would say something else.
func (p *params) write(scheme string) string {
	var b strings.Builder
	b.WriteString(scheme)
	sep := " "
	param := func(name, value string) {
		b.WriteString(sep)
		b.WriteString(name)
		writeQuoted(&b, value)
		sep = ", "
	}
	if p.realm != "" && isPrintable(p.realm) {
		param("realm=", p.realm)
	}
	if p.oauth != "" {
		param("error=", p.oauth)
	}
	if len(p.scopes) > 0 && areScopeTokens(p.scopes) {
		param("scope=", strings.Join(p.scopes, " "))
	}
	if acr := p.stepUp.ACRValues(); acr != "" && isPrintable(acr) {
		param("acr_values=", acr)
	}
	if age := p.stepUp.MaxAgeSeconds(); age != "" {
		param("max_age=", age)
	}
	if p.resourceMetadata != "" && isPrintable(p.resourceMetadata) {
		param("resource_metadata=", p.resourceMetadata)
	}
	if scheme == dpop {
		param("algs=", strings.ReplaceAll(p.algorithms.String(), ", ", " "))
	}
	return b.String()
}

// writeQuoted writes a quoted-string (RFC 9110 §5.6.4).
func writeQuoted(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// areScopeTokens tells whether each is a scope-token (RFC 6749 §3.3).
func areScopeTokens(scopes []string) bool {
	for _, s := range scopes {
		if s == "" || !isPrintable(s) || strings.ContainsAny(s, ` "\`) {
			return false
		}
	}
	return true
}
