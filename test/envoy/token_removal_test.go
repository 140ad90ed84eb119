package envoy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/cmd/demo"
)

// remains is what an application sees of the places where a token may stand.
type remains struct {
	Path, Query                   string
	Authorization, XToken, Cookie []string
}

// removals are requests with a token, for which T stands, and what the application is to receive of them.
var removals = []struct {
	name   string
	target string
	header []string
	want   remains // of the host that removes
}{
	{name: "header", target: "/a?b", header: []string{"Authorization: Bearer T"}, want: remains{Path: "/a", Query: "b"}},
	{name: "header without a scheme", target: "/", header: []string{"X-Token: T"}, want: remains{Path: "/"}},
	{
		name: "header, beside a cookie", target: "/", header: []string{"Authorization: Bearer T", "Cookie: a=1; b"},
		want: remains{Path: "/", Cookie: []string{"a=1; b"}},
	},
	{name: "the only cookie", target: "/", header: []string{"Cookie: access_token=T"}, want: remains{Path: "/"}},
	{
		name: "the first cookie", target: "/", header: []string{`Cookie: access_token=T; b="x y"; c==`},
		want: remains{Path: "/", Cookie: []string{`b="x y"; c==`}},
	},
	{
		name: "a cookie between others", target: "/", header: []string{`Cookie: a=%20;b=;  access_token=T; c=1; Access_Token=2`},
		want: remains{Path: "/", Cookie: []string{`a=%20;b=; c=1; Access_Token=2`}},
	},
	{
		name: "the last cookie", target: "/", header: []string{`Cookie: a=1; xaccess_token=2; access_token=T`},
		want: remains{Path: "/", Cookie: []string{`a=1; xaccess_token=2`}},
	},
	{
		name: "a cookie of a field of its own", target: "/", header: []string{"Cookie: a=1", "Cookie: access_token=T", "Cookie: b=2"},
		want: remains{Path: "/", Cookie: []string{"a=1; b=2"}},
	},
	{name: "the only query parameter", target: "/a?access_token=T", want: remains{Path: "/a"}},
	{name: "the first query parameter", target: "/a?access_token=T&z=1&a=2", want: remains{Path: "/a", Query: "z=1&a=2"}},
	{
		name: "a query parameter between others", target: "/a%20b?z=%2f+&c&&access_token=T&a=1&a=2&=&d=?",
		want: remains{Path: "/a%20b", Query: "z=%2f+&c&&a=1&a=2&=&d=?"},
	},
	{name: "the last query parameter", target: "/?b=1&access_token=T", want: remains{Path: "/", Query: "b=1"}},
	{
		name: "a query with names that resemble it", target: "/?xaccess_token=1&Access_Token=2&access_token=T&access_tokens=3",
		want: remains{Path: "/", Query: "xaccess_token=1&Access_Token=2&access_tokens=3"},
	},
}

// TestTokenRemoval shows that a token is taken out of the place where it stood, and that all else arrives byte for byte.
func TestTokenRemoval(t *testing.T) {
	w := newWorld(t, []string{"tokens.yaml"})
	token := w.token(t, nil)
	for _, raw := range []bool{false, true} {
		e := w.edge(t, demo.EnvoyConfig{Authz: demo.AuthzConfig{EncodeRawHeaders: raw}})
		for _, test := range removals {
			name := test.name + map[bool]string{false: "", true: ", headers raw"}[raw]
			t.Run(name, func(t *testing.T) {
				c := call{host: "remove.test", target: strings.ReplaceAll(test.target, "T&", token+"&")}
				if strings.HasSuffix(test.target, "=T") {
					c.target = strings.TrimSuffix(test.target, "T") + token
				}
				for _, line := range test.header {
					c.header = append(c.header, replaceToken(line, token))
				}
				if diff := cmp.Diff(test.want, remainsOf(t, do(t, e.Address(), c))); diff != "" {
					t.Errorf("the application received (-want +got):\n%s", diff)
				}
				checkForwarded(t, e.Address(), c)
			})
		}
	}
}

// checkForwarded sees that the host that forwards tokens changes nothing of c, but for the fields that Envoy joins.
func checkForwarded(t *testing.T, address string, c call) {
	t.Helper()
	c.host = "forward.test"
	got := remainsOf(t, do(t, address, c))
	if got.Path+"?"+got.Query != c.target && got.Path != c.target {
		t.Errorf("the target %s arrived as %s?%s", c.target, got.Path, got.Query)
	}
	for _, line := range c.header {
		_, value, _ := strings.Cut(line, ": ")
		all := strings.Join(append(append(got.Authorization, got.XToken...), got.Cookie...), "\n")
		if !strings.Contains(all, value) {
			t.Errorf("%s did not arrive: %s", line, all)
		}
	}
}

func replaceToken(line, token string) string {
	for _, before := range []string{"Bearer T", "X-Token: T", "access_token=T"} {
		// Names that only resemble access_token never have T for a value.
		line = strings.Replace(line, before, strings.TrimSuffix(before, "T")+token, 1)
	}
	return line
}

func remainsOf(t *testing.T, a answer) remains {
	t.Helper()
	e := a.echo(t)
	return remains{e.Path, e.Query, e.Headers["authorization"], e.Headers["x-token"], e.Headers["cookie"]}
}

// TestTokenRemovalWithoutToken shows that where no token is shown, the request arrives as it was sent.
func TestTokenRemovalWithoutToken(t *testing.T) {
	w := newWorld(t, []string{"tokens.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	a := do(t, e.Address(), call{
		host: "remove.test", target: "/optional?z=1&c&a=%2f", header: []string{"Authorization: Basic YTpi", "Cookie: a=1; b"},
	})
	want := remains{
		Path: "/optional", Query: "z=1&c&a=%2f", Authorization: []string{"Basic YTpi"}, Cookie: []string{"a=1; b"},
	}
	if diff := cmp.Diff(want, remainsOf(t, a)); diff != "" {
		t.Errorf("the application received (-want +got):\n%s", diff)
	}
}
