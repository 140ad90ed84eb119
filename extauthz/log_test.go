package extauthz

import (
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/golang-jwt/jwt/v5"
)

// TestLogKeepsSecrets: whatever is refused or allowed, no token, query, header or claim stands in the log.
func TestLogKeepsSecrets(t *testing.T) {
	w := newWorld(t, nil)
	tok := mint(t, jwt.MapClaims{"scope": "orders.read audit", "sub": "claim-secret"})
	for _, in := range []struct{ url, header string }{
		{"https://orders.example.com/v1?q=query-secret", "authorization: Bearer " + tok},
		{"https://orders.example.com/v1?access_token=" + tok, "cookie: a=header-secret"},
		{"https://orders.example.com/roles?q=query-secret", "authorization: Bearer " + tok},
		{"https://orders.example.com/v1;t=query-secret", "x: header-secret"},
		{"https://orders.example.com/v1%3Ft=query-secret", "x: header-secret"},
		{"https://orders.example.com/v1%3bt=query-secret", "x: header-secret"},
		{"https://orders.example.com/v1#query-secret", "x: header-secret"},
		{"https://orders.example.com/v1&t=query-secret", "x: header-secret"},
		{"https://nobody.example.com/?q=query-secret", "authorization: Bearer header-secret"},
	} {
		w.check(t, ask("GET", in.url, in.header))
	}
	log := w.logged()
	for _, secret := range []string{"secret", tok, "Bearer"} {
		if strings.Contains(log, secret) {
			t.Errorf("%q stands in the log:\n%s", secret, log)
		}
	}
	if n := strings.Count(log, "\n") + 1; n != 9 {
		t.Errorf("%d lines, want 9:\n%s", n, log)
	}
}

func TestLogLines(t *testing.T) {
	for _, tt := range []struct{ name, url, method, want string }{
		{"refused", "https://Orders.Example.Com:443/v1?x=1", "GET", `"msg"="Request refused" "reason"="MissingToken" "policy"="shop/orders" "rule"="orders" "method"="GET" "host"="orders.example.com" "path"="/v1"`},
		{"allowed", "https://orders.example.com/healthz", "GET", `"level"=1 "msg"="Request allowed" "reason"="Public" "policy"="shop/orders" "rule"="liveness"`},
		{"dry run", "https://dry.example.com/", "GET", `"msg"="Request would be refused" "reason"="MissingToken" "policy"="shop/dry"`},
		{"control characters", "https://x\ny/a\nb\x1b[31mé", "G\nT", `"method"="G?T" "host"="x?y" "path"="/a?b?[31m?"`},
		{"a long path", "https://orders.example.com/" + strings.Repeat("a", 5000), "GET", `"path"="/` + strings.Repeat("a", maxLogged-1) + `..."`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			out := w.check(t, ask(tt.method, tt.url))
			log := w.logged()
			if !strings.Contains(log, tt.want) || !strings.Contains(log, `"decisionID"="`+meta(out, "decisionID")+`"`) || strings.Contains(log, "\n") {
				t.Errorf("got %s\nwant %s", log, tt.want)
			}
		})
	}
}

func TestLogNamesTheExpression(t *testing.T) {
	w := newWorld(t, nil)
	w.check(t, ask("GET", "https://orders.example.com/cel", "authorization: Bearer "+mint(t, nil)))
	if !strings.Contains(w.logged(), `"message"="tier"`) {
		t.Errorf("got %s", w.logged())
	}
}

func TestRefusalsAreLoggedUpToARate(t *testing.T) {
	now := worldNow
	w := newWorld(t, func(c *Config) {
		c.RefusalsPerSecond = 2
		c.Now = func() time.Time { return now }
	})
	refuse := func(n int) {
		for range n {
			w.check(t, ask("GET", "https://nobody.example.com/"))
		}
	}
	refuse(10)
	if n := strings.Count(w.logged(), "Request refused"); n != 4 || w.log.dropped.Load() != 6 {
		t.Fatalf("%d lines, %d left out", n, w.log.dropped.Load())
	}
	now = now.Add(time.Second)
	refuse(1)
	if !strings.HasSuffix(w.logged(), `"dropped"=6`) {
		t.Errorf("the next line does not tell: %s", w.logged())
	}
	refuse(1)
	if strings.Count(w.logged(), "dropped") != 1 {
		t.Errorf("told twice: %s", w.logged())
	}
}

func TestAllowedIsNotLoggedByDefault(t *testing.T) {
	var lines []string
	w := newWorld(t, func(c *Config) {
		c.Log = funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	})
	w.check(t, ask("GET", "https://orders.example.com/healthz"))
	w.check(t, ask("GET", "https://orders.example.com/v1"))
	if len(lines) != 1 || !strings.Contains(lines[0], "Request refused") {
		t.Errorf("got %q", lines)
	}
}
