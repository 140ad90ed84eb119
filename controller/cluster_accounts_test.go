package controller

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// askedAccounts are accounts whose API server answers as *issuer and *err say.
func askedAccounts() (a *accounts, issuer *string, err *error, asked, changes *int) {
	issuer, err, asked, changes = new(string), new(error), new(int), new(int)
	a = &accounts{
		ask: func(context.Context) (string, error) {
			*asked++
			return *issuer, *err
		},
		changed: func() { *changes++ },
	}
	return a, issuer, err, asked, changes
}

// wanting are objects with a provider that wants to know.
func wanting() *policy.Objects {
	p := &v1alpha1.ClusterIdentityProvider{}
	p.Spec.Keys = &v1alpha1.KeySource{Kubernetes: &v1alpha1.KubernetesKeys{}}
	return &policy.Objects{ClusterIdentityProviders: []*v1alpha1.ClusterIdentityProvider{p}}
}

// TestAccountsAreAskedForOnDemand: a cluster in which nobody wants to know is not asked.
func TestAccountsAreAskedForOnDemand(t *testing.T) {
	a, issuer, _, asked, changes := askedAccounts()
	*issuer = "https://a"
	other := &policy.Objects{IdentityProviders: []*v1alpha1.IdentityProvider{{}}}
	a.resolve(t.Context(), other)
	a.again(t.Context())
	a.lookUp(t.Context(), other)
	if *asked != 0 || other.ServiceAccounts != (policy.ServiceAccounts{}) {
		t.Fatalf("asked %d times, %+v", *asked, other.ServiceAccounts)
	}
	namespaced := &policy.Objects{IdentityProviders: []*v1alpha1.IdentityProvider{{}}}
	namespaced.IdentityProviders[0].Spec.Keys = &v1alpha1.KeySource{Kubernetes: &v1alpha1.KubernetesKeys{}}
	for _, objs := range []*policy.Objects{wanting(), wanting(), namespaced} {
		if a.resolve(t.Context(), objs); objs.ServiceAccounts.Issuer != "https://a" {
			t.Errorf("%+v", objs.ServiceAccounts)
		}
	}
	if *asked != 1 || *changes != 0 {
		t.Errorf("asked %d times, %d changes: a compile asks once, and is one", *asked, *changes)
	}
}

// TestAccountsFollowTheAPIServer goes through what an API server may say, one after the other.
func TestAccountsFollowTheAPIServer(t *testing.T) {
	a, issuer, err, _, changes := askedAccounts()
	forbidden := apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("zanzibar"))
	for i, step := range []struct {
		issuer  string
		err     error
		want    string // part of what is known
		changes int
	}{
		{"", forbidden, "system:service-account-issuer-discovery", 0}, // the compile itself asked
		{"", forbidden, "system:service-account-issuer-discovery", 0},
		{"", errors.New("zanzibar"), "no answer", 1},
		{"", apierrors.NewServiceUnavailable("zanzibar"), "ServiceUnavailable", 2},
		{"https://a", nil, "https://a", 3},
		{"https://a", nil, "https://a", 3},
		{"", errors.New("zanzibar"), "https://a", 3}, // one that is away has no other issuer
		{"", forbidden, "https://a", 3},
		{"https://b", nil, "https://b", 4},
	} {
		*issuer, *err = step.issuer, step.err
		if i > 0 {
			a.again(t.Context())
		}
		objs := wanting()
		a.resolve(t.Context(), objs)
		if got := objs.ServiceAccounts; !strings.Contains(got.Issuer+got.Problem, step.want) || (got.Issuer == "") == (got.Problem == "") || *changes != step.changes || strings.Contains(got.Problem, "zanzibar") {
			t.Errorf("step %d: %+v, %d changes", i, got, *changes)
		}
	}
}

// TestAccountsOfAReview: a provider that is not stored yet may be the first to want to know, and what it learns is told to
// those that are.
func TestAccountsOfAReview(t *testing.T) {
	a, issuer, err, asked, changes := askedAccounts()
	*err = errors.New("away")
	a.resolve(t.Context(), wanting())
	*issuer, *err = "https://a", nil
	review := wanting()
	if a.lookUp(t.Context(), review); review.ServiceAccounts.Issuer != "https://a" || *changes != 1 {
		t.Errorf("%+v, %d changes", review.ServiceAccounts, *changes)
	}
	before := *asked
	if a.lookUp(t.Context(), review); *asked != before {
		t.Error("asked for what is known")
	}
}

func TestAccountsAreAskedAgainFromTimeToTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, issuer, _, asked, _ := askedAccounts()
		*issuer = "https://a"
		a.resolve(t.Context(), wanting())
		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
		defer cancel()
		if a.keepAsking(ctx, 10*time.Second); *asked != 4 {
			t.Errorf("asked %d times in 35 s", *asked)
		}
	})
}
