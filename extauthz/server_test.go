package extauthz

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

func TestNewSaysAllThatIsWrong(t *testing.T) {
	_, err := New(Config{
		ClientAddress: "socket", XFFTrustedHops: -1, MaxInFlight: -1,
		GatewayPrincipals: []string{"spiffe://cluster.local/ns/*/sa/edge", "edge", "spiffe://*/ns/a"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"snapshot", "verifier", `"socket"`, "-1 trusted hops", `"edge"`, `"spiffe://*/ns/a"`, "below zero"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "ns/*/sa") {
		t.Errorf("a good pattern is refused: %v", err)
	}
}

func TestNotReadyIsTheOnlyError(t *testing.T) {
	w := newWorld(t, nil)
	w.snapshot.Store(nil)
	if _, err := w.Check(t.Context(), ask("GET", "https://orders.example.com/healthz")); status.Code(err) != codes.Unavailable {
		t.Errorf("without a snapshot: %v", err)
	}
}

func TestExpiredContextStillGetsADecision(t *testing.T) {
	w := newWorld(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tok := mint(t, jwt.MapClaims{"scope": "orders.read audit"})
	for url, want := range map[string]string{
		"https://orders.example.com/healthz": "Public",
		"https://orders.example.com/v1":      "Allowed",
		"https://far.example.com/":           "UntrustedIssuer",
	} {
		out, err := w.Check(ctx, ask("GET", url, "authorization: Bearer "+tok))
		if err != nil || meta(out, "reason") != want {
			t.Errorf("%s: %q %v", url, meta(out, "reason"), err)
		}
	}
}

// TestNobodyWaitsAnyMore: an answer that comes after Envoy's timeout takes the time of those behind it, and is a decision
// all the same.
func TestNobodyWaitsAnyMore(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Verifier = verifierFunc(func(context.Context) (*token.Identity, error) {
			t.Error("the token was verified")
			return nil, token.ErrMalformed
		})
	})
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	out, err := w.Check(ctx, ask("GET", "https://orders.example.com/v1", "authorization: Bearer x"))
	if err != nil || meta(out, "reason") != "Overloaded" || out.GetDeniedResponse().GetStatus().GetCode() != 503 {
		t.Errorf("got %v %v", out, err)
	}
}

// verifierFunc is a Verifier.
type verifierFunc func(ctx context.Context) (*token.Identity, error)

func (f verifierFunc) Verify(ctx context.Context, _ token.Credential, _ []*token.Provider) (*token.Identity, error) {
	return f(ctx)
}

func TestPanicIsRefused(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Verifier = verifierFunc(func(context.Context) (*token.Identity, error) { panic("a fault of ours") })
	})
	conn, _ := w.serve(t)
	client := authv3.NewAuthorizationClient(conn)
	in := ask("GET", "https://orders.example.com/v1", "authorization: Bearer secret-token")
	for range 2 { // the server lives on
		out, err := client.Check(t.Context(), in)
		if err != nil || meta(out, "reason") != "InternalError" || out.GetDeniedResponse().GetStatus().GetCode() != 503 {
			t.Fatalf("got %v %v", out, err)
		}
		if headersOf(t, out.GetDeniedResponse().GetHeaders())[DecisionIDHeader] != meta(out, "decisionID") || !strings.Contains(w.logged(), meta(out, "decisionID")) {
			t.Error("the log and the answer do not share a decision id")
		}
	}
	in.Attributes.Request.Http.Headers["content-type"] = "application/grpc"
	if out, err := client.Check(t.Context(), in); err != nil || out.GetDeniedResponse().GetBody() != "" {
		t.Errorf("a gRPC caller gets %v %v", out, err)
	}
	if n := testutil.ToFloat64(w.metrics.panics); n != 3 || w.inFlight.Load() != 0 {
		t.Errorf("%v panics counted, %d in flight", n, w.inFlight.Load())
	}
	if !strings.Contains(w.logged(), "a fault of ours") || strings.Contains(w.logged(), "secret-token") {
		t.Errorf("log: %s", w.logged())
	}
}

func TestVerifierThatSaysNothingRefuses(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Verifier = verifierFunc(func(context.Context) (*token.Identity, error) { return nil, nil })
	})
	if got := meta(w.check(t, ask("GET", "https://orders.example.com/optional", "authorization: Bearer x")), "reason"); got != "MalformedToken" {
		t.Errorf("a token that nobody judged: %q", got)
	}
}

