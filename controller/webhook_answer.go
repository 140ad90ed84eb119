package controller

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// Bounds of an answer. The API server cuts warnings at 256 characters once they are over 4096 in sum.
const (
	maxCauses       = 20
	maxCauseRunes   = 1024
	maxWarnings     = 15
	maxWarningRunes = 256
)

// refused is the answer that an object does not pass, with a cause for each field, as the API server's own validation has.
func refused(req *admission.Request, problems []policy.Problem) admission.Response {
	var errs field.ErrorList
	for _, p := range problems[:min(len(problems), maxCauses)] {
		errs = append(errs, &field.Error{Type: field.ErrorTypeInvalid, Field: p.Field, BadValue: field.OmitValueType{}, Detail: cut(p.Message, maxCauseRunes)})
	}
	if more := len(problems) - len(errs); more > 0 {
		errs = append(errs, &field.Error{Type: field.ErrorTypeInvalid, Field: "spec", BadValue: field.OmitValueType{}, Detail: fmt.Sprintf("and %d more problems", more)})
	}
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: req.Kind.Group, Kind: req.Kind.Kind}, req.Name, errs)
	out := admission.Denied("")
	out.Result = &invalid.ErrStatus
	return out
}

// unchecked admits an object that could not be looked at: it refuses requests, should it not compile, and its status
// says so.
func unchecked(why string) reviewed {
	v := allowed("admitted unchecked, since " + why + "; look at the object's status")
	v.result = reviewUnchecked
	return v
}

// warnings are problems as texts that an API server hands on, the worst first.
func warnings(problems []policy.Problem) []string {
	problems = slices.Clone(problems)
	slices.SortStableFunc(problems, func(a, b policy.Problem) int { return cmp.Compare(rank(a), rank(b)) })
	var out []string
	for _, p := range problems {
		text := messageOf(p)
		if p.Field != "" {
			text = p.Field + ": " + text
		}
		if text = cut(text, maxWarningRunes); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	if more := len(out) - maxWarnings; more > 0 {
		out = append(out[:maxWarnings], fmt.Sprintf("and %d more; look at the object's status", more))
	}
	return out
}

func rank(p policy.Problem) int {
	if p.Severity == policy.SeverityError {
		return 0
	}
	return 1
}

// messageOf says nothing of what a Secret holds: who asks the webhook may not be one who may read it.
func messageOf(p policy.Problem) string {
	if p.Reason == v1alpha1.ReasonInvalid && strings.Contains(strings.ToLower(p.Field), "secret") {
		return "what the Secret holds cannot be used; look at the object's status"
	}
	return p.Message
}

// cut is s on one line, without characters that a header may not hold, and at most of n runes.
func cut(s string, n int) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsControl(r) }), " ")
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}

var listIndex = regexp.MustCompile(`\[\d+\]`)

// without are the problems that are not among had. A rule that stands elsewhere in its list now has its problem still.
func without(problems, had []policy.Problem) (out []policy.Problem) {
	key := func(p policy.Problem) [2]string {
		return [2]string{listIndex.ReplaceAllString(p.Field, "[]"), p.Message}
	}
	left := map[[2]string]int{}
	for _, p := range had {
		left[key(p)]++
	}
	for _, p := range problems {
		if left[key(p)] > 0 {
			left[key(p)]--
			continue
		}
		out = append(out, p)
	}
	return out
}
