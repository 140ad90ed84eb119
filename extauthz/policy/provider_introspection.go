package policy

import (
	"bytes"
	"net/url"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// The defaults and bounds of introspection, which the schema names too.
const (
	defaultCacheTTL      = 30 * time.Second
	maxCacheTTL          = time.Hour
	defaultAskTimeout    = 100 * time.Millisecond
	minAskTimeout        = 10 * time.Millisecond
	maxAskTimeout        = 5 * time.Second
	defaultMaxConcurrent = 32
	mostConcurrent       = 1024
	defaultMaxPerSecond  = 200
	mostPerSecond        = 100_000
	maxClientSecret      = 4 << 10
)

// introspection reads how the provider is asked about opaque tokens; nil where it is not, or where that does not compile.
func (c *providerCompiler) introspection(spec *field.Path) *token.Introspection {
	in := c.spec.Introspection
	if in == nil || c.out.fetching == nil {
		return nil
	}
	at := spec.Child("introspection")
	out := &token.Introspection{
		Endpoint: in.Endpoint, Issuer: c.spec.Issuer, Metadata: c.metadata(), RootCAs: c.out.fetching.RootCAs, AllowHTTP: c.spec.AllowHTTP, ClientID: in.ClientID,
		CacheTTL:      c.duration(in.CacheTTL, defaultCacheTTL, 0, maxCacheTTL, at.Child("cacheTTL")),
		Timeout:       c.duration(in.Timeout, defaultAskTimeout, minAskTimeout, maxAskTimeout, at.Child("timeout")),
		MaxConcurrent: readBound(in.MaxConcurrent, defaultMaxConcurrent, mostConcurrent, at.Child("maxConcurrent"), c.p()),
		MaxPerSecond:  readBound(in.MaxPerSecond, defaultMaxPerSecond, mostPerSecond, at.Child("maxPerSecond"), c.p()),
		Interval:      c.out.fetching.Interval, MinInterval: c.out.fetching.MinInterval,
	}
	if in.ClientID == "" {
		c.p().required(at.Child("clientID"), "the name under which the provider knows Sallyport")
	}
	if in.Endpoint != "" {
		c.url(in.Endpoint, at.Child("endpoint"))
	} else {
		c.discoverable(spec, at.Child("endpoint"))
	}
	switch tokens := valueOr(in.Tokens, v1alpha1.IntrospectOpaque); tokens {
	case v1alpha1.IntrospectOpaque, v1alpha1.IntrospectAll:
		out.Signed = tokens == v1alpha1.IntrospectAll
	default:
		c.p().invalid(at.Child("tokens"), string(tokens), "is not known: must be Opaque or All")
	}
	c.clientProof(in, out, at)
	return out
}

// metadata is where that of the issuer is; "": at the issuer.
func (c *providerCompiler) metadata() string {
	if c.spec.Keys == nil || c.spec.Keys.Discovery == nil {
		return ""
	}
	return c.spec.Keys.Discovery.URL
}

// discoverable checks that the issuer has metadata in which an endpoint can be found.
func (c *providerCompiler) discoverable(spec, endpoint *field.Path) {
	u, err := url.Parse(c.spec.Issuer)
	switch {
	case c.metadata() != "": // judged with the keys
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http":
		c.p().required(endpoint, "the issuer is no URL at which it could be found")
	case c.spec.Keys == nil || c.spec.Keys.Discovery != nil: // judged with the keys
	default:
		c.url(c.spec.Issuer, spec.Child("issuer"))
	}
}

// clientProof reads what proves to the provider who asks.
func (c *providerCompiler) clientProof(in *v1alpha1.Introspection, out *token.Introspection, at *field.Path) {
	method := valueOr(in.AuthMethod, v1alpha1.ClientSecretBasic)
	secret, private := at.Child("clientSecretRef"), at.Child("privateKeySecretRef")
	switch method {
	case v1alpha1.ClientSecretBasic, v1alpha1.ClientSecretPost:
		out.InBody = method == v1alpha1.ClientSecretPost
		if in.PrivateKeySecretRef != nil {
			c.p().invalid(private, "", "goes with authMethod: PrivateKeyJWT only")
		}
		if in.ClientSecretRef == nil {
			c.p().required(secret, "the Secret that holds the secret of the client, as name and key")
			return
		}
		data, ok := c.resolve(kindSecret, in.ClientSecretRef, secret)
		data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
		if ok && (len(data) == 0 || len(data) > maxClientSecret) {
			c.p().invalid(secret, "", "the secret is empty, or longer than 4 KiB")
		}
		out.Secret = string(data)
	case v1alpha1.PrivateKeyJWT:
		if in.ClientSecretRef != nil {
			c.p().invalid(secret, "", "does not go with authMethod: PrivateKeyJWT")
		}
		if in.PrivateKeySecretRef == nil {
			c.p().required(private, "the Secret that holds the private key of the client, as name and key")
			return
		}
		if data, ok := c.resolve(kindSecret, in.PrivateKeySecretRef, private); ok {
			key, err := token.ParseClientKey(data)
			if err != nil {
				c.p().invalid(private, "", err.Error())
			}
			out.Key = key
		}
	default:
		c.p().invalid(at.Child("authMethod"), string(method), "is not known: must be ClientSecretBasic, ClientSecretPost or PrivateKeyJWT")
	}
}
