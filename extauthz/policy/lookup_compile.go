package policy

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

var lookupName = regexp.MustCompile(`^[a-z][A-Za-z0-9_]{0,62}$`)

// lookupDraft is an entry of spec.lookups without what it refers to.
type lookupDraft struct {
	at     *field.Path
	spec   *v1alpha1.Lookup
	lookup token.Lookup
	broken bool
}

// lookups compiles what a policy alone says of its lookups.
func (d *drafter) lookups(at *field.Path) {
	for i := range d.spec.Lookups {
		in, at := &d.spec.Lookups[i], at.Index(i)
		before := d.p().errors
		l := lookupDraft{at: at, spec: in, lookup: token.Lookup{Name: d.out.ref.Namespace + "/" + d.out.ref.Name + "/" + in.Name}}
		switch {
		case !lookupName.MatchString(in.Name):
			d.p().invalid(at.Child("name"), in.Name, "must be a lower-case letter, then letters, digits and _, at most 63")
		case slices.ContainsFunc(d.spec.Lookups[:i], func(o v1alpha1.Lookup) bool { return o.Name == in.Name }):
			d.p().invalid(at.Child("name"), in.Name, "is the name of an earlier lookup; give each its own")
		}
		l.lookup.CacheTTL = d.duration(in.CacheTTL, defaultCacheTTL, 0, maxCacheTTL, at.Child("cacheTTL"))
		l.lookup.Timeout = d.duration(in.Timeout, defaultAskTimeout, minAskTimeout, maxAskTimeout, at.Child("timeout"))
		l.lookup.MaxConcurrent = d.bound(in.MaxConcurrent, defaultMaxConcurrent, mostConcurrent, at.Child("maxConcurrent"))
		l.lookup.MaxPerSecond = d.bound(in.MaxPerSecond, defaultMaxPerSecond, mostPerSecond, at.Child("maxPerSecond"))
		switch {
		case (in.UserInfo == nil) == (in.HTTP == nil):
			d.p().invalid(at, "", "say exactly one of userInfo and http")
		case in.HTTP != nil:
			d.http(in.HTTP, &l.lookup, at.Child("http"))
		}
		l.broken = d.p().errors > before
		d.out.lookups = append(d.out.lookups, l)
	}
}

func (d *drafter) duration(in *v1alpha1.Duration, def, least, most time.Duration, at *field.Path) time.Duration {
	return readDuration(in, def, least, most, at, d.p())
}

func (d *drafter) bound(in *int32, def, most int, at *field.Path) int {
	return readBound(in, def, most, at, d.p())
}

func (d *drafter) http(in *v1alpha1.HTTPLookup, out *token.Lookup, at *field.Path) {
	var err error
	if out.URL, err = token.ParseURLTemplate(in.URL); err != nil {
		d.p().invalid(at.Child("url"), in.URL, err.Error())
	}
	if out.AllowHTTP = in.AllowHTTP; strings.HasPrefix(in.URL, "http://") && !in.AllowHTTP {
		d.p().invalid(at.Child("url"), in.URL, "must be https; allowHTTP: true allows http, for development")
	}
	switch method := valueOr(in.Method, "GET"); method {
	case "GET":
		if in.Body != nil {
			d.p().invalid(at.Child("body"), "", "goes with method: POST only")
		}
	case "POST":
		out.Post = true
	default:
		d.p().invalid(at.Child("method"), method, "is not known: must be GET or POST")
	}
	out.Headers = d.fields(in.Headers, at.Child("headers"), func(f v1alpha1.LookupValue) string {
		switch folded := fold(f.Name); {
		case !isToken(strings.ToLower(f.Name)):
			return "is no name of a header"
		case folded == "authorization":
			return "may not be set here; write credentials, which come from a Secret"
		case slices.Contains(forbiddenHeaders, folded) || strings.HasPrefix(folded, "accept") || folded == "content-type" || folded == "content-encoding" || folded == "user-agent" || folded == "expect":
			return "may not be set: the connection lives by it"
		case !isPrintable(f.Value) || f.Value != strings.TrimSpace(f.Value):
			return "has a value that is no visible ASCII, or has blanks around it"
		}
		return ""
	})
	out.Body = d.fields(in.Body, at.Child("body"), func(v1alpha1.LookupValue) string { return "" })
}

