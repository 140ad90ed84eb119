package extauthz

import (
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// maxReturnURL bounds the URL that the login is told to return to, before it is escaped: browsers and servers take
// headers of 8 KiB, and escaping may treble it.
const maxReturnURL = 2 << 10

// redirected tells whether the client is sent to the login.
func (c *check) redirected(r *policy.Redirect) bool {
	switch {
	case c.grpc || c.req == nil:
		return false
	case c.decision.Reason == policy.ReasonInsufficientUserAuthentication && !r.StepUp:
		return false
	case !r.HTMLOnly:
		return true
	}
	if m := c.req.Method(); m != "GET" && m != "HEAD" {
		return false
	}
	accept, _ := c.req.Header("accept")
	return strings.Contains(strings.ToLower(accept), "text/html")
}

// location is the login, with the URL to return to, and with the login that the rule asks for (OpenID Connect Core
// §3.1.2.1), which the decision has only where that is what is missing.
func (c *check) location(r *policy.Redirect) string {
	out := r.URL
	sep := "?"
	if strings.Contains(out, "?") {
		sep = "&"
	}
	param := func(name, value string) {
		if name != "" && value != "" {
			out += sep + name + "=" + url.QueryEscape(value)
			sep = "&"
		}
	}
	param("acr_values", c.decision.StepUp.ACRValues())
	param("max_age", c.decision.StepUp.MaxAgeSeconds())
	param(r.ReturnParameter, c.returnURL())
	return out
}

// returnURL is that of the request, from parts that were looked at: the host is the one that the policy names, with the
// port that the client used. Tokens in the query stay behind. Empty where there is none to write.
func (c *check) returnURL() string {
	scheme := c.req.Scheme()
	if scheme != "https" && scheme != "http" {
		return ""
	}
	back := scheme + "://" + c.req.Host() + portOf(c.input.Host) + c.req.Path()
	if q := c.queryWithoutTokens(); q != "" {
		back += "?" + q
	}
	if len(back) > maxReturnURL {
		return ""
	}
	return back
}

// portOf is the port of a host that policy.NewRequest has taken, with its colon.
func portOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host[i:]
	}
	return ""
}

// queryWithoutTokens leaves out what the rule's providers take for tokens: one that was refused here may be good
// elsewhere, and the login has no use for it.
func (c *check) queryWithoutTokens() string {
	query := c.req.Query()
	for _, p := range c.trusted {
		for _, s := range p.Sources {
			if s.QueryParameter != "" {
				query = removeParameter(query, s.QueryParameter)
			}
		}
	}
	return query
}
