package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/cmd/demo"
	"github.com/sallyport/sallyport/extauthz/idp"
)

func TestKeyStatusOfTenants(t *testing.T) {
	failed := &idp.FetchError{Reason: idp.BadStatus, Document: "discovery document"}
	for _, tt := range []struct {
		status idp.Status
		want   string
	}{
		{idp.Status{Tenants: 3, Ready: true}, ""},
		{idp.Status{Tenants: 3, Wanting: []string{"https://a"}, Err: failed}, "for 1 of 3 tenants (https://a): " + failed.Error()},
		{idp.Status{Tenants: 3, Wanting: []string{"https://a", "https://b"}}, "for 2 of 3 tenants (https://a, https://b): not fetched yet"},
		{idp.Status{Tenants: 64, Wanting: slices.Repeat([]string{"x"}, 64), Err: failed}, "for 64 of 64 tenants (x, x, x and 61 more): " + failed.Error()},
	} {
		if got := keyStatus(tt.status).Problem; got != tt.want {
			t.Errorf("problem %q, want %q", got, tt.want)
		}
	}
}

// TestGaugeOfTenants: a provider of several tenants shows one time, that of the tenant whose keys are oldest, and none while
// one has never had any.
func TestGaugeOfTenants(t *testing.T) {
	issuer, err := demo.StartIssuer() // for its keys
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = issuer.Close() }()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		realm, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/realms/"), "/")
		if realm == "away" {
			http.Error(w, "not here", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"issuer":"http://` + r.Host + `/realms/` + realm + `","jwks_uri":"` + issuer.JWKSURL() + `"}`))
	}))
	defer server.Close()
	const name = "IdentityProvider/default/realms"
	for _, tt := range []struct {
		tenants string
		fetched []string
		shown   bool
	}{
		{"a, b", []string{name + " Success"}, true},
		{"a, away", []string{name + " BadStatus", name + " Success"}, false},
	} {
		s := testService(t, "apiVersion: sallyport.dev/v1alpha1\nkind: IdentityProvider\nmetadata: {name: realms}\n"+
			"spec: {issuer: \""+server.URL+"/realms/{tenant}\", allowHTTP: true, audiences: [a], tenants: {values: ["+tt.tenants+"]}}\n")
		if err := s.publisher.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		awaitFetches(t, s, tt.fetched)
		s.keys.keeper.Close() // every fetch is counted then
		var last []float64
		for _, h := range s.keys.names[name].KeyHolders() {
			if at := s.keys.keeper.Status(h).LastSuccess; !at.IsZero() {
				last = append(last, float64(at.UnixNano())/1e9)
			}
		}
		shown := lastSuccess(t, s)
		if tt.shown && (len(shown) != 1 || shown[0] != slices.Min(last)) || !tt.shown && len(shown) != 0 {
			t.Errorf("%s: the gauge shows %v of %v", tt.tenants, shown, last)
		}
	}
}

// lastSuccess are the values of the gauge.
func lastSuccess(t *testing.T, s *service) (out []float64) {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sallyport_keys_last_success_timestamp_seconds" {
			for _, m := range f.GetMetric() {
				out = append(out, m.GetGauge().GetValue())
			}
		}
	}
	return out
}
