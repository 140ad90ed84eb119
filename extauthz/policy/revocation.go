package policy

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// Reasons of problems of revocations, beside those of the API's conditions.
const (
	// ProblemNeverEnds: an entry of a TokenRevocation that holds as long as it stands there.
	ProblemNeverEnds = "NeverEnds"
	// ProblemEndsEarly: a logout that is forgotten while tokens from before it can be valid.
	ProblemEndsEarly = "EndsEarly"
)

// maxRevokedValue bounds what an entry of a TokenRevocation names, as the schema does.
const maxRevokedValue = 512

// Revocation is what a TokenRevocation says.
type Revocation struct {
	// Scope are the providers that it speaks for.
	Scope token.RevocationScope
	// Tokens are those that it names. An entry that is not sound names as many tokens as it can be read to.
	Tokens []token.Revocation
	// Named counts them, for when nobody needs Tokens any more.
	Named int
	// Problems with the object by itself.
	Problems []Problem
	// endless are the entries whose end only the providers tell.
	endless []int
}

// ReadRevocation says what o names, and what is wrong with it. undecoded is what of it could not be decoded. An object that
// may not speak for what it says names nothing; apart from that, what is not sound refuses rather too much than too little.
func ReadRevocation(o *v1alpha1.TokenRevocation, undecoded []UndecodedField, opts Options) *Revocation {
	out, p, at := &Revocation{}, &problems{}, field.NewPath("spec")
	for _, f := range undecoded {
		p.undecoded(f)
	}
	out.Scope = token.RevocationScope{Issuer: o.Spec.Issuer, Namespace: o.Spec.ProviderNamespace}
	permitted := o.Namespace == opts.OwnNamespace || out.Scope.Namespace == "" || out.Scope.Namespace == o.Namespace
	if o.Namespace != opts.OwnNamespace {
		out.Scope.Namespace = o.Namespace
	}
	if !permitted {
		p.invalid(at.Child("providerNamespace"), o.Spec.ProviderNamespace, fmt.Sprintf("only an object in Sallyport's own namespace, %s, may speak for providers of another; leave it out for those of this namespace", opts.OwnNamespace))
	}
	if o.Spec.Issuer == "" {
		p.required(at.Child("issuer"), "the text that iss has in the tokens")
	}
	if len(o.Spec.Entries) == 0 {
		p.required(at.Child("entries"), "name at least one token, session or subject, or delete the object")
	}
	for i := range o.Spec.Entries {
		out.entry(&o.Spec.Entries[i], i, at.Child("entries").Index(i), p)
	}
	if !permitted || o.Spec.Issuer == "" {
		out.Tokens, out.endless = nil, nil
	}
	out.Named, out.Problems = len(out.Tokens), p.list
	return out
}

// entry reads one entry.
func (r *Revocation) entry(in *v1alpha1.RevokedTokens, index int, at *field.Path, p *problems) {
	named, with := 0, token.Revocation{Scope: r.Scope, IssuedBefore: timeOf(in.IssuedBefore), Expires: timeOf(in.Expires)}
	for _, by := range []struct {
		field, value string
		by           token.RevokedBy
	}{{"jti", in.JTI, token.RevokedByID}, {"sid", in.SID, token.RevokedBySession}, {"sub", in.Sub, token.RevokedBySubject}} {
		if by.value == "" {
			continue
		}
		if len(by.value) > maxRevokedValue {
			p.invalid(at.Child(by.field), by.value, fmt.Sprintf("must not be longer than %d bytes", maxRevokedValue))
		}
		named++
		one := with
		one.By, one.Value = by.by, by.value
		if by.by != token.RevokedBySubject {
			one.IssuedBefore = time.Time{}
		}
		r.Tokens = append(r.Tokens, one)
	}
	switch {
	case named > 1:
		p.invalid(at, "", "say at most one of jti, sid and sub; as it stands, each of them is refused")
	case named == 0 && in.IssuedBefore == nil:
		p.invalid(at, "", "say jti, sid, sub or issuedBefore; as it stands, it names no token")
		return
	case named == 0:
		with.By = token.RevokedByIssuer
		r.Tokens = append(r.Tokens, with)
	case in.IssuedBefore != nil && in.Sub == "":
		p.invalid(at.Child("issuedBefore"), "", "goes with sub, or stands alone for every token of the issuer")
	}
	switch {
	case in.Expires != nil:
	case in.IssuedBefore == nil:
		p.required(at.Child("expires"), "when the last of the tokens has expired; as it stands, the entry never ends")
	default:
		r.endless = append(r.endless, index)
	}
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// Report is what there is to say of the object, given the providers there are and how many of its entries hold.
func (r *Revocation) Report(ref ObjectRef, providers []*token.Provider, hold int) *ObjectReport {
	p := problems{list: slices.Clip(r.Problems)}
	spec := field.NewPath("spec")
	mine := slices.DeleteFunc(slices.Clone(providers), func(p *token.Provider) bool {
		return p.Issuer != r.Scope.Issuer || r.Scope.Namespace != "" && p.Namespace != r.Scope.Namespace
	})
	if len(mine) == 0 && r.Scope.Issuer != "" {
		p.warn(spec.Child("issuer"), v1alpha1.ReasonNoProvider, "no provider that the object speaks for has this issuer, byte for byte; its entries hold once there is one")
	}
	aging := slices.IndexFunc(mine, func(p *token.Provider) bool { return p.MaxTokenAge == 0 })
	for _, i := range r.endless[:min(len(r.endless), maxTold)] {
		if aging >= 0 {
			p.warn(spec.Child("entries").Index(i).Child("expires"), ProblemNeverEnds, mine[aging].Name+" has no maxTokenAge, so the entry holds as long as it stands here; say when it ends")
		}
	}
	return &ObjectReport{
		ObjectRef: ref, Problems: p.list, Entries: int32(hold), //nolint:gosec // bounded by the size of an object
		Conditions: []metav1.Condition{acceptedCondition(p.list), r.inForce(len(mine), hold)},
	}
}

// inForce tells whether entries hold.
func (r *Revocation) inForce(providers, hold int) metav1.Condition {
	out := metav1.Condition{Type: v1alpha1.ConditionInForce, Status: metav1.ConditionFalse}
	switch {
	case r.Named == 0:
		out.Reason, out.Message = v1alpha1.ReasonNotAccepted, "No entry names a token for which the object may speak"
	case hold == 0:
		out.Reason, out.Message = v1alpha1.ReasonExpired, "Every entry has ended; the object can be deleted"
	case providers == 0:
		out.Reason, out.Message = v1alpha1.ReasonNoProvider, "No provider that the object speaks for has this issuer"
	default:
		out.Status, out.Reason = metav1.ConditionTrue, v1alpha1.ReasonInForce
		out.Message = fmt.Sprintf("%d of %d entries hold", hold, r.Named)
	}
	return out
}

// reportRevocations reports each TokenRevocation as if none of its entries had ended, since a compile has no clock.
func reportRevocations(objs *Objects, providers []*provider, opts Options) (out []*ObjectReport) {
	var tokens []*token.Provider
	for _, p := range providers {
		if p.token != nil {
			tokens = append(tokens, p.token)
		}
	}
	for _, o := range objs.TokenRevocations {
		ref := ObjectRef{v1alpha1.KindTokenRevocation, o.Namespace, o.Name}
		r := ReadRevocation(o, objs.Undecoded[ref], opts)
		out = append(out, r.Report(ref, tokens, r.Named))
	}
	slices.SortFunc(out, func(a, b *ObjectReport) int { return compareRefs(a.ObjectRef, b.ObjectRef) })
	return out
}
