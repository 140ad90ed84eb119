package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

const (
	// accountsPath is where the API server says who issues its ServiceAccount tokens (OpenID Connect Discovery §4).
	accountsPath = "/.well-known/openid-configuration"
	// maxIssuer is the bound of a provider's issuer.
	maxIssuer = 2048
)

// accounts is what the API server says of its ServiceAccount tokens. It is asked once a provider wants to know, and then
// from time to time: an API server that starts anew may have another issuer. What it has said holds until it says something
// else, so one that is away changes nothing.
type accounts struct {
	// ask returns the issuer.
	ask     func(context.Context) (string, error)
	changed func()

	mu     sync.Mutex
	wanted bool
	known  policy.ServiceAccounts
}

// issuer asks the API server once.
func (c *Cluster) issuer(ctx context.Context) (string, error) {
	body, err := c.clients.Discovery().RESTClient().Get().AbsPath(accountsPath).DoRaw(ctx)
	if err != nil {
		return "", err
	}
	var document struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal(body, &document); err != nil || document.Issuer == "" || len(document.Issuer) > maxIssuer {
		return "", fmt.Errorf("the document at %s names no issuer", accountsPath)
	}
	return document.Issuer, nil
}

// resolve fills in what objs need to know. It asks only where nothing is known yet.
func (a *accounts) resolve(ctx context.Context, objs *policy.Objects) {
	wanted := wantsAccounts(objs)
	a.mu.Lock()
	a.wanted = wanted
	known := a.known
	a.mu.Unlock()
	if !wanted {
		return
	}
	if known == (policy.ServiceAccounts{}) {
		known, _ = a.look(ctx)
	}
	objs.ServiceAccounts = known
}

// lookUp fills in what objs, which need not be stored, need to know.
func (a *accounts) lookUp(ctx context.Context, objs *policy.Objects) {
	if !wantsAccounts(objs) || objs.ServiceAccounts.Issuer != "" {
		return
	}
	var other bool
	if objs.ServiceAccounts, other = a.look(ctx); other {
		a.changed()
	}
}

// again asks anew, where somebody wants to know, and tells where the answer is another one.
func (a *accounts) again(ctx context.Context) {
	a.mu.Lock()
	wanted := a.wanted
	a.mu.Unlock()
	if !wanted {
		return
	}
	if _, other := a.look(ctx); other {
		a.changed()
	}
}

// look asks once, and tells whether what is known now is something else than before.
func (a *accounts) look(ctx context.Context) (now policy.ServiceAccounts, other bool) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	issuer, err := a.ask(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err == nil:
		now.Issuer = issuer
	case a.known.Issuer != "":
		return a.known, false
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		now.Problem = "the API server does not let Sallyport read who issues its ServiceAccount tokens: bind the ClusterRole system:service-account-issuer-discovery to Sallyport's ServiceAccount (value serviceAccountTokens of the chart)"
	default:
		now.Problem = "the API server has not said who issues its ServiceAccount tokens; it is asked again: " + kindOfAnswer(err)
	}
	other = now != a.known
	a.known = now
	return now, other
}

// kindOfAnswer says what kind of failure it was, in words that do not change from one time to the next.
func kindOfAnswer(err error) string {
	if reason := apierrors.ReasonForError(err); reason != "" {
		return string(reason)
	}
	return "no answer"
}

// wantsAccounts tells whether a provider takes ServiceAccount tokens.
func wantsAccounts(objs *policy.Objects) bool {
	for _, p := range objs.IdentityProviders {
		if takesAccounts(&p.Spec) {
			return true
		}
	}
	for _, p := range objs.ClusterIdentityProviders {
		if takesAccounts(&p.Spec.IdentityProviderSpec) {
			return true
		}
	}
	return false
}

func takesAccounts(spec *v1alpha1.IdentityProviderSpec) bool {
	return spec.Keys != nil && spec.Keys.Kubernetes != nil
}

// keepAsking asks from time to time until ctx ends.
func (a *accounts) keepAsking(ctx context.Context, every time.Duration) {
	for pause(ctx, every) == nil {
		a.again(ctx)
	}
}
