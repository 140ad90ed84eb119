package docs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/extauthz/idp"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// services are the two that the page's policy asks, on this machine and over plain http.
type services struct {
	rights, profile atomic.Pointer[string]
}

func (s *services) handler(t *testing.T) http.HandlerFunc {
	answer := func(w http.ResponseWriter, text string) {
		if text == "-" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(text))
	}
	return func(w http.ResponseWriter, r *http.Request) {
		switch authorization := r.Header.Get("Authorization"); {
		case r.URL.Path == "/realms/corp/.well-known/openid-configuration":
			_, _ = fmt.Fprintf(w, `{"issuer":"http://%s/realms/corp","userinfo_endpoint":"http://%[1]s/me"}`, r.Host)
		case r.RequestURI == "/users/alice?tenant=acme" && authorization == "Bearer s3cret":
			answer(w, *s.rights.Load())
		case r.RequestURI == "/me" && authorization == "Bearer the-token":
			answer(w, *s.profile.Load())
		default:
			t.Errorf("%s %s %s", r.Method, r.RequestURI, authorization)
		}
	}
}

// TestLookupsOfThePage serves the objects of the page, and sends a request for each row of its table, while the services
// answer as the row says.
func TestLookupsOfThePage(t *testing.T) {
	const page = "docs/lookups.md"
	var asked services
	server := httptest.NewServer(asked.handler(t))
	defer server.Close()
	objects := blocksOf(t, page)[0].text
	objects = strings.Replace(objects, "issuer: https://id.example.com", "allowHTTP: true\n  issuer: "+server.URL, 1)
	objects = strings.Replace(objects, "url: https://rights.example.com", "allowHTTP: true\n      url: "+server.URL, 1)
	// The machine may be busy, and nothing of one row is to be remembered in the next.
	objects = strings.Replace(objects, "cacheTTL: 30s", "cacheTTL: 0s\n    timeout: 5s", 1)
	objects = strings.Replace(objects, "userInfo: {}", "userInfo: {}\n    cacheTTL: 0s\n    timeout: 5s", 1)
	snapshot := compileText(t, objects)
	rows := rowsUnder(t, page, "request")
	for _, row := range rows {
		t.Run(strings.Join(row[:3], " "), func(t *testing.T) {
			looker, err := idp.NewLooker(idp.IntrospectorConfig{AllowLoopback: true})
			if err != nil {
				t.Fatal(err)
			}
			defer looker.Close()
			looker.Sync(snapshot.Lookups())
			if err := looker.WaitTried(t.Context()); err != nil {
				t.Fatal(err)
			}
			rights, profile := code(row[1]), code(row[2])
			asked.rights.Store(&rights)
			asked.profile.Store(&profile)
			d := decideWith(t, snapshot, looker, code(row[0]))
			got := "allowed"
			if !d.Allow {
				got = strconv.Itoa(d.Status())
			}
			for _, h := range d.Set {
				got += ", " + h.Name + ": " + h.Value
			}
			if got != row[3] || string(d.Reason) != code(row[4]) {
				t.Errorf("%s %s, want %s %s", got, d.Reason, row[3], row[4])
			}
		})
	}
	if len(rows) < 8 {
		t.Errorf("only %d rows", len(rows))
	}
}

// decideWith is the decision about a request of alice for a path, with what is looked up for it.
func decideWith(t *testing.T, s *policy.Snapshot, looker *idp.Looker, path string) policy.Decision {
	t.Helper()
	req, reason := policy.NewRequest(policy.Input{Method: "GET", Scheme: "https", Host: "orders.example.com", Path: path})
	if reason != "" {
		t.Fatal(reason)
	}
	now := time.Now()
	id, err := token.NewIdentity(s.Providers()[0], token.Claims{
		"iss": s.Providers()[0].Issuer, "sub": "alice", "tenant": "acme", "aud": "orders-api", "exp": json.Number(strconv.FormatInt(now.Unix()+60, 10)),
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	land := s.Lookup(req)
	f := policy.Facts{Identity: id, Now: now}
	for _, l := range land.Enforced.Lookups(f) {
		answer, err := looker.Look(t.Context(), l, id, "the-token")
		f.Lookups = append(f.Lookups, policy.LookedUp{Lookup: l, Answer: answer, Err: err})
	}
	return land.Decide(f, policy.Facts{})
}
