package keycloak

import (
	"net/url"
	"regexp"
	"slices"
	"testing"
)

var challengeParameter = regexp.MustCompile(`(acr_values|max_age)="([^"]*)"`)

// TestStepUp follows a challenge: what it asks for is handed to Keycloak, which asks for the second factor and for
// nothing else, and the token of that login is enough.
func TestStepUp(t *testing.T) {
	w := newWorld(t)
	b := w.newBrowser(t, nil)
	first := b.authorize(t, w.server, "bank", "carol", nil).Access
	if !slices.Equal(b.forms, []string{"password"}) {
		t.Fatalf("the first login asked for %q", b.forms)
	}
	w.want(t, "bank", "/account", first, "Allowed")
	refused := w.want(t, "bank", "/pay", first, "InsufficientUserAuthentication")
	asked := url.Values{}
	for _, m := range challengeParameter.FindAllStringSubmatch(refused.header.Get("WWW-Authenticate"), -1) {
		asked.Set(m[1], m[2])
	}
	if refused.status != 401 || asked.Get("acr_values") != "mfa" || asked.Get("max_age") != "300" {
		t.Fatalf("status %d, challenge %q", refused.status, refused.header.Get("WWW-Authenticate"))
	}

	b.forms = nil
	second := b.authorize(t, w.server, "bank", "carol", asked).Access
	if !slices.Equal(b.forms, []string{"otp"}) {
		t.Errorf("the second login asked for %q", b.forms)
	}
	w.want(t, "bank", "/pay", second, "Allowed")
	w.want(t, "bank", "/pay", first, "InsufficientUserAuthentication")

	// A direct grant has no auth_time.
	w.want(t, "bank", "/account", w.byPassword(t, "orders-cli", "bob").Access, "Allowed")
	w.want(t, "bank", "/pay", w.byPassword(t, "orders-cli", "bob").Access, "InsufficientUserAuthentication")
}

// TestStepUpGrowsOld shows that a login serves no longer than maxAge, although its token does.
func TestStepUpGrowsOld(t *testing.T) {
	w := newWorld(t, "acr: [mfa], maxAge: 5m", "acr: [password], maxAge: 1s", "audiences: [orders-api]", "clockSkew: 0s\n  audiences: [orders-api]")
	b := w.newBrowser(t, nil)
	token := b.authorize(t, w.server, "bank", "bob", nil).Access
	eventually(t, "the login is too old", func() bool {
		return w.get(t, "bank", "/pay", token).reason == "InsufficientUserAuthentication"
	})
	w.want(t, "bank", "/account", token, "Allowed")

	// max_age has Keycloak ask anew, although its session goes on.
	b.forms = nil
	eventually(t, "Keycloak asks for the password anew", func() bool {
		b.authorize(t, w.server, "bank", "bob", url.Values{"max_age": {"1"}})
		return slices.Equal(b.forms, []string{"password"})
	})
}
