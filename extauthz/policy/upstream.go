package policy

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// maxUpstreamValue and maxUpstreamBytes bound the headers that an application receives, each and in sum.
	maxUpstreamValue = 2 << 10
	maxUpstreamBytes = 8 << 10
)

// upstream is what the application receives.
type upstream struct {
	headers     []upstreamValue
	metadata    []upstreamValue
	removeToken bool
	// broken: something here does not compile; rules that look at a token refuse.
	broken bool
}

// upstreamValue is a claim, or an expression, under a name.
type upstreamValue struct {
	name       string
	claim      token.ClaimPath
	expression *expression // nil: the claim
	// forbidden: it is no name that may be set, and nothing of requests is removed for it.
	forbidden bool
}

// forbiddenHeaders are those that the connection, the routing or the proxy lives by.
var forbiddenHeaders = []string{
	"host", "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
	"transfer-encoding", "upgrade", "content-length", "http2-settings", "cookie", "authorization",
}

func compileUpstream(in *v1alpha1.Upstream, env *vocabulary, at *field.Path, p *problems) (out upstream) {
	if in == nil {
		return out
	}
	switch v := valueOr(in.Token, v1alpha1.TokenForward); v {
	case v1alpha1.TokenRemove:
		out.removeToken = true
	case v1alpha1.TokenForward:
	default:
		p.invalid(at.Child("token"), string(v), "is not known: must be Forward or Remove")
	}
	for i, h := range in.Headers {
		at := at.Child("headers").Index(i)
		name := strings.ToLower(h.Name)
		forbidden := true
		switch {
		case !isToken(name) || strings.HasPrefix(name, ":"):
			p.invalid(at.Child("name"), h.Name, "is no name of a header")
		case slices.Contains(forbiddenHeaders, fold(name)) || strings.HasPrefix(fold(name), "x-envoy-") || strings.HasPrefix(fold(name), "x-forwarded-"):
			p.invalid(at.Child("name"), h.Name, "may not be set: connections, routing and proxies live by it; take a name of your own, such as x-user")
		case slices.ContainsFunc(out.headers, func(o upstreamValue) bool { return fold(o.name) == fold(name) }):
			p.invalid(at.Child("name"), h.Name, "stands here twice")
			forbidden = false
		default:
			forbidden = false
		}
		v := compileUpstreamValue(name, h.Claim, h.Expression, headerTypes, env, at, p)
		v.forbidden = forbidden
		out.headers = append(out.headers, v)
	}
	for i, m := range in.Metadata {
		at := at.Child("metadata").Index(i)
		switch {
		case m.Key == "":
			p.required(at.Child("key"), "the key under which Envoy gets the value")
		case slices.Contains([]string{"decision", "reason", "policy", "rule", "decisionID", "dryRun"}, m.Key):
			p.invalid(at.Child("key"), m.Key, "is always there with a meaning of its own; take another")
		case slices.ContainsFunc(out.metadata, func(o upstreamValue) bool { return o.name == m.Key }):
			p.invalid(at.Child("key"), m.Key, "stands here twice")
		}
		out.metadata = append(out.metadata, compileUpstreamValue(m.Key, m.Claim, m.Expression, nil, env, at, p))
	}
	return out
}

// headerTypes are what an expression for a header may evaluate to.
var headerTypes = []*cel.Type{
	cel.StringType, cel.IntType, cel.UintType, cel.DoubleType, cel.BoolType, cel.DynType,
	cel.ListType(cel.StringType), cel.ListType(cel.DynType),
}

func compileUpstreamValue(name, claim, source string, wanted []*cel.Type, env *vocabulary, at *field.Path, p *problems) upstreamValue {
	out := upstreamValue{name: name}
	switch {
	case (claim == "") == (source == ""):
		p.invalid(at, "", "say exactly one of claim and expression")
	case claim != "":
		path, err := token.ParseClaimPath(claim)
		if err != nil {
			p.invalid(at.Child("claim"), claim, err.Error())
		}
		out.claim = path
	default:
		e, err := compileExpression(env, source, wanted...)
		if err != nil {
			p.invalid(at.Child("expression"), source, err.Error())
		}
		out.expression = e
	}
	return out
}

