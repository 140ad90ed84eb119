package docs_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sallyport/sallyport/controller"
)

const revocationPage = "docs/revocation.md"

// TestRevocationsOfThePage asks the objects of the page with the claims of each row of its table.
func TestRevocationsOfThePage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.yaml"), []byte(blocksOf(t, revocationPage)[0].text), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := controller.NewFolder(controller.FolderConfig{Dirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	listing, err := folder.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	snapshot := compile(t, dir, options)
	rows := rowsUnder(t, revocationPage, "claims")
	for _, row := range rows {
		request, err := controller.ParseRequest("GET https://orders.example.com/ " + strings.ReplaceAll(code(row[0]), " ", "") + " now=2026-05-04T10:00:00Z")
		if err != nil {
			t.Fatal(err)
		}
		request.Revocations = controller.RevokedBy(&listing.Objects, options)
		d, err := request.Ask(snapshot)
		if err != nil {
			t.Fatal(err)
		}
		if string(d.Reason) != code(row[1]) {
			t.Errorf("%s: %s, the page says %s", row[0], d.Reason, row[1])
		}
	}
	if len(rows) < 7 {
		t.Errorf("only %d rows", len(rows))
	}
}

// leavers is an identity provider that tells of logouts, and a Sallyport that listens to it as the page says.
type leavers struct {
	*issuer
	args                    []string
	grpc, admin, logoutPort string
}

func newLeavers(t *testing.T) *leavers {
	t.Helper()
	l := &leavers{issuer: &issuer{signing: keyOf(t, "s")}, grpc: freePort(t), admin: freePort(t), logoutPort: freePort(t)}
	dir := t.TempDir()
	point, err := l.signing.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	keys := fmt.Sprintf(`  keys: {inline: '{"keys":[{"kty":"EC","crv":"P-256","x":%q,"y":%q}]}'}`+"\n", b64(point[1:33]), b64(point[33:]))
	var command string
	for _, b := range blocksOf(t, revocationPage) {
		switch {
		case strings.Contains(b.text, "backChannelLogout:"):
			provider := strings.Replace(b.text, "  audiences:", keys+"  audiences:", 1)
			policies := provider + `---
apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: orders, namespace: shop}
spec: {hosts: [orders.example.com], identityProviders: [{kind: ClusterIdentityProvider, name: corp}], rules: [{name: all, access: Authenticated}]}
`
			if err := os.WriteFile(filepath.Join(dir, "page.yaml"), []byte(policies), 0o600); err != nil {
				t.Fatal(err)
			}
		case b.info == "console":
			command = strings.TrimSpace(strings.TrimPrefix(b.text, "$ sallyport"))
		}
	}
	state := filepath.Join(t.TempDir(), "state")
	for was, is := range map[string]string{"--from policies": "--from " + dir, "/var/lib/sallyport": state, " :9003": " 127.0.0.1:" + l.logoutPort} {
		if !strings.Contains(command, was) {
			t.Fatalf("the page's command has no %q: %s", was, command)
		}
		command = strings.Replace(command, was, is, 1)
	}
	l.args = append(strings.Fields(command), "--grpc-address=127.0.0.1:"+l.grpc, "--admin-address=127.0.0.1:"+l.admin, "--drain-delay=0s")
	return l
}

// serve runs Sallyport until the test t ends.
func (l *leavers) serve(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	startProcess(ctx, t, exec.Command(sallyportBinary(t), l.args...), answering("http://127.0.0.1:"+l.admin+"/readyz"))
}

// access signs an access token of a session.
func (l *leavers) access(t *testing.T, session string) string {
	t.Helper()
	return l.signed(t, "at+jwt", jwt.MapClaims{"aud": "orders-api", "sub": "alice", "sid": session, "exp": time.Now().Add(time.Hour).Unix()})
}

func (l *leavers) signed(t *testing.T, typ string, claims jwt.MapClaims) string {
	t.Helper()
	claims["iss"], claims["iat"], claims["jti"] = "https://id.example.com/realms/corp", time.Now().Unix(), rand.Text()
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	tok.Header["typ"] = typ
	raw, err := tok.SignedString(l.signing)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// logout posts a logout token of a session, as Keycloak does, and returns what of the answer counts.
func (l *leavers) logout(t *testing.T, session string) (status int, cacheControl string) {
	t.Helper()
	raw := l.signed(t, "logout+jwt", jwt.MapClaims{
		"typ": "Logout", "aud": "web", "sub": "alice", "sid": session, "exp": time.Now().Add(2 * time.Minute).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}, "revoke_offline_access": true},
	})
	resp, err := http.PostForm("http://127.0.0.1:"+l.logoutPort+"/backchannel-logout", url.Values{"logout_token": {raw}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Cache-Control")
}

// reason is what becomes of a request with a token.
func (l *leavers) reason(t *testing.T, raw string) string {
	t.Helper()
	conn, err := grpc.NewClient("127.0.0.1:"+l.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	out, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Scheme: "https", Host: "orders.example.com", Path: "/", Headers: map[string]string{"authorization": "Bearer " + raw},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return out.GetDynamicMetadata().GetFields()["reason"].GetStringValue()
}

// TestLogoutOfThePage starts Sallyport as the page says, ends a session, and starts it again.
func TestLogoutOfThePage(t *testing.T) {
	l := newLeavers(t)
	gone, stays := l.access(t, "5c7d3e1a"), l.access(t, "other")
	t.Run("before and after", func(t *testing.T) {
		l.serve(t)
		if got := l.reason(t, gone); got != "Allowed" {
			t.Fatalf("before the logout: %s", got)
		}
		if status, cache := l.logout(t, "5c7d3e1a"); status != http.StatusOK || cache != "no-store" {
			t.Fatalf("the logout: %d, %q", status, cache)
		}
		if got := []string{l.reason(t, gone), l.reason(t, stays)}; !slices.Equal(got, []string{"TokenRevoked", "Allowed"}) {
			t.Errorf("after the logout: %q", got)
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		l.serve(t)
		if got := []string{l.reason(t, gone), l.reason(t, stays)}; !slices.Equal(got, []string{"TokenRevoked", "Allowed"}) {
			t.Errorf("after a restart: %q", got)
		}
	})
}

// TestLogoutsNeedAMemory: what would forget them at a restart does not start.
func TestLogoutsNeedAMemory(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), sallyportBinary(t), "serve", "--from", t.TempDir(), "--backchannel-logout-address", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--state-dir") {
		t.Errorf("%v\n%s", err, out)
	}
}
