package kube_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/revocation"
	"github.com/sallyport/sallyport/extauthz/token"
)

// door is a replica that revokes, with its endpoint for logout tokens.
type door struct {
	*replica
	set    *revocation.Set
	logout *extauthz.Logout
	ahead  atomic.Int64 // of the clock, in nanoseconds
}

func (d *door) now() time.Time { return time.Now().Add(time.Duration(d.ahead.Load())) }

// startDoor runs one whose own namespace is ns.
func startDoor(t *testing.T, c *cluster, ns string) *door {
	t.Helper()
	d := &door{set: revocation.NewSet()}
	options := policy.Options{OwnNamespace: ns}
	log, err := controller.NewLogoutLog(controller.LogoutLogConfig{REST: c.config, Options: options, Revocations: d.set, Now: d.now})
	if err != nil {
		t.Fatal(err)
	}
	d.replica = startReplica(t, c, ns, func(config *controller.ClusterConfig) {
		config.Revocations, config.Logouts, config.Now = d.set, log, d.now
		config.RevocationsInterval = 50 * time.Millisecond
	})
	verifier, err := token.NewVerifier(token.Config{Now: d.now})
	if err != nil {
		t.Fatal(err)
	}
	d.logout, err = extauthz.NewLogout(extauthz.LogoutConfig{
		Snapshot: &d.snapshot, Verify: verifier.VerifyLogout, Keep: revocation.NewKeeper(log.Write).Keep, Count: d.set.Count, Now: d.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.waitUntil(t, "a replica to be ready", func(context.Context) error {
		if d.snapshot.Load() == nil {
			return errors.New("it has no snapshot")
		}
		return nil
	})
	return d
}

// revoked tells whether a token with this session would be refused, of the provider of a namespace ("": of the cluster).
func (d *door) revoked(issuer, namespace, session string) bool {
	id := &token.Identity{Provider: &token.Provider{Issuer: issuer, Namespace: namespace}, Issuer: issuer, Subject: "alice", SessionID: session, IssuedAt: d.now()}
	return d.set.Revoked(id, d.now())
}

func (d *door) waitRevoked(t *testing.T, c *cluster, issuer, namespace, session string, want bool) {
	t.Helper()
	c.waitUntil(t, fmt.Sprintf("session %s to be revoked: %v", session, want), func(context.Context) error {
		if d.revoked(issuer, namespace, session) != want {
			return errors.New("it is not so")
		}
		return nil
	})
}

// leaver is a provider that tells of logouts.
type leaver struct {
	issuer string
	key    *ecdsa.PrivateKey
}

func newLeaver(t *testing.T, issuer string) *leaver {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &leaver{issuer, key}
}

// object is the provider in YAML; kind IdentityProvider, or the one of the cluster.
func (l *leaver) object(t *testing.T, kind, name string) string {
	t.Helper()
	point, err := l.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`apiVersion: sallyport.dev/v1alpha1
kind: %s
metadata: {name: %s}
spec:
  issuer: %s
  audiences: [api]
  maxTokenAge: 1h
  keys: {inline: '{"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":%q,"y":%q}]}'}
  backChannelLogout: {clientIDs: [web]}
`, kind, name, l.issuer, b64(point[1:33]), b64(point[33:]))
}

// post posts a logout token for a session to a replica, and returns the status.
func (l *leaver) post(t *testing.T, d *door, path, session string) int {
	t.Helper()
	now := d.now()
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": l.issuer, "aud": "web", "sid": session, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	})
	tok.Header["typ"], tok.Header["kid"] = "logout+jwt", "k"
	raw, err := tok.SignedString(l.key)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(url.Values{"logout_token": {raw}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	d.logout.ServeHTTP(w, r)
	return w.Code
}

// logouts are the objects that Sallyport wrote in its namespace.
func (c *cluster) logouts(t *testing.T, ns string) []v1alpha1.TokenRevocation {
	t.Helper()
	var list v1alpha1.TokenRevocationList
	if err := c.client.List(t.Context(), &list, client.InNamespace(ns), client.HasLabels{v1alpha1.LogoutLabel}); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func TestALogoutReachesEveryReplicaAndOutlivesThem(t *testing.T) {
	c := sharedCluster(t)
	own, shop := c.namespace(t), c.namespace(t)
	corp := newLeaver(t, "https://"+own+".example.com")
	tenant := newLeaver(t, corp.issuer) // the same issuer, with keys that the tenant has made
	c.apply(t, "", corp.object(t, v1alpha1.KindClusterIdentityProvider, own))
	c.apply(t, shop, tenant.object(t, v1alpha1.KindIdentityProvider, "own"))
	t.Cleanup(func() {
		_ = c.client.Delete(context.Background(), &v1alpha1.ClusterIdentityProvider{ObjectMeta: metav1.ObjectMeta{Name: own}})
	})
	a, b := startDoor(t, c, own), startDoor(t, c, own)

	if got := corp.post(t, a, extauthz.LogoutPath, "s1"); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	if !a.revoked(corp.issuer, "", "s1") {
		t.Error("who has answered 200 lets the session in")
	}
	b.waitRevoked(t, c, corp.issuer, "", "s1", true)
	b.waitRevoked(t, c, corp.issuer, shop, "s1", true)

	// The tenant speaks for its own provider, whatever issuer that names.
	if got := tenant.post(t, b, extauthz.LogoutPath, "s2"); got != http.StatusBadRequest {
		t.Errorf("the tenant speaks for the cluster: status %d", got)
	}
	if got := tenant.post(t, b, extauthz.LogoutPath+"/"+shop, "s2"); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	a.waitRevoked(t, c, corp.issuer, shop, "s2", true)
	if a.revoked(corp.issuer, "", "s2") || b.revoked(corp.issuer, "", "s2") {
		t.Error("the tenant's logout revokes tokens of the cluster's provider")
	}

	// One that starts now knows both before it is ready.
	fresh := startDoor(t, c, own)
	if !fresh.revoked(corp.issuer, "", "s1") || !fresh.revoked(corp.issuer, shop, "s2") {
		t.Error("a restart forgets")
	}

	// When they have ended, they go: from memory, and from the cluster.
	for _, d := range []*door{a, b, fresh} {
		d.ahead.Store(int64(2 * time.Hour))
		d.waitRevoked(t, c, corp.issuer, "", "s1", false)
	}
	c.waitUntil(t, "the objects to be deleted", func(context.Context) error {
		if left := c.logouts(t, own); len(left) > 0 {
			return fmt.Errorf("%d are left", len(left))
		}
		return nil
	})
}

// TestLogoutsShareObjects: many at once are few writes, and an object that somebody else deletes or changes is no obstacle.
func TestLogoutsShareObjects(t *testing.T) {
	c := sharedCluster(t)
	own := c.namespace(t)
	corp := newLeaver(t, "https://"+own+".example.com")
	c.apply(t, own, corp.object(t, v1alpha1.KindIdentityProvider, "corp"))
	a, b := startDoor(t, c, own), startDoor(t, c, own)
	path := extauthz.LogoutPath + "/" + own
	const n = 40
	results := make(chan int, n)
	for i := range n {
		go func() { results <- corp.post(t, a, path, fmt.Sprint("s", i)) }()
	}
	for range n {
		if got := <-results; got != http.StatusOK {
			t.Errorf("status %d", got)
		}
	}
	for i := range n {
		b.waitRevoked(t, c, corp.issuer, own, fmt.Sprint("s", i), true)
	}
	list := c.logouts(t, own)
	if len(list) != 1 || len(list[0].Spec.Entries) != n || list[0].Generation > n/2 {
		t.Fatalf("%d objects, of which the first has %d entries and was written %d times", len(list), len(list[0].Spec.Entries), list[0].Generation)
	}
	if len(list[0].Status.Conditions) > 0 {
		t.Error("its status is written, which doubles its cost")
	}

	changed := list[0].DeepCopy()
	changed.Labels["touched"] = "true"
	if err := c.client.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	if got := corp.post(t, a, path, "after-a-change"); got != http.StatusOK {
		t.Errorf("status %d after somebody changed the object", got)
	}
	b.waitRevoked(t, c, corp.issuer, own, "after-a-change", true)
	for i := range c.logouts(t, own) {
		if err := c.client.Delete(t.Context(), &c.logouts(t, own)[0]); err != nil {
			t.Fatal(i, err)
		}
	}
	a.waitRevoked(t, c, corp.issuer, own, "s1", false) // an administrator's word
	if got := corp.post(t, a, path, "after-a-deletion"); got != http.StatusOK {
		t.Errorf("status %d after somebody deleted the object", got)
	}
	b.waitRevoked(t, c, corp.issuer, own, "after-a-deletion", true)
}

func TestTokenRevocationHasItsStatus(t *testing.T) {
	c := sharedCluster(t)
	own, shop := c.namespace(t), c.namespace(t)
	issuer := "https://" + own + ".example.com"
	d := startDoor(t, c, own)
	now := d.now().UTC()
	text := fmt.Sprintf(`apiVersion: sallyport.dev/v1alpha1
kind: TokenRevocation
metadata: {name: stolen}
spec:
  issuer: %s
  entries:
  - {sid: s1, expires: %q}
  - {sid: s2, expires: %q}
`, issuer, now.Add(time.Hour).Format(time.RFC3339), now.Add(-time.Hour).Format(time.RFC3339))
	c.apply(t, shop, text)
	o := &v1alpha1.TokenRevocation{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "stolen"}}
	c.waitCondition(t, o, v1alpha1.ConditionInForce, v1alpha1.ReasonNoProvider)
	d.waitRevoked(t, c, issuer, shop, "s1", true) // it holds once there is a provider
	if d.revoked(issuer, shop, "s2") || d.revoked(issuer, "", "s1") || d.revoked(issuer, own, "s1") {
		t.Error("it revokes what has ended, or what is not its own")
	}
	c.apply(t, shop, newLeaver(t, issuer).object(t, v1alpha1.KindIdentityProvider, "own"))
	got := c.waitCondition(t, o, v1alpha1.ConditionInForce, v1alpha1.ReasonInForce)
	c.waitCondition(t, o, v1alpha1.ConditionAccepted, v1alpha1.ReasonAccepted)
	if o.Status.Entries != 1 || got.Message != "1 of 2 entries hold" {
		t.Errorf("%d entries, and %q", o.Status.Entries, got.Message)
	}

	// A tenant that speaks for others is told so, and is not heard.
	c.apply(t, shop, strings.Replace(strings.Replace(text, "stolen", "overreach", 1), "  issuer:", "  providerNamespace: "+own+"\n  issuer:", 1))
	o.Name = "overreach"
	c.waitCondition(t, o, v1alpha1.ConditionAccepted, v1alpha1.ReasonInvalid)
	c.waitCondition(t, o, v1alpha1.ConditionInForce, v1alpha1.ReasonNotAccepted)
	if d.revoked(issuer, own, "s1") {
		t.Error("it is heard")
	}

	d.ahead.Store(int64(2 * time.Hour))
	o.Name = "stolen"
	c.waitCondition(t, o, v1alpha1.ConditionInForce, v1alpha1.ReasonExpired)
	if err := c.client.Delete(t.Context(), o); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	d.ahead.Store(0)
	d.waitRevoked(t, c, issuer, shop, "s1", false)
}
