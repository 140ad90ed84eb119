package policy

import (
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// look is the look of a refusal: for want of a valid token, and for any other reason. Nil is the default look.
type look struct {
	forbidden       *Refusal
	unauthenticated *Refusal
}

// of is the look for a reason.
func (l *look) of(r Reason) *Refusal {
	if r.Unauthenticated() {
		return l.unauthenticated
	}
	return l.forbidden
}

// compileLook compiles denied of a policy, or of a rule over that of its policy: the field that is nearest wins, and of
// two that are equally near the one under unauthenticated. What does not compile is left out; it opens no door.
func compileLook(in *v1alpha1.Denied, parent look, at *field.Path, p *problems) look {
	if in == nil {
		return parent
	}
	out := look{
		forbidden:       compileRefusal(&in.DeniedResponse, parent.forbidden, at, p),
		unauthenticated: compileRefusal(&in.DeniedResponse, parent.unauthenticated, at, nil),
	}
	if u := in.Unauthenticated; u != nil {
		at := at.Child("unauthenticated")
		out.unauthenticated = compileRefusal(&u.DeniedResponse, out.unauthenticated, at, p)
		if u.Redirect != nil {
			out.unauthenticated.Redirect = compileRedirect(u.Redirect, at.Child("redirect"), p)
		}
	}
	return out
}

// compileRefusal lays in over parent. p is nil where the problems were reported already.
func compileRefusal(in *v1alpha1.DeniedResponse, parent *Refusal, at *field.Path, p *problems) *Refusal {
	if p == nil {
		p = &problems{}
	}
	out := Refusal{}
	if parent != nil {
		out = *parent
	}
	if in.Status != nil {
		if *in.Status < 300 || *in.Status > 599 {
			p.invalid(at.Child("status"), "", "must be from 300 to 599")
		} else {
			out.Status = *in.Status
		}
	}
	if in.Headers != nil {
		out.Headers = compileResponseHeaders(in.Headers, at.Child("headers"), p)
	}
	if in.Body != nil {
		out.Body, out.Text = compileBody(in.Body, at.Child("body"), p)
	}
	if in.Realm != "" {
		if strings.IndexFunc(in.Realm, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) >= 0 {
			p.invalid(at.Child("realm"), in.Realm, `use printable ASCII without " and \`)
		} else {
			out.Realm = in.Realm
		}
	}
	return &out
}

func compileBody(in *v1alpha1.DeniedBody, at *field.Path, p *problems) (Body, string) {
	switch typ := valueOr(in.Type, v1alpha1.DeniedBodyProblemJSON); typ {
	case v1alpha1.DeniedBodyText:
		return BodyText, in.Text
	case v1alpha1.DeniedBodyProblemJSON, v1alpha1.DeniedBodyEmpty:
		if in.Text != "" {
			p.invalid(at.Child("text"), in.Text, "goes with type: Text only")
		}
		if typ == v1alpha1.DeniedBodyEmpty {
			return BodyEmpty, ""
		}
	default:
		p.invalid(at.Child("type"), string(typ), "is not known: must be ProblemJSON, Text or Empty")
	}
	return BodyProblemJSON, ""
}

// ownResponseHeaders are those of a refusal that Sallyport or the proxy writes itself.
var ownResponseHeaders = []string{
	"www-authenticate", "x-sallyport-decision-id", "content-length", "content-type", "transfer-encoding", "connection",
	"keep-alive", "upgrade", "trailer", "te", "proxy-connection",
}

func compileResponseHeaders(in []v1alpha1.ResponseHeader, at *field.Path, p *problems) []HeaderValue {
	out := []HeaderValue{}
	for i, h := range in {
		name := strings.ToLower(h.Name)
		switch {
		case !isToken(name) || strings.HasPrefix(name, ":"):
			p.invalid(at.Index(i).Child("name"), h.Name, "is no name of a header")
		case slices.Contains(ownResponseHeaders, name):
			p.invalid(at.Index(i).Child("name"), h.Name, "is written by Sallyport or by the proxy; take another")
		case strings.IndexFunc(h.Value, func(r rune) bool { return r < ' ' || r > '~' }) >= 0:
			p.invalid(at.Index(i).Child("value"), h.Value, "use printable ASCII")
		default:
			out = append(out, HeaderValue{name, h.Value})
		}
	}
	return out
}

func compileRedirect(in *v1alpha1.Redirect, at *field.Path, p *problems) *Redirect {
	u, err := url.Parse(in.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || !isPrintable(in.URL) || u.Fragment != "" {
		p.invalid(at.Child("url"), in.URL, "must be a URL such as https://login.example.com/start, without a fragment")
		return nil
	}
	if in.ReturnParameter != "" && !isSourceName(in.ReturnParameter) {
		p.invalid(at.Child("returnParameter"), in.ReturnParameter, "use letters, digits, _, . and -")
		return nil
	}
	out := &Redirect{URL: u.String(), ReturnParameter: in.ReturnParameter}
	switch v := valueOr(in.OnlyFor, v1alpha1.RedirectForHTML); v {
	case v1alpha1.RedirectForHTML:
		out.HTMLOnly = true
	case v1alpha1.RedirectForAny:
	default:
		p.invalid(at.Child("onlyFor"), string(v), "is not known: must be HTML or Any")
		return nil
	}
	switch v := valueOr(in.StepUp, v1alpha1.StepUpRefuse); v {
	case v1alpha1.StepUpRedirectToLogin:
		out.StepUp = true
	case v1alpha1.StepUpRefuse:
	default:
		p.invalid(at.Child("stepUp"), string(v), "is not known: must be Refuse or Redirect")
		return nil
	}
	return out
}
