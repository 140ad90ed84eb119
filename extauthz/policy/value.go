package policy

import "github.com/sallyport/sallyport/extauthz/token"

// claimValue is a claim as rules read it: a text, a list, or another. A text is kept apart, since the subject, which most
// rules compare, is one that needs no box.
type claimValue struct {
	text           string
	list           []any
	other          any
	isText, isList bool
}

// claimOf is the claim at p; ok is false where there is none.
func claimOf(id *token.Identity, p token.ClaimPath) (v claimValue, ok bool) {
	if v.text, v.isText = id.Own(p); v.isText {
		return v, true
	}
	if v.other, ok = id.Claim(p); !ok {
		return v, false
	}
	if v.list, v.isList = v.other.([]any); !v.isList {
		v.text, v.isText = token.Text(v.other)
	}
	return v, true
}

// any tells whether f holds for the text, or for that of an element.
func (v *claimValue) any(f func(string) bool) bool {
	if !v.isList {
		return v.isText && f(v.text)
	}
	for _, e := range v.list {
		if s, ok := token.Text(e); ok && f(s) {
			return true
		}
	}
	return false
}
