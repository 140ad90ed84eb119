package token

import (
	"encoding/json"
	"errors"
	"strings"
)

// Claims are the members of a verified payload: string, bool, json.Number, nil, []any, map[string]any.
// They are shared between requests and never written after Verify.
type Claims map[string]any

// maxClaimPathBytes bounds the name of a claim; URIs as claim names (OIDC Core §5.1.2) stay far below it.
const maxClaimPathBytes = 256

// ClaimPath names a claim: one top-level member of exactly that name first; where there is none, dots step
// into objects. The zero value names nothing. ClaimPaths are immutable.
type ClaimPath struct {
	name  string
	steps []string // nil: the name cannot be stepped through
}

// ParseClaimPath reads a path such as "sub", "realm_access.roles" or "https://example.com/roles". It is an
// error when s is empty or longer than 256 bytes. A name with an empty step ("a..b", ".a") is allowed, but it
// only ever names a top-level member.
func ParseClaimPath(s string) (ClaimPath, error) {
	if s == "" {
		return ClaimPath{}, errors.New("the name of a claim must not be empty")
	}
	if len(s) > maxClaimPathBytes {
		return ClaimPath{}, errors.New("the name of a claim must not be longer than 256 bytes")
	}
	p := ClaimPath{name: s}
	if steps := strings.Split(s, "."); !hasEmpty(steps) {
		p.steps = steps
	}
	return p, nil
}

// String returns the path as it was parsed.
func (p ClaimPath) String() string { return p.name }

// Lookup returns the value at p. A JSON null counts as absent. Lookup does not allocate.
func (c Claims) Lookup(p ClaimPath) (value any, ok bool) {
	if v, there := c[p.name]; there {
		return v, v != nil
	}
	return stepInto(c, p.steps)
}

// stepInto returns the value at the end of steps, which begin at a member of object.
func stepInto(object map[string]any, steps []string) (value any, ok bool) {
	for i, step := range steps {
		v := object[step]
		if i == len(steps)-1 {
			return v, v != nil
		}
		if object, ok = v.(map[string]any); !ok {
			return nil, false
		}
	}
	return nil, false
}

// Text returns the text that a claim's value compares by: that of a string, and of a number written as an
// integer (-?digits). Everything else, 1e2, 1.0, true, null, arrays and objects, has none.
func Text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return string(v), !strings.ContainsAny(string(v), ".eE")
	}
	return "", false
}

// texts returns the strings of an array of strings, or of one string as a single element. Anything else,
// an array with one element of another type too, has none: half a list must not pass for a list.
func texts(v any) (list []string, ok bool) {
	switch v := v.(type) {
	case string:
		return []string{v}, true
	case []any:
		list = make([]string, len(v))
		for i, element := range v {
			if list[i], ok = element.(string); !ok {
				return nil, false
			}
		}
		return list, true
	}
	return nil, false
}

// scopes returns the scopes of v: a string split at U+0020 and nothing else (RFC 6749 §3.3), or the elements
// of an array of strings as they are.
func scopes(v any) []string {
	s, ok := v.(string)
	if !ok {
		list, _ := texts(v)
		return list
	}
	list := make([]string, 0, strings.Count(s, " ")+1)
	for part := range strings.SplitSeq(s, " ") {
		if part != "" {
			list = append(list, part)
		}
	}
	return list
}

func hasEmpty(list []string) bool {
	for _, s := range list {
		if s == "" {
			return true
		}
	}
	return false
}
