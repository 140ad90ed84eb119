package extauthz

import (
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/tap"
)

// TestWhoWaitedTooLongIsRefused: an answer that nobody waits for any more takes the time of those behind it.
func TestWhoWaitedTooLongIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		waited time.Duration
		want   string
	}{
		{"at once", 0, "Public"},
		{"just in time", time.Second, "Public"},
		{"too late", time.Second + 1, "Overloaded"},
		{"the clock was set back", -time.Hour, "Public"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := worldNow
			w := newWorld(t, func(c *Config) {
				c.MaxQueueTime = time.Second
				c.Now = func() time.Time { return now }
			})
			ctx, err := w.arrived(t.Context(), &tap.Info{})
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(tt.waited)
			out, err := w.Check(ctx, ask("GET", "https://orders.example.com/healthz"))
			if err != nil || meta(out, "reason") != tt.want {
				t.Errorf("got %v %v", out, err)
			}
			if tt.want == "Overloaded" && out.GetDeniedResponse().GetStatus().GetCode() != 503 {
				t.Errorf("status %v", out.GetDeniedResponse().GetStatus())
			}
		})
	}
}

// TestArrivalIsNotedOnTheWire: the server's own clock says when a request arrived, and when it was taken up.
func TestArrivalIsNotedOnTheWire(t *testing.T) {
	var asked int
	w := newWorld(t, func(c *Config) {
		c.MaxQueueTime = time.Second
		c.Now = func() time.Time { // a minute passes between any two looks at the clock
			asked++
			return worldNow.Add(time.Duration(asked) * time.Minute)
		}
	})
	conn, _ := w.serve(t)
	out, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), ask("GET", "https://orders.example.com/healthz"))
	if err != nil || meta(out, "reason") != "Overloaded" {
		t.Errorf("got %v %v", out, err)
	}
}
