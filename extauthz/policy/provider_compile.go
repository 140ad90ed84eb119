package policy

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// The defaults of a provider, which the schema names too.
const (
	defaultClockSkew   = 30 * time.Second
	maxClockSkew       = time.Minute
	defaultInterval    = 10 * time.Minute
	minInterval        = 10 * time.Second
	defaultMinInterval = 10 * time.Second
	minMinInterval     = time.Second
	defaultStaleFor    = 24 * time.Hour
)

// providerCompiler compiles one provider; what is wrong goes into out.problems.
type providerCompiler struct {
	*providerSource
	refs *references
	env  *environment
	out  *provider
	fp   *fingerprint
}

func compileProvider(s *providerSource, undecoded []UndecodedField, refs *references, env *environment) *provider {
	c := &providerCompiler{providerSource: s, refs: refs, env: env, out: &provider{ref: s.ref}, fp: newFingerprint(s)}
	for _, f := range undecoded {
		c.p().undecoded(f)
	}
	at := field.NewPath("spec")
	t := &token.Provider{Name: s.name(), Namespace: s.ref.Namespace, UID: string(s.uid), Issuer: s.spec.Issuer, Audiences: slices.Clone(s.spec.Audiences)}
	if s.spec.Issuer == "" {
		c.p().required(at.Child("issuer"), "the text that iss has in the tokens of this provider")
	}
	c.audiences(at.Child("audiences"))
	t.AudienceClaim = c.claimPath(s.spec.AudienceClaim, "aud", at.Child("audienceClaim"))
	t.Algorithms = c.algorithms(at.Child("algorithms"))
	t.TokenTypes = c.tokenTypes(at.Child("tokenTypes"))
	t.ClockSkew = c.duration(s.spec.ClockSkew, defaultClockSkew, 0, maxClockSkew, at.Child("clockSkew"))
	t.MaxTokenAge = c.duration(s.spec.MaxTokenAge, 0, time.Second, 0, at.Child("maxTokenAge"))
	t.Sources = c.sources(at.Child("tokenSources"))
	m := valueOr(s.spec.ClaimMappings, v1alpha1.ClaimMappings{})
	mappings := at.Child("claimMappings")
	t.Subject = c.claimPath(m.Subject, "sub", mappings.Child("subject"))
	t.Scopes = c.claimPath(m.Scopes, "scope", mappings.Child("scopes"))
	t.Roles = c.claimPath(m.Roles, "roles", mappings.Child("roles"))
	t.Groups = c.claimPath(m.Groups, "groups", mappings.Child("groups"))
	c.keys(t, at)
	t.Introspection = c.introspection(at)
	t.Logout = c.logout(t.MaxTokenAge, at.Child("backChannelLogout"))
	c.senderConstraint(t, at.Child("senderConstraint"))
	c.out.rules = compileExpressions(&vocabulary{env: env.provider}, s.spec.ClaimValidationRules, at.Child("claimValidationRules"), c.p())
	c.out.serves = c.allowedNamespaces(at.Child("allowedNamespaces"))
	broken := c.p().errors > 0
	if c.decryption(t, at.Child("decryption")); !broken {
		t.Fingerprint = c.fp.sum()
		c.out.token = t
	}
	return c.out
}

func (c *providerCompiler) p() *problems { return &c.out.problems }

func (c *providerCompiler) audiences(at *field.Path) {
	if len(c.spec.Audiences) == 0 {
		c.p().required(at, "a token that is not bound to an audience could be meant for any service; name at least one")
	}
	for i, a := range c.spec.Audiences {
		if a == "" || slices.Contains(c.spec.Audiences[:i], a) {
			c.p().invalid(at.Index(i), a, "must be a text that is not empty and stands here once")
		}
	}
}

func (c *providerCompiler) claimPath(s, def string, at *field.Path) token.ClaimPath {
	if s == "" {
		s = def
	}
	path, err := token.ParseClaimPath(s)
	if err != nil {
		c.p().invalid(at, s, err.Error())
	}
	return path
}

func (c *providerCompiler) algorithms(at *field.Path) token.Algorithms {
	if len(c.spec.Algorithms) == 0 {
		if c.spec.Algorithms != nil {
			c.p().required(at, "name at least one, or leave algorithms out for every asymmetric one")
		}
		return token.Asymmetric
	}
	var list []token.Algorithm
	symmetric := 0
	for i, name := range c.spec.Algorithms {
		a, err := token.ParseAlgorithm(name)
		if err != nil {
			c.p().invalid(at.Index(i), name, err.Error())
			continue
		}
		if strings.HasPrefix(name, "HS") {
			symmetric++
		}
		list = append(list, a)
	}
	if symmetric > 0 && symmetric < len(list) {
		c.p().invalid(at, "", "HS256, HS384 and HS512 may not stand beside others: whoever knows a public key could sign with it")
	}
	if symmetric > 0 && (c.spec.Keys == nil || c.spec.Keys.SecretKeyRef == nil) {
		c.p().invalid(at, "", "HS256, HS384 and HS512 need keys.secretKeyRef: their key is a secret")
	}
	return token.NewAlgorithms(list...)
}

func (c *providerCompiler) tokenTypes(at *field.Path) []string {
	return readTokenTypes(c.spec.TokenTypes, at, c.p(), "at+jwt", "JWT")
}

