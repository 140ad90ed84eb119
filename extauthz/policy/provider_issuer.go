package policy

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// maxTenants is how many tenants a provider may list, as the schema says too: each may have keys of its own to fetch.
const maxTenants = 64

// issuer reads whose tokens they are. Of those of the cluster's ServiceAccounts the API server says it.
func (c *providerCompiler) issuer(t *token.Provider, spec *field.Path) {
	at := spec.Child("issuer")
	if c.spec.Keys == nil || c.spec.Keys.Kubernetes == nil {
		if c.spec.Issuer == "" {
			c.p().required(at, "the text that iss has in the tokens of this provider")
		}
		return
	}
	accounts := c.refs.accounts
	c.out.accounts = &accounts
	c.fp.add([]byte(accounts.Issuer))
	t.Issuer, t.ServiceAccounts = accounts.Issuer, true
	from := spec.Child("keys", "kubernetes")
	switch {
	case accounts == ServiceAccounts{}:
		c.p().add(from, SeverityError, v1alpha1.ReasonRefNotFound, "needs a cluster: files have no API server that could be asked; put its keys into a ConfigMap, from kubectl get --raw /openid/v1/jwks, and name that in keys.configMapKeyRef")
	case accounts.Issuer == "":
		c.p().add(from, SeverityError, v1alpha1.ReasonRefNotFound, accounts.Problem)
	case c.spec.Issuer != "" && c.spec.Issuer != accounts.Issuer:
		c.p().add(at, SeverityError, v1alpha1.ReasonRefInvalid, fmt.Sprintf("%q is not the issuer of this cluster: the API server says %q; leave issuer out to take that", c.spec.Issuer, accounts.Issuer))
	}
	for _, other := range []struct {
		name  string
		there bool
	}{
		{"tenants", c.spec.Tenants != nil}, {"claimMappings", c.spec.ClaimMappings != nil},
		{"introspection", c.spec.Introspection != nil}, {"tls", c.spec.TLS != nil},
	} {
		if other.there {
			c.p().invalid(spec.Child(other.name), "", "does not go with keys.kubernetes: what it says is known of the API server")
		}
	}
}

// tenants reads whose issuers there are, where each tenant has one.
func (c *providerCompiler) tenants(t *token.Provider, spec *field.Path) {
	in, at := c.spec.Tenants, spec.Child("tenants")
	marked := strings.Contains(c.spec.Issuer, token.TenantMark)
	switch {
	case in == nil && marked:
		c.p().required(at, fmt.Sprintf("the issuer holds %s; say with values which tenants are believed, or with from: Any that all are", token.TenantMark))
	case in != nil && !marked:
		c.p().invalid(spec.Child("issuer"), c.spec.Issuer, fmt.Sprintf("has no %s, so there is nothing for tenants to stand for; write it in place of the tenant, such as https://id.example.com/realms/%s", token.TenantMark, token.TenantMark))
	}
	if in == nil || !marked {
		return
	}
	names := c.tenantNames(in, at)
	claim := token.ClaimPath{}
	apart := c.spec.Keys == nil || c.spec.Keys.Discovery != nil && c.spec.Keys.Discovery.URL == ""
	switch {
	case in.Claim != "":
		claim = c.claimPath(in.Claim, "", at.Child("claim"))
	case !apart:
		c.p().required(at.Child("claim"), "where tenants share their keys, name the claim that says the tenant, such as tid; it must be equal to the tenant in iss")
	}
	if apart && names == nil {
		c.p().invalid(at.Child("from"), string(v1alpha1.TenantsFromAny), "needs keys that all tenants share, such as keys.remote or keys.discovery.url: nothing is fetched from where a token says")
	}
	if c.spec.Introspection != nil {
		c.p().invalid(spec.Child("introspection"), "", "does not go with tenants: an opaque token does not say whose it is; write a provider for each tenant")
	}
	if k := c.spec.Keys; k != nil && k.Remote != nil && strings.Contains(k.Remote.URL, token.TenantMark) {
		c.p().invalid(spec.Child("keys", "remote", "url"), k.Remote.URL, "is one key set for all tenants; for one of each take keys.discovery")
	}
	tenants, err := token.NewTenants(c.spec.Issuer, names, claim)
	if err != nil {
		c.p().invalid(spec.Child("issuer"), c.spec.Issuer, err.Error())
		return
	}
	t.Tenants = tenants
}

// tenantNames are the tenants that are listed; nil for all. What is wrong with them is told, and left out.
func (c *providerCompiler) tenantNames(in *v1alpha1.Tenants, at *field.Path) []string {
	values := at.Child("values")
	switch from := valueOr(in.From, v1alpha1.TenantsFromValues); from {
	case v1alpha1.TenantsFromAny:
		if in.Values != nil {
			c.p().invalid(values, "", "goes with from: Values only")
		}
		return nil
	case v1alpha1.TenantsFromValues:
	default:
		c.p().invalid(at.Child("from"), string(from), "is not known: must be Values or Any")
	}
	if len(in.Values) == 0 {
		c.p().required(values, "the tenants that are believed; from: Any believes whoever has an account at the issuer")
	}
	if len(in.Values) > maxTenants {
		c.p().invalid(values, "", fmt.Sprintf("there are %d tenants, and at most %d may be listed; write another provider for the rest", len(in.Values), maxTenants))
	}
	names := []string{}
	for i, name := range in.Values {
		if !token.IsTenant(name) || slices.Contains(in.Values[:i], name) {
			c.p().invalid(values.Index(i), name, "must be what stands in iss for the tenant, once: 1 to 128 letters, digits and ._~- with no dot in front")
			continue
		}
		names = append(names, name)
	}
	return names
}
