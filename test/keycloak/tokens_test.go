package keycloak

import (
	"strings"
	"testing"
)

// TestTokensOfThePage sends a request for each row of the page's first table.
func TestTokensOfThePage(t *testing.T) {
	w := newWorld(t, "audiences: [orders-api]", "clockSkew: 0s\n  audiences: [orders-api]")
	w.addClient(t, "reports", nil)
	w.addClient(t, "brief", object{"protocolMappers": audience(), "attributes": object{"access.token.lifespan": "1"}})
	alice := w.byPassword(t, "orders-cli", "alice")
	tokens := map[string]string{
		"of alice, by password":                   alice.Access,
		"of bob, by password":                     w.byPassword(t, "orders-cli", "bob").Access,
		"of nightly, by client credentials":       w.byCredentials(t, "nightly"),
		"of a client without the audience mapper": w.byPassword(t, "reports", "alice").Access,
		"of another realm":                        w.adminToken(t),
		"an ID token":                             alice.ID,
		"a refresh token":                         alice.Refresh,
		"that has expired":                        w.byPassword(t, "brief", "alice").Access,
		"altered by one character":                altered(alice.Access),
		"none":                                    "",
	}
	eventually(t, "the token has expired", func() bool {
		return w.get(t, "orders", "/", tokens["that has expired"]).reason != "Allowed"
	})
	all := rows(t, page, "token")
	for _, row := range all {
		t.Run(row[0]+" "+row[1], func(t *testing.T) {
			token, known := tokens[row[0]]
			if !known {
				t.Fatal("the test has no such token")
			}
			a := w.want(t, "orders", row[1], token, row[2])
			if got := [...]string{200: "200", 401: "401", 403: "403", 503: "503"}[a.status]; got != row[3] {
				t.Errorf("status %d, want %s", a.status, row[3])
			}
		})
	}
	if len(all) < len(tokens) {
		t.Errorf("the table has %d rows only", len(all))
	}
	if got := w.get(t, "orders", "/", alice.Access).echo.Headers["x-user"]; len(got) != 1 || got[0] != "alice" {
		t.Errorf("the application was told the user %q", got)
	}
}

// altered is a token in which one character of the signature is another.
func altered(token string) string {
	at := strings.LastIndex(token, ".") + 10
	other := "A"
	if token[at] == 'A' {
		other = "B"
	}
	return token[:at] + other + token[at+1:]
}