// readTokenTypes reads values of typ into the form in which they compare; usual are those that nil stands for.
func readTokenTypes(types []string, at *field.Path, p *problems, usual ...string) []string {
	if types == nil {
		types = usual
	}
	var out []string
	for i, t := range types {
		t = strings.TrimPrefix(strings.ToLower(t), "application/")
		if t == "" {
			p.invalid(at.Index(i), "", "must not be empty; JWT stands for tokens without typ as well")
		}
		out = append(out, t)
	}
	if len(out) == 0 {
		p.required(at, "name at least one, or leave tokenTypes out for "+strings.Join(usual, " and "))
	}
	return out
}

// duration reads d; most 0 is no upper bound.
func (c *providerCompiler) duration(d *v1alpha1.Duration, def, least, most time.Duration, at *field.Path) time.Duration {
	return readDuration(d, def, least, most, at, c.p())
}

func readDuration(d *v1alpha1.Duration, def, least, most time.Duration, at *field.Path, p *problems) time.Duration {
	if d == nil || *d == "" {
		return def
	}
	v, err := parseDuration(string(*d))
	switch {
	case err != nil:
		p.invalid(at, string(*d), err.Error())
	case v < least:
		p.invalid(at, string(*d), fmt.Sprintf("must be at least %s", least))
	case most > 0 && v > most:
		p.invalid(at, string(*d), fmt.Sprintf("must be at most %s", most))
	}
	return v
}

var durationForm = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)

// parseDuration reads a duration as the Gateway API writes it (GEP-2257).
func parseDuration(s string) (time.Duration, error) {
	if !durationForm.MatchString(s) {
		return 0, fmt.Errorf("must be whole numbers with units, such as 30s, 5m or 1h30m")
	}
	return time.ParseDuration(s)
}

func (c *providerCompiler) sources(at *field.Path) []token.Source {
	if c.spec.TokenSources == nil {
		return []token.Source{{Header: "authorization", Scheme: "Bearer"}}
	}
	var out []token.Source
	for i := range c.spec.TokenSources {
		in, at := &c.spec.TokenSources[i], at.Index(i)
		var s token.Source
		n := 0
		if in.Header != nil {
			n++
			s = token.Source{Header: strings.ToLower(in.Header.Name), Scheme: in.Header.Scheme}
			if !isToken(s.Header) || s.Header == "cookie" || s.Header == "host" {
				c.p().invalid(at.Child("header", "name"), in.Header.Name, "is no header that can hold a token; for a cookie write cookie")
			}
			if s.WantsProof() {
				c.p().invalid(at.Child("header", "scheme"), s.Scheme, "a token behind DPoP is shown with a proof: write senderConstraint: {dpop: {}}, which adds this place, and leave it out here")
			}
			if s.Scheme != "" && !isToken(s.Scheme) {
				c.p().invalid(at.Child("header", "scheme"), s.Scheme, "must be the word in front of the token, such as Bearer, without space")
			}
		}
		for _, named := range []struct {
			field string
			in    *v1alpha1.NamedSource
			out   *string
		}{{"cookie", in.Cookie, &s.Cookie}, {"queryParameter", in.QueryParameter, &s.QueryParameter}} {
			if named.in == nil {
				continue
			}
			n++
			*named.out = named.in.Name
			if !isSourceName(named.in.Name) {
				c.p().invalid(at.Child(named.field, "name"), named.in.Name, "use letters, digits, _, . and -")
			}
		}
		if n != 1 {
			c.p().invalid(at, "", "say exactly one of header, cookie and queryParameter")
		}
		if slices.Contains(out, s) {
			c.p().invalid(at, "", "stands here twice")
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		c.p().required(at, "name at least one, or leave tokenSources out for Authorization: Bearer")
	}
	return out
}

func isSourceName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '.' || r == '-')
	}) < 0
}

// allowedNamespaces selects the namespaces that the provider serves; nil for all.
func (c *providerCompiler) allowedNamespaces(at *field.Path) labels.Selector {
	if c.allowed == nil {
		return nil
	}
	switch from := valueOr(c.allowed.From, v1alpha1.NamespacesFromAll); from {
	case v1alpha1.NamespacesFromAll:
		if c.allowed.Selector != nil {
			c.p().invalid(at.Child("selector"), "", "goes with from: Selector only")
		}
		return nil
	case v1alpha1.NamespacesFromSelector:
	default:
		c.p().invalid(at.Child("from"), string(from), "is not known: must be All or Selector")
		return nil
	}
	if c.allowed.Selector == nil {
		c.p().required(at.Child("selector"), "say which labels a Namespace must have")
		return nil
	}
	selector, err := metav1.LabelSelectorAsSelector(c.allowed.Selector)
	if err != nil {
		c.p().invalid(at.Child("selector"), "", err.Error())
		return nil
	}
	return selector
}

// url checks the URL of a provider: https, or http where the provider allows it, and nothing that could send a request
// elsewhere.
func (c *providerCompiler) url(s string, at *field.Path) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http":
		c.p().invalid(at, s, "must be a URL such as https://id.example.com/keys")
	case u.User != nil || u.Fragment != "":
		c.p().invalid(at, s, "must not have a user or a fragment")
	case u.Scheme == "http" && !c.spec.AllowHTTP:
		c.p().invalid(at, s, "must be https; allowHTTP: true allows http, for development")
	}
}
