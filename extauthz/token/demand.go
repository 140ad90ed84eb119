package token

import (
	"encoding/json"
	"slices"
	"strings"
)

// maxKnown is how many members of a payload are remembered one by one; more are looked for faster in a map, and take no
// more memory there.
const maxKnown = 8

// knownClaims are members of a payload that were asked for before, or all of them. It is immutable.
type knownClaims struct {
	members []knownMember
	all     Claims // nil: members are all that is known
	bytes   int64
}

// knownMember is a member, or the lack of one.
type knownMember struct {
	name  string
	value any
	there bool
}

// Own returns the claim at p where a field of the identity holds it: the issuer and the subject, which are texts.
// Nothing is decoded or allocated for it.
func (id *Identity) Own(p ClaimPath) (string, bool) {
	switch {
	case id.isSubject(p.name):
		return id.Subject, true
	case p.name == "iss":
		return id.Issuer, true
	}
	return "", false
}

// isSubject tells whether the claim of this name is the subject.
func (id *Identity) isSubject(name string) bool {
	if s := id.Provider.Subject.name; s != "" {
		return name == s
	}
	return name == "sub"
}

// Claim returns the value at p, as Claims.Lookup does.
func (id *Identity) Claim(p ClaimPath) (value any, ok bool) {
	if id.claims != nil {
		return id.claims.Lookup(p)
	}
	if id.isSubject(p.name) && len(p.steps) > 1 {
		return id.Subject, true
	}
	if v, there := id.Member(p.name); there {
		return v, v != nil
	}
	if len(p.steps) < 2 {
		return nil, false
	}
	v, _ := id.Member(p.steps[0])
	object, _ := v.(map[string]any)
	return stepInto(object, p.steps[1:])
}

// Member returns the member of the payload that has this name, to the letter; a null is one.
func (id *Identity) Member(name string) (value any, there bool) {
	if id.claims != nil {
		value, there = id.claims[name]
		return value, there
	}
	known := id.known.Load()
	if value, there, ok := known.find(name); ok {
		return value, there
	}
	switch {
	case name == "iss":
		return id.box(known, name, id.Issuer), true
	case id.isSubject(name) && len(id.Provider.Subject.steps) < 2:
		return id.box(known, name, id.Subject), true
	}
	all := id.decode()
	value, there = all[name]
	if known != nil && len(known.members) == maxKnown {
		id.replace(known, id.wholly(all))
		return value, there
	}
	// A copy is kept, as a text of it would keep the whole payload alive.
	kept, bytes := cloneValue(value)
	id.replace(known, known.with(knownMember{strings.Clone(name), kept, there}, bytes+textBytes(len(name))))
	return value, there
}

// Claims returns the whole payload, which may have to be decoded: for what cannot say which claims it wants.
func (id *Identity) Claims() Claims {
	if id.claims != nil {
		return id.claims
	}
	known := id.known.Load()
	if known != nil && known.all != nil {
		return known.all
	}
	all := id.decode()
	id.replace(known, id.wholly(all))
	return all
}

// decode reads the payload. The same text was read when the token was verified; if it could not be read now, claims would
// seem absent that are not, so it panics then, and the request is refused.
func (id *Identity) decode() Claims {
	text := id.text
	if !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") { // which is not in the alphabet of base64url
		b, err := base64url.DecodeString(text)
		if err != nil {
			panic("the payload of a verified token is no longer base64url")
		}
		text = string(b)
	}
	all, err := parseObject(text)
	if err != nil {
		panic("the payload of a verified token can no longer be read")
	}
	return all
}

// find tells what is known of a member; ok is false for nothing.
func (k *knownClaims) find(name string) (value any, there, ok bool) {
	if k == nil {
		return nil, false, false
	}
	if k.all != nil {
		value, there = k.all[name]
		return value, there, true
	}
	for i := range k.members {
		if m := &k.members[i]; m.name == name {
			return m.value, m.there, true
		}
	}
	return nil, false, false
}

// box is a field as the member of this name. The box is kept, so that it is not made for each request.
func (id *Identity) box(known *knownClaims, name, field string) any {
	var value any = field
	if known == nil || len(known.members) < maxKnown {
		id.replace(known, known.with(knownMember{strings.Clone(name), value, true}, boxBytes+textBytes(len(name))))
	}
	return value
}

// with is what is known beside one more member, which takes so many bytes.
func (k *knownClaims) with(m knownMember, bytes int64) *knownClaims {
	next := &knownClaims{bytes: bytes + perKnownBytes}
	if k != nil {
		next.members, next.bytes = slices.Clip(k.members), next.bytes+k.bytes
	}
	next.members = append(next.members, m)
	return next
}

// wholly is what is known when everything is.
func (id *Identity) wholly(all Claims) *knownClaims {
	return &knownClaims{all: all, bytes: 2*textBytes(len(id.text)) + objectBytes(all)}
}

// replace has next known in place of known, unless somebody else was faster: then there is a next time. What does not
// fit into the cache is not kept.
func (id *Identity) replace(known, next *knownClaims) {
	growth := next.bytes
	if known != nil {
		growth -= known.bytes
	}
	if s := id.entry.shard; !s.grow(id, growth) {
		return
	} else if !id.known.CompareAndSwap(known, next) {
		s.grow(id, -growth)
	}
}

// cloneValue copies a value with all its texts, and tells what the copy weighs.
func cloneValue(v any) (any, int64) {
	switch v := v.(type) {
	case string:
		return strings.Clone(v), boxBytes + textBytes(len(v))
	case json.Number:
		return json.Number(strings.Clone(string(v))), boxBytes + textBytes(len(v))
	case []any:
		list, bytes := make([]any, len(v)), sliceBytes+textBytes(len(v)*boxBytes)
		for i := range v {
			element, n := cloneValue(v[i])
			list[i], bytes = element, bytes+n
		}
		return list, bytes
	case map[string]any:
		object, bytes := make(map[string]any, len(v)), mapBytesFor(len(v))
		for name, member := range v {
			value, n := cloneValue(member)
			object[strings.Clone(name)], bytes = value, bytes+n+textBytes(len(name))
		}
		return object, bytes
	}
	return v, 0
}
