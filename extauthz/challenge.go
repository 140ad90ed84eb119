package extauthz

import (
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// challenge is the value of WWW-Authenticate; ok is false where there is none. A status that a policy changed gets
// none, so that a hidden 404 betrays nothing; but for 401, which has one always (RFC 9110 §15.5.2), then without a code.
func (c *check) challenge(row refusal, status int32, realm string) (value string, ok bool) {
	switch {
	case row.challenge && int(status) == c.decision.Reason.Status():
		var scopes []string
		if c.decision.Reason == policy.ReasonInsufficientScope {
			scopes = c.decision.Scopes
		}
		return bearer(realm, row.oauth, scopes), true
	case status == http.StatusUnauthorized:
		return bearer(realm, "", nil), true
	}
	return "", false
}

// bearer writes the challenge of RFC 6750 §3. A realm, or scopes, that cannot be written as the RFCs have it are left
// out: half of them would say something else.
func bearer(realm, oauth string, scopes []string) string {
	var b strings.Builder
	b.WriteString("Bearer")
	sep := " "
	param := func(name, value string) {
		b.WriteString(sep)
		b.WriteString(name)
		writeQuoted(&b, value)
		sep = ", "
	}
	if realm != "" && isPrintable(realm) {
		param("realm=", realm)
	}
	if oauth != "" {
		param("error=", oauth)
	}
	if len(scopes) > 0 && areScopeTokens(scopes) {
		param("scope=", strings.Join(scopes, " "))
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
