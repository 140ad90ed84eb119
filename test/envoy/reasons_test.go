package envoy

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/cmd/demo"
)

// verdict is all that a client and an operator learn of a decision.
type verdict struct {
	status    int
	reason    string
	rule      string
	challenge string // error code of the challenge; "none": no challenge; "": one without a code
	scope     string // of the challenge
}

var (
	malformed = verdict{401, "MalformedToken", "any", "invalid_token", ""}
	ambiguous = verdict{400, "AmbiguousCredential", "any", "invalid_request", ""}
)

func allowed(reason, rule string) verdict { return verdict{200, reason, rule, "none", ""} }

func invalidToken(reason string) verdict { return verdict{401, reason, "any", "invalid_token", ""} }

func forbidden(reason, rule string) verdict { return verdict{403, reason, rule, "none", ""} }

// reasonCase is a request and what must become of it.
type reasonCase struct {
	name string
	call call
	want verdict
}

// TestReasons shows each verdict that a client or a policy can bring about, in each form in which Envoy describes a
// request: the form must make no difference.
func TestReasons(t *testing.T) {
	dead := startIssuer(t)
	dead.SetFault(demo.Fault{Status: http.StatusInternalServerError})
	stranger := startIssuer(t)
	w := worldWithDeadIssuer(t, dead)
	s := newShopper(t, w, dead, stranger)
	cases := slices.Concat(s.accessCases(), s.malformedCases(), s.tokenCases(), s.requirementCases(), s.placeCases(),
		s.requestCases(), s.upstreamCases())
	forms := []struct {
		name  string
		authz demo.AuthzConfig
	}{
		{name: "headers as a map"},
		{name: "headers raw", authz: demo.AuthzConfig{EncodeRawHeaders: true}},
		{name: "only the headers that policies read", authz: demo.AuthzConfig{AllowedHeaders: []string{
			"authorization", "cookie", "accept", "content-type", "origin", "access-control-request-method", "x-version",
		}}},
	}
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			e := w.edge(t, demo.EnvoyConfig{Authz: form.authz})
			for _, test := range cases {
				t.Run(test.name, func(t *testing.T) { check(t, e.Address(), test) })
			}
		})
	}
	checkLog(t, w.sallyport.Log(), cases)
}

// checkLog sees that the log tells of decisions, and holds no part of any token, no query and no cookie.
func checkLog(t *testing.T, log string, cases []reasonCase) {
	t.Helper()
	if !strings.Contains(log, `"Request refused"`) || !strings.Contains(log, `"Request allowed"`) {
		t.Error("the log does not tell of decisions")
	}
	if strings.Contains(log, "access_token=") || strings.Contains(log, "?id=") {
		t.Error("the log holds a query or a cookie")
	}
	for _, test := range cases {
		for part := range strings.SplitSeq(test.call.token, ".") {
			if len(part) > 20 && strings.Contains(log, part[:20]) {
				t.Errorf("%s: the log holds a part of the token", test.name)
			}
		}
	}
}

func worldWithDeadIssuer(t *testing.T, dead *demo.Issuer) *world {
	t.Helper()
	binary(t, "SALLYPORT_ENVOY")
	binary(t, "SALLYPORT_BIN")
	w := &world{issuer: startIssuer(t), upstream: startUpstream(t), folder: t.TempDir()}
	w.write(t, "reasons.yaml", testdata(t, "reasons.yaml"))
	w.write(t, "dead.yaml", strings.ReplaceAll(testdata(t, "dead.yaml"), "${DEAD}", dead.URL()))
	w.sallyport = startSallyport(t, demo.SallyportConfig{From: []string{w.folder}, Args: []string{"--client-address=peer", "--log-level=debug"}})
	return w
}

// check sends the request of test and compares everything that shows.
func check(t *testing.T, address string, test reasonCase) {
	t.Helper()
	a := do(t, address, test.call)
	got := verdict{status: a.status, reason: a.reason(), rule: a.rule(), challenge: "none"}
	if values := a.header.Values("WWW-Authenticate"); len(values) > 0 {
		params := challenge(t, values)
		got.challenge, got.scope = params["error"], params["scope"]
	}
	if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(verdict{})); diff != "" {
		t.Errorf("verdict (-want +got):\n%s\nheaders %v\nbody %s", diff, a.header, a.body)
	}
	checkID(t, a)
	if a.passed() != (a.header.Get("x-demo-decision") == "Allow") {
		t.Errorf("status %d with the decision %q", a.status, a.header.Get("x-demo-decision"))
	}
	if !a.passed() {
		checkRefusal(t, a)
	}
}

// checkID sees that a refusal, and no other answer, tells its decision id, and that it is the one of the metadata.
func checkID(t *testing.T, a answer) {
	t.Helper()
	shown, known := a.header.Values("X-Sallyport-Decision-Id"), a.header.Get("x-demo-decision-id")
	if known == "" {
		t.Error("there is no decision id in the metadata")
	}
	want := []string{known}
	if a.passed() {
		want = nil
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("decision id (-metadata +header):\n%s", diff)
	}
}

// checkRefusal sees that the body is the default one, and names neither a policy nor a rule.
func checkRefusal(t *testing.T, a answer) {
	t.Helper()
	if got := a.header.Values("Content-Type"); !cmp.Equal(got, []string{"application/problem+json"}) {
		t.Errorf("content type is %q", got)
	}
	var problem struct {
		Status int    `json:"status"`
		Title  string `json:"title"`
	}
	if err := json.Unmarshal([]byte(a.body), &problem); err != nil || problem.Status != a.status || problem.Title == "" {
		t.Errorf("the body is not the problem: %v: %s", err, a.body)
	}
	if name := a.header.Get("x-demo-policy"); name != "" && strings.Contains(a.body, name) {
		t.Errorf("the body names the policy: %s", a.body)
	}
}

// challenge reads the one Bearer challenge of WWW-Authenticate (RFC 6750 §3).
func challenge(t *testing.T, values []string) map[string]string {
	t.Helper()
	if len(values) != 1 {
		t.Errorf("WWW-Authenticate stands there %d times: %q", len(values), values)
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	if scheme != "Bearer" {
		t.Errorf("the challenge is of scheme %q", scheme)
	}
	params := map[string]string{}
	for rest = strings.TrimSpace(rest); rest != ""; {
		name, value, found := strings.Cut(rest, `="`)
		value, after, closed := strings.Cut(value, `"`)
		if _, twice := params[name]; !found || !closed || twice {
			t.Fatalf("the challenge cannot be read: %q", values[0])
		}
		params[name] = value
		rest = strings.TrimLeft(after, ", ")
	}
	if want := "shop"; params["realm"] != "" && params["realm"] != want {
		t.Errorf("realm is %q, want %q", params["realm"], want)
	}
	return params
}
