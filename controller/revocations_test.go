package controller

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/revocation"
	"github.com/sallyport/sallyport/extauthz/token"
)

// TestPublishedRevocations: what a folder revokes is in force with it, follows its edits, and stays when it cannot be read.
func TestPublishedRevocations(t *testing.T) {
	const stolen = "apiVersion: sallyport.dev/v1alpha1\nkind: TokenRevocation\nmetadata: {name: stolen, namespace: shop}\n" +
		"spec: {issuer: https://id.example.com, entries: [{jti: a, expires: 2100-01-01T00:00:00Z}]}\n"
	const lost = "---\napiVersion: sallyport.dev/v1alpha1\nkind: TokenRevocation\nmetadata: {name: lost, namespace: sallyport}\n" +
		"spec: {issuer: https://id.example.com, entries: [{jti: b, expires: 2100-01-01T00:00:00Z}]}\n"
	options := policy.Options{OwnNamespace: "sallyport"}
	var text string
	var fails error
	set, snapshot := revocation.NewSet(), new(atomic.Pointer[policy.Snapshot])
	p, err := NewPublisher(PublisherConfig{
		Snapshot: snapshot, Options: options, Revocations: set,
		List: func(context.Context) (*Listing, error) {
			if fails != nil {
				return nil, fails
			}
			listing, errs := newListing([]*file{newFile(seen{name: "p.yaml"}, []byte(text), fieldIndex{})})
			if len(errs) > 0 {
				return nil, errs
			}
			return listing, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	revoked := func(namespace, jti string) bool {
		return set.Revoked(&token.Identity{Provider: &token.Provider{Namespace: namespace}, Issuer: "https://id.example.com", TokenID: jti}, time.Now())
	}
	for _, step := range []struct {
		name, text string
		fails      error
		a, b       bool
	}{
		{"nothing", "", nil, false, false},
		{"one", stolen, nil, true, false},
		{"two", stolen + lost, nil, true, true},
		{"it cannot be read", "", errors.New("no such folder"), true, true},
		{"the first is gone", lost, nil, false, true},
		{"both are gone", "", nil, false, false},
	} {
		text, fails = step.text, step.fails
		if err := p.Publish(t.Context()); (err != nil) != (step.fails != nil) {
			t.Fatal(err)
		}
		if revoked("shop", "a") != step.a || revoked("", "b") != step.b || revoked("shop", "b") != step.b {
			t.Errorf("%s: a is revoked: %v, b: %v", step.name, revoked("shop", "a"), revoked("", "b"))
		}
		if revoked("", "a") || revoked("bank", "a") {
			t.Errorf("%s: a namespace revokes what is not its own", step.name)
		}
	}
}
