package extauthz

import (
	"net/http"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// documentHeaders are those of a document that Sallyport serves. It is public, the same for everybody, and read by clients
// in browsers too; five minutes are as long as a change may take to be seen.
var documentHeaders = []policy.HeaderValue{
	{Name: "content-type", Value: "application/json"},
	{Name: "cache-control", Value: "public, max-age=300"},
	{Name: "access-control-allow-origin", Value: "*"},
	{Name: "x-content-type-options", Value: "nosniff"},
}

// document is the answer that the client receives from us in place of the application. There is no decision id in it: a
// cache would show it to others. Of HEAD the proxy leaves out the body.
func (c *check) document(a *answer) {
	a.status = http.StatusOK
	a.headers = append(a.headers, documentHeaders...)
	if c.trusted != nil {
		a.own("cache-control", "private, max-age=300") // another rule asked for a token, which a shared cache does not
	}
	a.body = c.decision.Document.Body
}
