package keycloak

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestBackChannelLogout has an administrator end the sessions of a user: Keycloak posts logout tokens, and the tokens of
// these sessions are refused, also after a restart. Those of others, and those of the next login, are not.
func TestBackChannelLogout(t *testing.T) {
	w := &world{server: keycloak(t)}
	w.startUpstream(t)
	address := w.logout.Addr().String()
	_ = w.logout.Close() // with -count it is closed already
	objects := strings.Join(blocks(t, page, "yaml"), "---\n")
	args := []string{
		"--state-dir", t.TempDir(), "--backchannel-logout-address", address,
		"--backchannel-logout-tls-cert-file", filepath.Join(w.folder, "tls.crt"),
		"--backchannel-logout-tls-key-file", filepath.Join(w.folder, "tls.key"),
	}
	w.startSallyport(t, objects, args...)
	w.startEnvoy(t)
	first, second := w.byPassword(t, "orders-cli", "alice").Access, w.byPassword(t, "orders-cli", "alice").Access
	bob := w.byPassword(t, "orders-cli", "bob").Access
	for _, token := range []string{first, second, bob} {
		w.want(t, "office", "/", token, "Allowed")
	}
	w.endSessions(t, "alice")
	for _, token := range []string{first, second} {
		eventually(t, "the token of a session that has ended is refused", func() bool {
			return w.get(t, "office", "/", token).reason == "TokenRevoked"
		})
	}
	w.want(t, "office", "/", bob, "Allowed")
	again := w.byPassword(t, "orders-cli", "alice").Access
	w.want(t, "office", "/", again, "Allowed")

	w.address = w.sallyport.GRPCAddress()
	if err := w.sallyport.Stop(); err != nil {
		t.Fatal(err)
	}
	w.startSallyport(t, objects, args...)
	eventually(t, "Envoy asks the new Sallyport", func() bool { return w.get(t, "office", "/", bob).reason == "Allowed" })
	w.want(t, "office", "/", first, "TokenRevoked")
	w.want(t, "office", "/", second, "TokenRevoked")
	w.want(t, "office", "/", again, "Allowed")
}
