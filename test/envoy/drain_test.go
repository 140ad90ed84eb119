package envoy

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/cmd/demo"
)

// TestRollingRestart replaces one Sallyport of two after the other while requests flow, as a rollout does. No request
// may fail.
//
// What makes that sound is on Envoy's side as much as on Sallyport's: two endpoints; gRPC health checks, so that Envoy
// turns away from the one that says NOT_SERVING, and back once it serves again; and retries for a Check that finds its
// connection closed before it was answered. On SIGTERM Sallyport says NOT_SERVING, goes on for --drain-delay, asks Envoy
// to go elsewhere (GOAWAY), and answers what is in flight.
func TestRollingRestart(t *testing.T) {
	w := newWorld(t, []string{"reasons.yaml"})
	run := func(address string) *demo.Sallyport {
		return startSallyport(t, demo.SallyportConfig{From: []string{w.folder}, GRPCAddress: address, Args: []string{"--drain-delay=500ms"}})
	}
	pair := []*demo.Sallyport{run(""), run("")}
	config := demo.EnvoyConfig{
		Upstream: w.upstream.Address(), Concurrency: 2, ShowDecision: true,
		Authz: demo.AuthzConfig{Address: pair[0].GRPCAddress(), Timeout: authzTimeout},
	}
	e := startEditedEnvoy(t, config, func(node map[string]any) { makeRedundant(node, pair[1].GRPCAddress()) })
	both := func() bool { return e.counter(t, "cluster.sallyport.membership_healthy") == 2 }
	eventually(t, "Envoy has both", both)
	token := w.token(t, nil)

	var walkers sync.WaitGroup
	var answers atomic.Int64
	stop := make(chan struct{})
	for range 4 {
		walkers.Go(func() {
			if err := w.flow(e.address, token, stop, &answers); err != nil {
				t.Error(err)
			}
		})
	}
	flow := func(n int64) {
		want := answers.Load() + n
		eventually(t, "requests flow", func() bool { return answers.Load() >= want || t.Failed() })
	}
	for range 2 {
		for i, s := range pair {
			flow(100)
			if err := s.Stop(); err != nil {
				t.Errorf("a Sallyport did not drain: %v", err)
			}
			flow(100)
			pair[i] = run(s.GRPCAddress())
			eventually(t, "Envoy has both again", both)
		}
	}
	flow(100)
	close(stop)
	walkers.Wait()
	t.Logf("%d answers", answers.Load())
}

// TestDrainAnswersWhatIsInFlight ends a Sallyport that is in the middle of a Check: it waits for keys that do not come.
func TestDrainAnswersWhatIsInFlight(t *testing.T) {
	w := newWorld(t, []string{"reasons.yaml"})
	e := w.edge(t, demo.EnvoyConfig{})
	w.issuer.SetFault(demo.Fault{Hang: true})
	slow := call{host: "shop.test", target: "/any", token: w.token(t, nil, demo.WithHeader("kid", "nobody"))}.String()
	answered := make(chan answer, 1)
	go func() {
		a, err := send(e.Address(), slow)
		if err != nil {
			t.Errorf("no answer: %v", err)
		}
		answered <- a
	}()
	eventually(t, "the Check has begun", func() bool { return len(answered) > 0 || metric(t, w.sallyport, "sallyport_checks_in_flight") == 1 })
	if len(answered) > 0 {
		t.Log("it has ended already: this machine is too slow to show anything")
	}
	if err := w.sallyport.Stop(); err != nil {
		t.Error(err)
	}
	if a := <-answered; a.reason() != "UnknownKey" {
		t.Errorf("status %d, reason %q", a.status, a.reason())
	}
}

// metric is a number that Sallyport shows, without labels; -1 where it shows none.
func metric(t *testing.T, s *demo.Sallyport, name string) float64 {
	t.Helper()
	resp, err := http.Get(s.AdminURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return -1
}

// flow sends one request after the other over one connection, until stop is closed; each must be allowed.
func (w *world) flow(address, token string, stop <-chan struct{}, answers *atomic.Int64) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		a, err := exchange(conn, call{host: "shop.test", target: "/any", token: token}.String())
		if err != nil || a.reason() != "Allowed" {
			return fmt.Errorf("request %d failed with status %d, reason %q, error %w: %s", answers.Load(), a.status, a.reason(), err, a.body)
		}
		answers.Add(1)
	}
}

// makeRedundant adds a second Sallyport, health checks and retries to an object of a bootstrap that is to have them.
func makeRedundant(node map[string]any, second string) {
	switch {
	case node["envoy_grpc"] != nil:
		node["retry_policy"] = map[string]any{
			"retry_on": "connect-failure,refused-stream,reset-before-request,unavailable", "num_retries": 5,
			"retry_host_predicate": []any{map[string]any{
				"name": "envoy.retry_host_predicates.previous_hosts",
				"typed_config": map[string]any{
					"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
				},
			}},
			"host_selection_retry_max_attempts": 3,
		}
	case node["name"] == "sallyport":
		assignment := node["load_assignment"].(map[string]any)
		locality := assignment["endpoints"].([]any)[0].(map[string]any)
		locality["lb_endpoints"] = append(locality["lb_endpoints"].([]any), map[string]any{"endpoint": map[string]any{"address": socket(second)}})
		// By default no more than three requests may be on their second try at a time.
		node["circuit_breakers"] = map[string]any{"thresholds": []any{map[string]any{"max_retries": 1000}}}
		// By default Envoy sits on a change of health for up to a second if it had another one just before.
		node["common_lb_config"] = map[string]any{"update_merge_window": "0s"}
		node["health_checks"] = []any{map[string]any{
			"timeout": "1s", "interval": "0.1s", "no_traffic_interval": "0.1s", "unhealthy_interval": "0.1s",
			"unhealthy_threshold": 1, "healthy_threshold": 1, "grpc_health_check": map[string]any{},
		}}
	}
}
