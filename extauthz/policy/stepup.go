package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// StepUp is how, and how recently, a user must have signed in (RFC 9470). It is immutable; nil asks for nothing.
type StepUp struct {
	// ACR are the classes of which the token must have one, most preferred first; without any, each will do.
	ACR []string
	// AMR are the methods that the token must have, every one.
	AMR []string
	// MaxAge of the login, in whole seconds; 0 for any.
	MaxAge time.Duration

	// acrValues and maxAge are the parameters of the challenge.
	acrValues, maxAge string
}

// newStepUp writes down the parameters of the challenge, once for all requests.
func newStepUp(acr, amr []string, maxAge time.Duration) *StepUp {
	s := &StepUp{ACR: acr, AMR: amr, MaxAge: maxAge, acrValues: strings.Join(acr, " ")}
	if maxAge > 0 {
		s.maxAge = strconv.FormatInt(int64(maxAge/time.Second), 10)
	}
	return s
}

// ACRValues is the parameter acr_values of the challenge (RFC 9470 §3), before it is quoted; empty for none.
func (s *StepUp) ACRValues() string {
	if s == nil {
		return ""
	}
	return s.acrValues
}

// MaxAgeSeconds is the parameter max_age of the challenge; empty for none.
func (s *StepUp) MaxAgeSeconds() string {
	if s == nil {
		return ""
	}
	return s.maxAge
}

// String is what is asked for, for people; empty for nothing.
func (s *StepUp) String() string {
	if s == nil {
		return ""
	}
	var parts []string
	for _, p := range []struct{ name, value string }{{"acr", s.acrValues}, {"amr", strings.Join(s.AMR, " ")}, {"max-age", s.maxAge}} {
		if p.value != "" {
			parts = append(parts, p.name+"="+strings.ReplaceAll(p.value, " ", ","))
		}
	}
	return strings.Join(parts, " ")
}

// The claims of RFC 9470 §4, which providers do not map: OpenID Connect names them.
var acrClaim, amrClaim = mustClaim("acr"), mustClaim("amr")

func mustClaim(name string) token.ClaimPath {
	p, _ := token.ParseClaimPath(name) // fails for an empty or a long name only
	return p
}

// holds tells whether the user of id signed in as s asks for. A claim that is missing, or that has another form than
// OpenID Connect gives it, proves nothing.
func (s *StepUp) holds(id *token.Identity, now time.Time) bool {
	if len(s.ACR) > 0 {
		v, _ := id.Claim(acrClaim)
		acr, ok := v.(string)
		if !ok || !slices.Contains(s.ACR, acr) {
			return false
		}
	}
	if len(s.AMR) > 0 {
		v, _ := id.Claim(amrClaim)
		if !areMethods(v, s.AMR) {
			return false
		}
	}
	return s.MaxAge == 0 || id.SignedInWithin(s.MaxAge, now)
}

// areMethods tells whether v is a list of texts that has each of want, or a text that is the only one.
func areMethods(v any, want []string) bool {
	list, ok := v.([]any)
	if !ok {
		one, ok := v.(string)
		return ok && !slices.ContainsFunc(want, func(w string) bool { return w != one })
	}
	if slices.ContainsFunc(list, func(e any) bool { _, ok := e.(string); return !ok }) {
		return false
	}
	return !slices.ContainsFunc(want, func(w string) bool {
		return !slices.ContainsFunc(list, func(e any) bool { return e == w })
	})
}

func compileStepUp(in *v1alpha1.StepUp, at *field.Path, p *problems) *StepUp {
	if in.ACR == nil && in.AMR == nil && in.MaxAge == nil {
		p.required(at, "it asks for nothing; say acr, amr or maxAge, or leave stepUp out")
	}
	for _, l := range []struct {
		name   string
		values []string
	}{{"acr", in.ACR}, {"amr", in.AMR}} {
		at := at.Child(l.name)
		if l.values != nil && len(l.values) == 0 {
			p.required(at, "an empty list asks for nothing; leave it out, or say what is required")
		}
		for i, v := range l.values {
			switch {
			case v == "" || strings.IndexFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0:
				p.invalid(at.Index(i), v, "write one value in each entry, in printable ASCII without spaces: a challenge lists them between spaces")
			case slices.Contains(l.values[:i], v):
				p.invalid(at.Index(i), v, "stands here twice")
			}
		}
	}
	var maxAge time.Duration
	if in.MaxAge != nil {
		var err error
		maxAge, err = parseDuration(string(*in.MaxAge))
		switch {
		case err != nil:
			p.invalid(at.Child("maxAge"), string(*in.MaxAge), err.Error())
		case maxAge < time.Second || maxAge%time.Second != 0:
			p.invalid(at.Child("maxAge"), string(*in.MaxAge), "must be whole seconds, at least 1s: a challenge says it in seconds")
		}
	}
	return newStepUp(slices.Clone(in.ACR), slices.Clone(in.AMR), maxAge)
}

// stepUp is what the rule and its policy ask for together, so that one login answers one challenge. at is where the rule
// says acr.
func (d *drafter) stepUp(r *ruleDraft, at *field.Path) *StepUp {
	var own, all *StepUp
	if r.require != nil {
		own = r.require.stepUp
	}
	if d.out.require != nil {
		all = d.out.require.stepUp
	}
	switch {
	case own == nil:
		return all
	case all == nil:
		return own
	}
	acr := own.ACR
	switch {
	case len(acr) == 0:
		acr = all.ACR
	case len(all.ACR) > 0:
		acr = slices.DeleteFunc(slices.Clone(acr), func(v string) bool { return !slices.Contains(all.ACR, v) })
		if len(acr) == 0 {
			d.p().invalid(at, strings.Join(own.ACR, " "), fmt.Sprintf("spec.require.stepUp.acr allows %s only, and no token has an acr of both; name one that stands in both", all.acrValues))
			return own
		}
	}
	amr := slices.Clone(own.AMR)
	for _, v := range all.AMR {
		if !slices.Contains(amr, v) {
			amr = append(amr, v)
		}
	}
	maxAge := own.MaxAge
	if all.MaxAge > 0 && (maxAge == 0 || all.MaxAge < maxAge) {
		maxAge = all.MaxAge
	}
	return newStepUp(acr, amr, maxAge)
}
