package keycloak

import (
	"net/http"
	"testing"
)

// TestUserInfo shows that Keycloak's UserInfo decides, and that it tells what has changed since the token was made.
func TestUserInfo(t *testing.T) {
	w := newWorld(t, "userInfo: {}", "cacheTTL: 0s\n    userInfo: {}")
	token := w.byPassword(t, "orders-cli", "bob").Access
	a := w.want(t, "profile", "/", token, "Allowed")
	if got := a.echo.Headers["x-email"]; len(got) != 1 || got[0] != "bob@example.com" {
		t.Errorf("the application was told the address %q", got)
	}
	bob := w.one(t, "/users?exact=true&username=bob")
	verify := func(is bool) {
		bob["emailVerified"] = is
		w.admin(t, http.MethodPut, "/users/"+bob["id"].(string), bob, nil)
	}
	verify(false)
	defer verify(true)
	w.want(t, "profile", "/", token, "ExpressionFailed")
	w.want(t, "profile", "/", w.byPassword(t, "partner", "bob").Access, "InvalidAudience")
	w.endSessions(t, "bob")
	w.want(t, "profile", "/", token, "LookupFailed")
}
