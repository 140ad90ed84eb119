package extauthz

import (
	"encoding/json"
	"net/http"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// denied is the answer that the client receives. It names no policy, and where the status was changed, to hide that
// something exists, nothing else tells.
func (c *check) denied() *authv3.DeniedHttpResponse {
	look := c.decision.Refusal
	if look == nil {
		look = &policy.Refusal{}
	}
	row := refusalOf(c.decision.Reason)
	status := int32(c.decision.Reason.Status())
	if look.Status != 0 && !(c.grpc && isRedirect(look.Status)) {
		status = look.Status
	}
	h := newResponseHeaders(look.Headers)
	h.own(DecisionIDHeader, c.id)
	h.byDefault("cache-control", "no-store")
	if r := look.Redirect; r != nil && c.redirected(r) {
		if !isRedirect(status) {
			status = http.StatusFound
		}
		h.own("location", c.location(r))
		return deniedResponse(status, h, "")
	}
	if value, ok := c.challenge(row, status, look.Realm); ok {
		h.own("www-authenticate", value)
	}
	body, contentType := c.body(look, status)
	if contentType != "" {
		h.own("content-type", contentType)
	}
	return deniedResponse(status, h, body)
}

func deniedResponse(status int32, h responseHeaders, body string) *authv3.DeniedHttpResponse {
	return &authv3.DeniedHttpResponse{
		Status:  &typev3.HttpStatus{Code: typev3.StatusCode(status)},
		Headers: h,
		Body:    body,
	}
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

// responseHeaders are those of a refusal, at most one of each name.
type responseHeaders []*corev3.HeaderValueOption

func newResponseHeaders(custom []policy.HeaderValue) responseHeaders {
	h := make(responseHeaders, 0, len(custom)+4)
	for _, c := range custom {
		h = append(h, setHeader(c.Name, c.Value))
	}
	return h
}

// byDefault adds a header that a policy may have set otherwise.
func (h *responseHeaders) byDefault(name, value string) {
	if !slices.ContainsFunc(*h, func(o *corev3.HeaderValueOption) bool { return o.Header.Key == name }) {
		*h = append(*h, setHeader(name, value))
	}
}

// own adds a header over whatever a policy has set.
func (h *responseHeaders) own(name, value string) {
	*h = slices.DeleteFunc(*h, func(o *corev3.HeaderValueOption) bool { return o.Header.Key == name })
	*h = append(*h, setHeader(name, value))
}
