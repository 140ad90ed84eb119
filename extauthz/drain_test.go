package extauthz

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/sallyport/sallyport/extauthz/token"
)

// until waits for a condition that somebody else brings about.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestDrainFinishesWhatIsInFlight(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	w := newWorld(t, func(c *Config) {
		c.Verifier = verifierFunc(func(context.Context) (*token.Identity, error) {
			close(inside)
			<-release
			return nil, token.ErrExpired
		})
	})
	conn, served := w.serve(t)
	stream, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := stream.Recv(); err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("watching: %v %v", got, err)
	}
	answer := make(chan string, 1)
	go func() {
		out, err := authv3.NewAuthorizationClient(conn).Check(context.Background(), ask("GET", "https://orders.example.com/v1", "authorization: Bearer x"))
		answer <- meta(out, "reason") + errorText(err)
	}()
	<-inside
	ended := make(chan error, 1)
	go func() { ended <- w.Shutdown(context.Background()) }()
	if got, err := stream.Recv(); err != nil || got.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("the watcher hears %v %v", got, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the watch ends with %v", err)
	}
	if err := w.Ready(); !errors.Is(err, ErrDraining) {
		t.Errorf("ready: %v", err)
	}
	select {
	case err := <-ended:
		t.Fatalf("Shutdown did not wait: %v", err)
	default:
	}
	close(release)
	if got := <-answer; got != "TokenExpired" {
		t.Errorf("what was in flight got %q", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := w.Shutdown(context.Background()); err != nil {
		t.Errorf("a second Shutdown: %v", err)
	}
}

func TestDrainGivesUpAfterItsTimeout(t *testing.T) {
	inside := make(chan struct{})
	w := newWorld(t, func(c *Config) {
		c.DrainTimeout = 20 * time.Millisecond
		c.Verifier = verifierFunc(func(ctx context.Context) (*token.Identity, error) {
			close(inside)
			<-ctx.Done() // until the connection is cut
			return nil, token.ErrExpired
		})
	})
	conn, _ := w.serve(t)
	failed := make(chan error, 1)
	go func() {
		_, err := authv3.NewAuthorizationClient(conn).Check(context.Background(), ask("GET", "https://orders.example.com/v1", "authorization: Bearer x"))
		failed <- err
	}()
	<-inside
	if err := w.Shutdown(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-failed; status.Code(err) != codes.Unavailable {
		t.Errorf("the Check that was cut: %v", err)
	}
}

// TestDrainDelay: while load balancers take note, new connections are still served.
func TestDrainDelay(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.DrainDelay = time.Hour; c.DrainTimeout = 2 * time.Hour })
	conn, served := w.serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Shutdown(ctx) }()
	until(t, "the server says that it is leaving", func() bool { return w.Ready() != nil })
	out, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), ask("GET", "https://orders.example.com/healthz"))
	if err != nil || meta(out, "reason") != "Public" {
		t.Errorf("during the delay: %v %v", out, err)
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestHealth(t *testing.T) {
	var missing atomic.Pointer[error]
	w := newWorld(t, func(c *Config) {
		c.Ready = func() error {
			if p := missing.Load(); p != nil {
				return *p
			}
			return nil
		}
	})
	conn, _ := w.serve(t)
	client := healthv1.NewHealthClient(conn)
	services := []string{"", "envoy.service.auth.v3.Authorization"}
	expect := func(want healthv1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for _, s := range services {
			if out, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: s}); err != nil || out.GetStatus() != want {
				t.Errorf("%q: %v %v, want %v", s, out, err, want)
			}
		}
	}
	expect(healthv1.HealthCheckResponse_SERVING)
	snap := w.snapshot.Swap(nil)
	expect(healthv1.HealthCheckResponse_NOT_SERVING)
	w.snapshot.Store(snap)
	expect(healthv1.HealthCheckResponse_SERVING)
	keys := errors.New("keys of corp were not tried yet")
	missing.Store(&keys)
	expect(healthv1.HealthCheckResponse_NOT_SERVING)
	if _, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "other"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown service: %v", err)
	}
	stream, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{Service: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := stream.Recv(); err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVICE_UNKNOWN {
		t.Errorf("watching an unknown service: %v %v", got, err)
	}
	stream, err = client.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []healthv1.HealthCheckResponse_ServingStatus{healthv1.HealthCheckResponse_NOT_SERVING, healthv1.HealthCheckResponse_SERVING} {
		if got, err := stream.Recv(); err != nil || got.GetStatus() != want {
			t.Errorf("the watcher hears %v %v, want %v", got, err, want)
		}
		missing.Store(nil)
	}
}

// TestConnectionAge: the proxy is told to connect anew, and loses no Check by it.
func TestConnectionAge(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.ConnectionAge = 5 * time.Millisecond })
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := &countingListener{Listener: lis}
	conn, _ := w.serveOn(t, counted, grpc.WithTransportCredentials(insecure.NewCredentials()))
	client := authv3.NewAuthorizationClient(conn)
	until(t, "three connections", func() bool {
		out, err := client.Check(t.Context(), ask("GET", "https://orders.example.com/healthz"), grpc.WaitForReady(true))
		if err != nil || meta(out, "reason") != "Public" {
			t.Fatalf("got %v %v", out, err)
		}
		return counted.accepted.Load() >= 3
	})
}

type countingListener struct {
	net.Listener
	accepted atomic.Int32
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}