// fold is the spelling of a header that servers confuse with others: CGI and its heirs read "_" for "-".
func fold(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}

// header is the value for the application; present is false where the token has none. An error says that it cannot be
// written in a way that is read in one way only.
func (u *upstreamValue) header(vars *variables) (value string, present bool, err error) {
	if u.expression != nil {
		v, ok := u.expression.value(vars)
		if !ok {
			return "", false, nil
		}
		value, err = celText(v)
	} else {
		v, ok := claimOf(vars.identity, u.claim)
		if !ok {
			return "", false, nil
		}
		value, err = v.written()
		if v.isText && strings.Contains(value, ",") && isListClaim(vars.identity.Provider, u.claim) {
			err = errUpstreamValue
		}
	}
	if err != nil || value == "" {
		return "", false, err
	}
	if len(value) > maxUpstreamValue || !isPrintable(value) || value != strings.TrimSpace(value) {
		return "", false, errUpstreamValue
	}
	return value, true, nil
}

var errUpstreamValue = errors.New("cannot be written as a header that is read in one way only")

// isListClaim tells whether the provider maps roles or groups to the claim: providers write a list of one as a text, and
// a "," in it would be read as two.
func isListClaim(p *token.Provider, claim token.ClaimPath) bool {
	return p != nil && (claim.String() == p.Roles.String() || claim.String() == p.Groups.String())
}

// written writes a claim: scalars as they stand, a list of them joined with ",". An element that holds a "," would be
// read as two.
func (v *claimValue) written() (string, error) {
	switch {
	case v.isText:
		return v.text, nil
	case !v.isList:
		return scalarText(v.other)
	}
	texts := make([]string, len(v.list))
	for i, e := range v.list {
		s, err := scalarText(e)
		if err != nil || s == "" || strings.Contains(s, ",") {
			return "", errUpstreamValue
		}
		texts[i] = s
	}
	return strings.Join(texts, ","), nil
}

func scalarText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return string(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", errUpstreamValue
}

// celText writes the value of an expression as claimText writes a claim.
func celText(v ref.Val) (string, error) {
	list, ok := v.(traits.Lister)
	if !ok {
		return celScalarText(v)
	}
	var texts []string
	for it := list.Iterator(); it.HasNext() == types.True; {
		s, err := celScalarText(it.Next())
		if err != nil || s == "" || strings.Contains(s, ",") {
			return "", errUpstreamValue
		}
		texts = append(texts, s)
	}
	return strings.Join(texts, ","), nil
}

func celScalarText(v ref.Val) (string, error) {
	switch v.(type) {
	case types.String, types.Int, types.Uint, types.Double, types.Bool, number:
	default:
		return "", errUpstreamValue
	}
	s, ok := v.ConvertToType(types.StringType).(types.String)
	if !ok {
		return "", errUpstreamValue
	}
	return string(s), nil
}

// value is the entry for Envoy's metadata; present is false where there is none.
func (u *upstreamValue) value(vars *variables) (v any, present bool) {
	if u.expression == nil {
		v, ok := vars.identity.Claim(u.claim)
		return plain(v), ok
	}
	out, ok := u.expression.value(vars)
	if !ok {
		return nil, false
	}
	native, err := out.ConvertToNative(reflect.TypeFor[*structpb.Value]())
	if err != nil {
		return nil, false
	}
	pb, ok := native.(*structpb.Value)
	if !ok {
		return nil, false
	}
	return pb.AsInterface(), true
}

// plain copies a claim with its numbers as float64, which is all that Envoy's metadata knows.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return string(v)
		}
		return f
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = plain(e)
		}
		return out
	}
	return v
}
