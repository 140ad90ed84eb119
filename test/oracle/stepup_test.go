package oracle

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// stepUps are what the rule and its policy ask of the login.
func (c *claim) stepUps() (out []*v1alpha1.StepUp) {
	for _, r := range []*v1alpha1.Requirements{c.p.Spec.Require, c.rule.Require} {
		if r != nil && r.StepUp != nil {
			out = append(out, r.StepUp)
		}
	}
	return out
}

// signedIn tells whether the user of q signed in as s asks for; clocks differ by 30 s at most.
func (q *question) signedIn(s *v1alpha1.StepUp) bool {
	acr, _ := q.claims["acr"].(string)
	if s.ACR != nil && !slices.Contains(s.ACR, acr) {
		return false
	}
	for _, method := range s.AMR {
		if !slices.Contains(texts(q.claims["amr"]), method) {
			return false
		}
	}
	if s.MaxAge == nil {
		return true
	}
	seconds, ok := q.claims["auth_time"].(json.Number)
	at, err := strconv.ParseInt(string(seconds), 10, 64)
	maxAge, _ := time.ParseDuration(string(*s.MaxAge))
	ago := q.now.Unix() - at
	return ok && err == nil && ago >= -30 && ago <= int64(maxAge.Seconds())+30
}

// stepUpBroken tells whether what is asked of the login does not compile.
func stepUpBroken(s *v1alpha1.StepUp) bool {
	if s.ACR == nil && s.AMR == nil && s.MaxAge == nil {
		return true
	}
	return slices.ContainsFunc(s.ACR, func(v string) bool { return strings.Contains(v, " ") }) || s.MaxAge != nil && *s.MaxAge == "0s"
}

// stepUpsApart tells whether policy and rule name classes of which no token has one of both.
func (c *claim) stepUpsApart() bool {
	list := c.stepUps()
	return len(list) == 2 && list[0].ACR != nil && list[1].ACR != nil && !intersects(list[0].ACR, list[1].ACR)
}

func (d drawer) stepUp() *v1alpha1.StepUp {
	s := &v1alpha1.StepUp{}
	if d.rarely(2) {
		s.ACR = some(d, 2, "mfa", "phr", "pwd")
	}
	if d.rarely(2) {
		s.AMR = some(d, 2, "otp", "hwk")
	}
	if s.ACR == nil && s.AMR == nil || d.rarely(2) {
		s.MaxAge = ptr(one[v1alpha1.Duration](d, "5m", "1m30s"))
	}
	if d.rarely(30) {
		s = one(d, &v1alpha1.StepUp{}, &v1alpha1.StepUp{ACR: []string{"a b"}}, &v1alpha1.StepUp{MaxAge: ptr[v1alpha1.Duration]("0s")})
	}
	return s
}

// login gives the token of q a login.
func (d drawer) login(q *question) {
	for name, of := range map[string][]any{
		"acr":       {"mfa", "mfa", "phr", "pwd", []any{"mfa"}, json.Number("1")},
		"amr":       {[]any{"otp", "hwk"}, []any{"hwk", "otp"}, []any{"otp"}, "otp", []any{"otp", "hwk", true}},
		"auth_time": {d.ago(0), d.ago(60), d.ago(120), d.ago(121), d.ago(330), d.ago(331), d.ago(-30), d.ago(-31), "1"},
	} {
		q.claims[name] = of[d.IntN(len(of))]
	}
}

// ago is the time of so many seconds before start.
func (d drawer) ago(seconds int64) json.Number {
	return json.Number(strconv.FormatInt(start.Unix()-seconds, 10))
}

// aimStepUp gives the token of q the login that s wants, or nearly.
func (d drawer) aimStepUp(q *question, s *v1alpha1.StepUp, miss bool) {
	if s == nil || miss && d.rarely(2) {
		return
	}
	if s.ACR != nil {
		q.claims["acr"] = one(d, s.ACR...)
	}
	if s.AMR != nil {
		q.claims["amr"] = []any{"otp", "hwk"}
	}
	if s.MaxAge != nil {
		q.claims["auth_time"] = one(d, d.ago(0), d.ago(120), d.ago(100))
	}
}

// stepUpFaults are those of the login.
var stepUpFaults = []fault{
	{name: "the login is not looked at", policy: requires(func(r *v1alpha1.Requirements) { r.StepUp = nil })},
	{name: "any acr will do", policy: stepsUp(func(s *v1alpha1.StepUp) { s.ACR = nil })},
	{name: "the first acr counts alone", policy: stepsUp(func(s *v1alpha1.StepUp) { s.ACR = s.ACR[:min(1, len(s.ACR))] })},
	{name: "one amr is enough", policy: stepsUp(func(s *v1alpha1.StepUp) { s.AMR = s.AMR[:min(1, len(s.AMR))] })},
	{name: "the age of the login is not looked at", policy: stepsUp(func(s *v1alpha1.StepUp) { s.MaxAge = nil })},
	{name: "maxAge is a second longer", policy: stepsUp(func(s *v1alpha1.StepUp) {
		if s.MaxAge != nil && *s.MaxAge != "0s" {
			s.MaxAge = ptr(*s.MaxAge + "1s")
		}
	})},
	{name: "a login in the future is one", question: func(q *question) {
		if at, ok := q.claims["auth_time"].(json.Number); ok && string(at) > strconv.FormatInt(start.Unix(), 10) {
			q.claims["auth_time"] = json.Number(strconv.FormatInt(start.Unix(), 10))
		}
	}},
	{name: "a list with other things is one of texts", question: func(q *question) {
		if list, ok := q.claims["amr"].([]any); ok {
			q.claims["amr"] = slices.DeleteFunc(slices.Clone(list), func(v any) bool { return v == true })
		}
	}},
	{name: "a login is asked for before a role", policy: requires(func(r *v1alpha1.Requirements) {
		if r.StepUp != nil && !stepUpBroken(r.StepUp) {
			r.RequirementTerm, r.AnyOf = v1alpha1.RequirementTerm{}, nil
		}
	})},
}

// stepsUp makes a fault out of one of what rules ask of the login.
func stepsUp(change func(*v1alpha1.StepUp)) func(*v1alpha1.AuthPolicy) {
	return requires(func(r *v1alpha1.Requirements) {
		// What asks for nothing else would not compile then, which another fault would be found by.
		if s := r.StepUp; s != nil && !stepUpBroken(s) {
			if change(s); s.ACR == nil && s.AMR == nil && s.MaxAge == nil {
				s.MaxAge = ptr[v1alpha1.Duration]("9999h")
			}
		}
	})
}
