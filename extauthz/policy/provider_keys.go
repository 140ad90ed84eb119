package policy

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// keys says where the keys of the provider come from, and reads them where they came with the objects.
func (c *providerCompiler) keys(t *token.Provider, spec *field.Path) {
	at := spec.Child("keys")
	k := valueOr(c.spec.Keys, v1alpha1.KeySource{Discovery: &v1alpha1.Discovery{}})
	n := 0
	for _, is := range []bool{k.Discovery != nil, k.Remote != nil, k.Inline != "", k.ConfigMapKeyRef != nil, k.SecretKeyRef != nil, k.PEM != nil, k.Kubernetes != nil} {
		if is {
			n++
		}
	}
	if n != 1 {
		c.p().invalid(at, "", "say exactly one of discovery, remote, inline, configMapKeyRef, secretKeyRef, pem and kubernetes")
		return
	}
	remote := c.remote(spec)
	c.out.fetching = remote
	switch {
	case k.Discovery != nil:
		c.discovery(t, k.Discovery.URL, spec)
	case k.Kubernetes != nil:
		remote.Kubernetes, remote.Issuer = true, t.Issuer
		t.Remote = remote
	case k.Remote != nil:
		c.url(k.Remote.URL, at.Child("remote", "url"))
		remote.URL = k.Remote.URL
		t.Remote = remote
	case k.Inline != "":
		t.Static = c.keySet([]byte(k.Inline), false, at.Child("inline"))
	case k.ConfigMapKeyRef != nil:
		if data, ok := c.resolve(kindConfigMap, k.ConfigMapKeyRef, at.Child("configMapKeyRef")); ok {
			t.Static = c.keySet(data, false, at.Child("configMapKeyRef"))
		}
	case k.SecretKeyRef != nil:
		if data, ok := c.resolve(kindSecret, k.SecretKeyRef, at.Child("secretKeyRef")); ok {
			t.Static = c.keySet(data, t.Algorithms.Symmetric(), at.Child("secretKeyRef"))
		}
	default:
		t.Static = c.keySet([]byte(strings.Join(k.PEM, "\n")), false, at.Child("pem"))
	}
}

// discovery takes the keys from where metadata says: that at location, or where it is "" that of the issuer, for each tenant
// its own.
func (c *providerCompiler) discovery(t *token.Provider, location string, spec *field.Path) {
	remote, at := c.out.fetching, spec.Child("keys", "discovery", "url")
	remote.Discovery, remote.URL = true, location
	shared := location != ""
	if !shared {
		at, location = spec.Child("issuer"), c.spec.Issuer
	}
	c.url(location, at)
	if u, err := url.Parse(location); err == nil && u.RawQuery != "" {
		c.p().invalid(at, location, "an issuer that is discovered has no query; name the keys under keys.remote")
	}
	if t.Tenants == nil || shared {
		t.Remote = remote
		return
	}
	t.KeepApart(func(issuer string) *token.Remote {
		own := *remote // with one bundle of authorities for all
		own.Issuer, own.Among = issuer, t.Name
		return &own
	})
}

// remote reads what concerns fetching: refresh, TLS and plain HTTP.
func (c *providerCompiler) remote(spec *field.Path) *token.Remote {
	in := valueOr(c.spec.Refresh, v1alpha1.Refresh{})
	at := spec.Child("refresh")
	r := &token.Remote{
		Issuer:      c.spec.Issuer,
		AllowHTTP:   c.spec.AllowHTTP,
		Interval:    c.duration(in.Interval, defaultInterval, minInterval, 0, at.Child("interval")),
		MinInterval: c.duration(in.MinInterval, defaultMinInterval, minMinInterval, 0, at.Child("minInterval")),
		StaleFor:    c.duration(in.StaleFor, defaultStaleFor, 0, 0, at.Child("staleFor")),
	}
	if r.StaleFor < r.Interval {
		c.p().invalid(at.Child("staleFor"), "", fmt.Sprintf("must be at least the interval (%s), or keys would be dropped between two fetches", r.Interval))
	}
	if c.spec.TLS != nil {
		ref := spec.Child("tls", "caConfigMapKeyRef")
		data, ok := c.resolve(kindConfigMap, &c.spec.TLS.CAConfigMapKeyRef, ref)
		if ok && !x509.NewCertPool().AppendCertsFromPEM(data) {
			c.p().invalid(ref, "", "holds no certificate in PEM")
		}
		r.RootCAs = data
	}
	return r
}

// resolve reads a key of a Secret or ConfigMap. The bytes are part of what the provider is a function of.
func (c *providerCompiler) resolve(kind string, ref *v1alpha1.KeyReference, at *field.Path) ([]byte, bool) {
	data, r := c.refs.resolve(kind, c.namespace, ref, at, c.p())
	c.out.reads = append(c.out.reads, r)
	if r.found != readValue {
		return nil, false
	}
	c.fp.add([]byte(kind))
	c.fp.add(data)
	return data, true
}

// keySet reads keys in whichever form they come. symmetric: HS algorithms, whose keys come from a Secret.
func (c *providerCompiler) keySet(data []byte, symmetric bool, at *field.Path) *token.KeySet {
	trimmed := bytes.TrimSpace(data)
	var (
		set     *token.KeySet
		dropped []error
		err     error
	)
	switch {
	case bytes.HasPrefix(trimmed, []byte("{")):
		set, dropped, err = token.ParseJWKS(trimmed, symmetric)
	case symmetric:
		set, err = token.NewHMACKeySet(data)
	default:
		set, err = token.ParsePEM(trimmed)
	}
	for _, d := range dropped {
		c.p().warn(at, v1alpha1.ReasonInvalid, d.Error())
	}
	if err != nil {
		c.p().invalid(at, "", err.Error())
	}
	return set
}
