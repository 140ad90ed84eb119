package main

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/extauthz/ledger"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/revocation"
	"github.com/sallyport/sallyport/extauthz/token"
)

func newTestRevocations(t *testing.T, shared *ledger.Shared, args ...string) (*revocations, error) {
	t.Helper()
	r, err := newRevocations(parseServe(t, args...), policy.Options{OwnNamespace: "sallyport"}, shared, logr.Discard(), prometheus.NewRegistry())
	if err == nil {
		t.Cleanup(r.close)
	}
	return r, err
}

// TestLogoutFlagsThatGoTogether: what could not keep a logout does not start.
func TestLogoutFlagsThatGoTogether(t *testing.T) {
	shared, err := ledger.Open(ledger.Config{URL: "unix:///nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		shared *ledger.Shared
		args   []string
		usage  bool
	}{
		{"nothing", nil, []string{"--from=x"}, false},
		{"a store alone", shared, []string{"--from=x"}, false},
		{"an address without memory", nil, []string{"--from=x", "--backchannel-logout-address=:0"}, true},
		{"an address and a folder", nil, []string{"--from=x", "--backchannel-logout-address=:0", "--state-dir=" + filepath.Join(t.TempDir(), "a")}, false},
		{"an address and a store", shared, []string{"--from=x", "--backchannel-logout-address=:0"}, false},
		{"stale at once", shared, []string{"--from=x", "--backchannel-logout-address=:0", "--revocations-stale-after=1ms"}, true},
		{"TLS without a port", nil, []string{"--from=x", "--backchannel-logout-tls-cert-file=a"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := newTestRevocations(t, tt.shared, tt.args...); errors.As(err, new(usageError)) != tt.usage || err != nil && !tt.usage {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestSharedLogoutsThatWereNotRead: neither ready nor open, to tokens of providers that tell of logouts.
func TestSharedLogoutsThatWereNotRead(t *testing.T) {
	shared, err := ledger.Open(ledger.Config{URL: "unix:///nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := newTestRevocations(t, shared, "--from=x", "--backchannel-logout-address=:0")
	if err != nil {
		t.Fatal(err)
	}
	id := &token.Identity{Provider: &token.Provider{Issuer: "a", Logout: &token.Logout{}}, Issuer: "a", Subject: "alice"}
	if err := r.set.Judge(id, time.Now()); r.ready() == nil || !errors.Is(err, token.ErrRevocations) {
		t.Errorf("ready: %v; a token: %v", r.ready(), err)
	}
	if err := r.keep.Keep(t.Context(), leaving("s1", time.Now().Add(time.Hour))); err == nil {
		t.Error("a logout is kept nowhere")
	}
}

// TestSharedLogoutsThatNobodyFollows: a replica whose address was forgotten lets in nobody whom another one may know to have
// left, and is there for everybody else.
func TestSharedLogoutsThatNobodyFollows(t *testing.T) {
	shared, err := ledger.Open(ledger.Config{URL: "unix:///nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := newTestRevocations(t, shared, "--from=x")
	if err != nil || r.ready() != nil {
		t.Fatal(err, r.ready())
	}
	id := func(logout *token.Logout) *token.Identity {
		return &token.Identity{Provider: &token.Provider{Issuer: "a", Logout: logout}, Issuer: "a", Subject: "alice"}
	}
	if err := r.set.Judge(id(&token.Logout{}), time.Now()); !errors.Is(err, token.ErrRevocations) {
		t.Errorf("a token of a provider that tells of logouts: %v", err)
	}
	if err := r.set.Judge(id(nil), time.Now()); err != nil {
		t.Errorf("a token of another: %v", err)
	}
}

// TestKeptLogoutsCountWithoutThePort: whoever turns it off lets nobody in again.
func TestKeptLogoutsCountWithoutThePort(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	r, err := newTestRevocations(t, nil, "--from=x", "--backchannel-logout-address=:0", "--state-dir="+dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.keep.Keep(t.Context(), leaving("s1", time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	r.close()
	again, err := newTestRevocations(t, nil, "--from=x", "--state-dir="+dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.set.Stats(revocation.FromLogout).Entries; got != 1 {
		t.Errorf("%d logouts are known, want 1", got)
	}
}
