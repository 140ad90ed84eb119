package extauthz

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// nonceHeader tells a client the nonce of its next proof (RFC 9449 §8.1).
const nonceHeader = "dpop-nonce"

// denied is the answer that the client receives. It names no policy, and where the status was changed, to hide that
// something exists, nothing else tells.
func (c *check) denied(a *answer) {
	if c.decision.Document != nil {
		c.document(a)
		return
	}
	look := c.decision.Refusal
	if look == nil {
		look = &policy.Refusal{}
	}
	row := refusalOf(c.decision.Reason)
	a.status = int32(c.decision.Reason.Status())
	if look.Status != 0 && !(c.grpc && isRedirect(look.Status)) {
		a.status = look.Status
	}
	a.headers = append(a.headers, look.Headers...)
	a.own(DecisionIDHeader, c.id)
	a.byDefault("cache-control", "no-store")
	if c.nonce != "" {
		a.own(nonceHeader, c.nonce)
	}
	if r := look.Redirect; r != nil && c.redirected(r) {
		if !isRedirect(a.status) {
			a.status = http.StatusFound
		}
		a.own("location", c.location(r))
		return
	}
	if value, ok := c.challenge(row, a.status, look); ok {
		a.own("www-authenticate", value)
	}
	body, contentType := c.body(look, a.status)
	if contentType != "" {
		a.own("content-type", contentType)
	}
	a.body = body
}

func isRedirect(status int32) bool { return status >= 300 && status <= 399 }

// body is that of the refusal, with its media type. gRPC callers get none.
func (c *check) body(look *policy.Refusal, status int32) (body, contentType string) {
	if c.grpc || isRedirect(status) {
		return "", ""
	}
	switch look.Body {
	case policy.BodyProblemJSON:
		return problem(status, c.id), "application/problem+json"
	case policy.BodyText:
		text := look.Text
		if text == "" {
			text = title(status)
		}
		return text + "\n", "text/plain; charset=utf-8"
	}
	return "", ""
}

// title of a status, as about:blank wants it (RFC 9457 §4.2.1).
func title(status int32) string {
	if t := http.StatusText(int(status)); t != "" {
		return t
	}
	return "Refused"
}

// problem is the body of RFC 9457.
func problem(status int32, id string) string {
	b, _ := json.Marshal(struct { // strings and a number: cannot fail
		Type       string `json:"type"`
		Title      string `json:"title"`
		Status     int32  `json:"status"`
		DecisionID string `json:"decisionID"`
	}{"about:blank", title(status), status, id})
	return string(b)
}

// byDefault adds a header that a policy may have set otherwise.
func (a *answer) byDefault(name, value string) {
	if !slices.ContainsFunc(a.headers, func(h policy.HeaderValue) bool { return h.Name == name }) {
		a.headers = append(a.headers, policy.HeaderValue{Name: name, Value: value})
	}
}

// own adds a header over whatever a policy has set.
func (a *answer) own(name, value string) {
	a.headers = slices.DeleteFunc(a.headers, func(h policy.HeaderValue) bool { return h.Name == name })
	a.headers = append(a.headers, policy.HeaderValue{Name: name, Value: value})
}