// fields compiles values under names; wrong says what is wrong with one.
func (d *drafter) fields(in []v1alpha1.LookupValue, at *field.Path, wrong func(v1alpha1.LookupValue) string) (out []token.LookupField) {
	for i, f := range in {
		at := at.Index(i)
		switch message := wrong(f); {
		case f.Name == "":
			d.p().required(at.Child("name"), "each value has one")
		case message != "":
			d.p().invalid(at.Child("name"), f.Name, message)
		case slices.ContainsFunc(in[:i], func(o v1alpha1.LookupValue) bool { return o.Name == f.Name }):
			d.p().invalid(at.Child("name"), f.Name, "stands here twice")
		}
		value, err := token.ParseTemplate(f.Value)
		if err != nil {
			d.p().invalid(at.Child("value"), f.Value, err.Error())
		}
		out = append(out, token.LookupField{Name: f.Name, Value: value})
	}
	return out
}

// lookupNames are those that expressions of the policy may read.
func lookupNames(in []v1alpha1.Lookup) []string {
	out := make([]string, len(in))
	for i := range in {
		out[i] = in[i].Name
	}
	return out
}

// joinLookups gives the policy what it fetches, with what its lookups refer to.
func (p *joined) joinLookups(dir *directory) {
	for i := range p.draft.lookups {
		d := &p.draft.lookups[i]
		r := rights{name: d.spec.Name, optional: d.spec.Optional}
		before := p.problems.errors
		switch {
		case d.broken:
		case d.spec.UserInfo != nil:
			r.of = p.userInfo(d)
		default:
			r.lookup = p.httpLookup(d, dir)
		}
		r.broken = d.broken || p.problems.errors > before
		p.rights = append(p.rights, r)
	}
}

// userInfo is what is fetched for the callers of each provider.
func (p *joined) userInfo(d *lookupDraft) map[*provider]*token.Lookup {
	out := map[*provider]*token.Lookup{}
	for i := range p.references {
		found := p.references[i].provider
		if found == nil || found.token == nil || found.fetching == nil {
			continue
		}
		if found.token.Tenants != nil || found.token.ServiceAccounts {
			p.problems.add(d.at.Child("userInfo"), SeverityError, v1alpha1.ReasonRefInvalid, fmt.Sprintf("%s has no UserInfo endpoint: it is for several tenants, or for ServiceAccounts; take http, or another provider", found.ref))
			continue
		}
		if u, err := url.Parse(found.fetching.Metadata()); err != nil || u.Host == "" || u.RawQuery != "" || u.Scheme != "https" && (u.Scheme != "http" || !found.fetching.AllowHTTP) {
			p.problems.add(d.at.Child("userInfo"), SeverityError, v1alpha1.ReasonRefInvalid, fmt.Sprintf("the issuer of %s is no https URL at which its UserInfo endpoint could be found", found.ref))
			continue
		}
		l := d.lookup
		l.UserInfo, l.RootCAs, l.AllowHTTP = found.fetching, found.fetching.RootCAs, found.fetching.AllowHTTP
		l.Fingerprint = p.fingerprint(d, found.token.Fingerprint[:])
		out[found] = &l
	}
	return out
}

