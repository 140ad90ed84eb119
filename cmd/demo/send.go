package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// send sends every request through Envoy and prints the table. Another outcome than the expected one is an error.
func (w *world) send(ctx context.Context, out io.Writer, tokens map[string]string) error {
	c := newCaller()
	defer c.close()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REQUEST\tWHO\tVERDICT\tSTATUS\tREASON\tRULE\tUPSTREAM SAW")
	var wrong []string
	for _, r := range requests {
		got, err := w.outcome(ctx, c, r, tokens)
		if err != nil {
			_ = table.Flush()
			return err
		}
		fmt.Fprintf(table, "%s %s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.method, r.path, r.who,
			got.verdict, got.status, got.reason, dash(got.rule), dash(got.saw))
		if got != r.want {
			wrong = append(wrong, fmt.Sprintf("%s %s (%s): got %+v, want %+v", r.method, r.path, r.who, got, r.want))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d of %d requests came out wrong:\n%s", len(wrong), len(requests), strings.Join(wrong, "\n"))
	}
	fmt.Fprintf(out, "\nAll %d requests came out as expected.\n", len(requests))
	return nil
}

// outcome sends one request and says what became of it.
func (w *world) outcome(ctx context.Context, c *caller, r request, tokens map[string]string) (outcome, error) {
	before := w.upstream.Requests()
	resp, err := c.call(ctx, w.envoy.Address(), r, tokens[r.token])
	if err != nil {
		return outcome{}, fmt.Errorf("sending %s %s: %w", r.method, r.path, err)
	}
	got := outcome{
		verdict: resp.header.Get("x-demo-decision"),
		status:  strconv.Itoa(resp.status),
		reason:  resp.header.Get("x-demo-reason"),
		rule:    resp.header.Get("x-demo-rule"),
	}
	if r.method == "gRPC" {
		// An answer without a message carries its status in the headers.
		got.status = "gRPC " + resp.trailer.Get("Grpc-Status") + resp.header.Get("Grpc-Status")
	}
	if strings.HasPrefix(resp.header.Get("Location"), w.issuer.URL()+"/login?rd=") {
		got.status += " to login"
	}
	if w.upstream.Requests() > before {
		got.saw = describe(w.upstream.Last())
	}
	return got, nil
}

// describe says whose request the upstream takes this for, and whether it holds the token.
func describe(echo Echo) string {
	user, token := "no user", "no token"
	if values := echo.Headers["x-user"]; len(values) > 0 {
		user = "user " + strings.Join(values, " and ")
	}
	if len(echo.Headers["authorization"]) > 0 {
		token = "token"
	}
	return user + ", " + token
}

// caller is a client that follows no redirect. Its calls go to the address they are given, whatever host they name.
type caller struct{ http1, http2 *http.Client }

func newCaller() *caller {
	client := func(protocols *http.Protocols) *http.Client {
		return &http.Client{
			Transport:     &http.Transport{Protocols: protocols},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	var http1, http2 http.Protocols
	http1.SetHTTP1(true)
	http2.SetUnencryptedHTTP2(true)
	return &caller{http1: client(&http1), http2: client(&http2)}
}

func (c *caller) close() {
	c.http1.CloseIdleConnections()
	c.http2.CloseIdleConnections()
}

// reply is an answer that was read to its end.
type reply struct {
	status          int
	header, trailer http.Header
	body            string
}

// call sends r to address.
func (c *caller) call(ctx context.Context, address string, r request, token string) (reply, error) {
	client, method, body := c.http1, r.method, io.Reader(http.NoBody)
	if r.method == "gRPC" {
		client, method, body = c.http2, http.MethodPost, bytes.NewReader(emptyMessage)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+r.path, body)
	if err != nil {
		return reply{}, err
	}
	req.Host = host
	for name, value := range r.headers {
		req.Header.Set(name, value)
	}
	if r.method == "gRPC" {
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("TE", "trailers")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return do(client, req)
}

// do sends req and reads the whole answer, so that its trailers are there.
func do(client *http.Client, req *http.Request) (reply, error) {
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, resp.Trailer, string(body)}, err
}

// printCurl prints the tokens as shell variables, and each request that curl can send as a line that uses them.
func printCurl(out io.Writer, w *world, tokens map[string]string) {
	_, port, _ := strings.Cut(w.envoy.Address(), ":")
	fmt.Fprintf(out, "\nEverything stays up until Ctrl-C. Edit %s and send again: an edit is enforced at once.\n", w.folder)
	fmt.Fprintf(out, "Envoy's configuration is %s. Tokens, good for an hour:\n\n", w.envoy.ConfigFile())
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		fmt.Fprintf(out, "%s=%s\n", name, tokens[name])
	}
	fmt.Fprintln(out)
	for _, r := range requests {
		if r.method == "gRPC" {
			continue
		}
		line := "curl -i --path-as-is -X " + r.method
		if r.token != "" {
			line += ` -H "Authorization: Bearer $` + r.token + `"`
		}
		for name, value := range r.headers {
			line += " -H '" + name + ": " + value + "'"
		}
		fmt.Fprintf(out, "%s http://%s:%s%s\n", line, host, port, r.path)
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