// TestOverloadIsRefusedAtOnce holds Checks in the verifier until the bound is reached.
func TestOverloadIsRefusedAtOnce(t *testing.T) {
	const bound = 3
	release := make(chan struct{})
	var inside sync.WaitGroup
	inside.Add(bound)
	w := newWorld(t, func(c *Config) {
		c.MaxInFlight = bound
		c.Verifier = verifierFunc(func(context.Context) (*token.Identity, error) {
			inside.Done()
			<-release
			return nil, token.ErrExpired
		})
	})
	conn, _ := w.serve(t)
	client := authv3.NewAuthorizationClient(conn)
	held := make(chan string, bound)
	for range bound {
		go func() {
			out, err := client.Check(context.Background(), ask("GET", "https://orders.example.com/v1", "authorization: Bearer x"))
			held <- meta(out, "reason") + errorText(err)
		}()
	}
	inside.Wait()
	for range 5 {
		out, err := client.Check(t.Context(), ask("GET", "https://orders.example.com/healthz"))
		if err != nil || meta(out, "reason") != "Overloaded" || out.GetDeniedResponse().GetStatus().GetCode() != 503 {
			t.Fatalf("got %v %v", out, err)
		}
	}
	close(release)
	for range bound {
		if got := <-held; got != "TokenExpired" {
			t.Errorf("what was held got %q", got)
		}
	}
	if got := meta(w.check(t, ask("GET", "https://orders.example.com/healthz")), "reason"); got != "Public" {
		t.Errorf("after the rush: %q", got)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestDryRun: with serve --dry-run nothing is refused but what the server cannot bear.
func TestDryRun(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.RequireScope = true })
	w.snapshot.Store(compileWorld(t, policy.Options{DryRun: true, ClientAddress: policy.ClientAddressPeer}))
	scoped := func(scope string, in *authv3.CheckRequest) *authv3.CheckRequest {
		in.Attributes.ContextExtensions = map[string]string{policy.ScopeKey: scope}
		return in
	}
	for _, tt := range []struct {
		name string
		in   *authv3.CheckRequest
		want string
	}{
		{"no token", scoped("namespace/shop", ask("GET", "https://orders.example.com/v1")), "MissingToken"},
		{"unknown host", scoped("namespace/shop", ask("GET", "https://nobody.example.com/")), "NoPolicy"},
		{"unreadable scope", scoped("shop", ask("GET", "https://orders.example.com/healthz", "x-user: root")), "InvalidScope"},
		{"no scope", ask("GET", "https://orders.example.com/healthz", "x-user: root"), "ScopeRequired"},
		{"no request", &authv3.CheckRequest{}, "InvalidRequest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := w.check(t, tt.in)
			dry := out.GetDynamicMetadata().GetFields()["dryRun"].GetStructValue().GetFields()
			if out.GetOkResponse() == nil || meta(out, "reason") != "DryRun" || dry["decision"].GetStringValue() != "Deny" || dry["reason"].GetStringValue() != tt.want {
				t.Errorf("got %v", out)
			}
			if len(tt.in.GetAttributes().GetRequest().GetHttp().GetHeaders()) > 0 && len(out.GetOkResponse().GetHeadersToRemove()) == 0 {
				t.Error("a spoofed identity header passes")
			}
			if !strings.Contains(w.logged(), `"Request would be refused" "reason"="`+tt.want) {
				t.Errorf("not in the log: %s", w.logged())
			}
		})
	}
}

func TestDryRunPolicyIsOnlyReported(t *testing.T) {
	w := newWorld(t, nil)
	out := w.check(t, ask("GET", "https://dry.example.com/", "x-user: root"))
	dry := out.GetDynamicMetadata().AsMap()["dryRun"].(map[string]any)
	if out.GetOkResponse() == nil || dry["decision"] != "Deny" || dry["reason"] != "MissingToken" || dry["policy"] != "shop/dry" || dry["rule"] != "all" {
		t.Errorf("got %v", out)
	}
	if got := testutil.ToFloat64(w.metrics.byDryRun[verdictKey{false, policy.ReasonMissingToken}]); got != 1 {
		t.Errorf("counted %v", got)
	}
}
