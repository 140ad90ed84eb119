package keycloak

import "testing"

// TestLightweightTokens shows tokens that say next to nothing: only where Keycloak is asked do they open something, and
// only as long as their session lasts.
func TestLightweightTokens(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.byPassword(t, "partner", "alice").Access, w.byPassword(t, "partner", "bob").Access
	full := w.byPassword(t, "orders-cli", "alice").Access
	for _, test := range []struct{ name, host, token, want string }{
		{"of alice, who has the role", "partners", alice, "Allowed"},
		{"of bob, who has not", "partners", bob, "InsufficientClaims"},
		{"a JWT that says all is asked about too", "partners", full, "Allowed"},
		{"altered, which is no question", "partners", altered(alice), "InvalidSignature"},
		{"of another realm", "partners", w.adminToken(t), "UntrustedIssuer"},
		{"a text that is no token", "partners", "8xLOxBtZp8", "TokenInactive"},
		{"where nobody asks", "orders", alice, "InvalidAudience"},
		{"where the client proves itself by a key", "audit", alice, "Allowed"},
		{"for which that client is no audience", "audit", full, "TokenInactive"},
	} {
		t.Run(test.name, func(t *testing.T) { w.want(t, test.host, "/", test.token, test.want) })
	}

	w.endSessions(t, "alice")
	for _, token := range []string{alice, full} {
		eventually(t, "the session is known to have ended", func() bool {
			return w.get(t, "partners", "/", token).reason == "TokenInactive"
		})
	}
	// A JWT that nobody is asked about stays good until it expires, and bob's session is another one.
	w.want(t, "orders", "/", full, "Allowed")
	w.want(t, "audit", "/", bob, "Allowed")
}

// TestIntrospectionWithAWrongSecret shows that a client that Keycloak does not know gets no answer, and lets nobody in.
func TestIntrospectionWithAWrongSecret(t *testing.T) {
	w := newWorld(t, "{secret: s3cret}", "{secret: guessed}")
	if a := w.want(t, "partners", "/", w.byPassword(t, "partner", "alice").Access, "IntrospectionUnavailable"); a.status != 503 {
		t.Errorf("status %d", a.status)
	}
}