// httpLookup is what is fetched for every caller; nil where what it refers to cannot be read.
func (p *joined) httpLookup(d *lookupDraft, dir *directory) *token.Lookup {
	in, at := d.spec.HTTP, d.at.Child("http")
	l := d.lookup
	before := p.problems.errors
	var secrets [][]byte
	read := func(kind string, ref *v1alpha1.KeyReference, at *field.Path) []byte {
		data, read := dir.refs.resolve(kind, p.ref.Namespace, ref, at, &p.problems)
		p.reads = append(p.reads, read)
		secrets = append(secrets, data)
		return data
	}
	if c := in.Credentials; c != nil {
		at := at.Child("credentials")
		data := read(kindSecret, &c.SecretRef, at.Child("secretRef"))
		l.Authorization = p.authorization(c.Type, data, at)
	}
	if t := in.TLS; t != nil {
		at := at.Child("tls")
		if t.CAConfigMapKeyRef != nil {
			l.RootCAs = read(kindConfigMap, t.CAConfigMapKeyRef, at.Child("caConfigMapKeyRef"))
			if l.RootCAs != nil && !x509.NewCertPool().AppendCertsFromPEM(l.RootCAs) {
				p.problems.invalid(at.Child("caConfigMapKeyRef"), "", "holds no certificate in PEM")
			}
		}
		switch {
		case (t.CertificateSecretRef == nil) != (t.PrivateKeySecretRef == nil):
			p.problems.invalid(at, "", "certificateSecretRef and privateKeySecretRef go together")
		case t.CertificateSecretRef != nil:
			l.Certificate = read(kindSecret, t.CertificateSecretRef, at.Child("certificateSecretRef"))
			l.PrivateKey = read(kindSecret, t.PrivateKeySecretRef, at.Child("privateKeySecretRef"))
			if l.Certificate != nil && l.PrivateKey != nil {
				if _, err := tls.X509KeyPair(l.Certificate, l.PrivateKey); err != nil {
					p.problems.invalid(at.Child("certificateSecretRef"), "", "is no certificate in PEM that belongs to the private key")
				}
			}
		}
	}
	if p.problems.errors > before {
		return nil
	}
	l.Fingerprint = p.fingerprint(d, secrets...)
	return &l
}

// authorization is the value of the Authorization header.
func (p *joined) authorization(kind string, secret []byte, at *field.Path) string {
	secret = bytes.TrimSuffix(bytes.TrimSuffix(secret, []byte("\n")), []byte("\r"))
	switch {
	case secret == nil: // and the problem is told
	case len(secret) == 0 || len(secret) > maxClientSecret || !isPrintable(string(secret)):
		p.problems.invalid(at.Child("secretRef"), "", "the secret is empty, longer than 4 KiB, or no visible ASCII")
	case kind == "Bearer":
		return "Bearer " + string(secret)
	case kind == "Basic" && bytes.Contains(secret, []byte(":")):
		return "Basic " + base64.StdEncoding.EncodeToString(secret)
	case kind == "Basic":
		p.problems.invalid(at.Child("secretRef"), "", "must be user:password for type: Basic")
	default:
		p.problems.invalid(at.Child("type"), kind, "is not known: must be Bearer or Basic")
	}
	return ""
}

// fingerprint names everything that the answer of a lookup is a function of, the caller apart.
func (p *joined) fingerprint(d *lookupDraft, more ...[]byte) [32]byte {
	f := &fingerprint{h: sha256.New()}
	f.add([]byte(p.name))
	spec, _ := json.Marshal(d.spec) // texts, numbers and lists of them: cannot fail
	f.add(spec)
	for _, b := range more {
		f.add(b)
	}
	return f.sum()
}

// resolve reads a key of a Secret or ConfigMap, and tells p what is wrong with it.
func (r *references) resolve(kind, namespace string, ref *v1alpha1.KeyReference, at *field.Path, p *problems) ([]byte, keyRead) {
	out := r.read(kind, types.NamespacedName{Namespace: namespace, Name: ref.Name}, ref.Key)
	if !p.found(&out, at) {
		return nil, out
	}
	return out.value, out
}

// found tells whether r found something, and says what to do where it did not.
func (p *problems) found(r *keyRead, at *field.Path) bool {
	switch r.found {
	case readForbidden:
		p.add(at.Child("name"), SeverityError, v1alpha1.ReasonRefNotPermitted, fmt.Sprintf("Sallyport may not read the %ss of namespace %q; whoever installs Sallyport adds it to referenceNamespaces", r.kind, r.object.Namespace))
	case readNoObject:
		p.add(at.Child("name"), SeverityError, v1alpha1.ReasonRefNotFound, fmt.Sprintf("there is no %s %s; create it, or mend the name", r.kind, r.object))
	case readNoKey:
		p.add(at.Child("key"), SeverityError, v1alpha1.ReasonRefNotFound, fmt.Sprintf("%s %s has no key %q", r.kind, r.object, r.key))
	case readValue:
		return true
	}
	return false
}

// readBound reads a number from 1 to most.
func readBound(v *int32, def, most int, at *field.Path, p *problems) int {
	if v == nil {
		return def
	}
	if *v < 1 || int(*v) > most {
		p.invalid(at, strconv.Itoa(int(*v)), "must be from 1 to "+strconv.Itoa(most))
	}
	return int(*v)
}
