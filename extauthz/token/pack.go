package token

import (
	"slices"
	"strings"
)

// packedSize is how many bytes of text, and how many elements of lists, id has with raw and payload.
func (id *Identity) packedSize(raw, payload string) (size, elements int) {
	size = len(raw) + len(payload) + len(id.Subject) + len(id.TokenID) + len(id.SessionID)
	if id.Issuer != id.Provider.Issuer { // of one of several tenants
		size += len(id.Issuer)
	}
	for _, list := range id.lists() {
		elements += len(*list)
		for _, s := range *list {
			size += len(s)
		}
	}
	return size, elements
}

// pack brings all texts of id into one piece of memory, with raw, the token, and all lists into another, so that the cache
// holds three pieces for a token and nothing of the request. The claims go: they stand in the token, or where that is
// encrypted in payload. It returns what all that takes. Nobody else may have id yet.
func (id *Identity) pack(raw, payload string) (bytes int64) {
	size, n := id.packedSize(raw, payload)
	var b strings.Builder
	b.Grow(size)
	put := func(s string) string {
		at := b.Len()
		b.WriteString(s)
		return b.String()[at:]
	}
	id.entry.raw = put(raw)
	id.text = put(payload)
	if payload == "" {
		id.text = payloadSegment(id.entry.raw)
	}
	if own := id.Provider.Issuer; id.Issuer == own {
		id.Issuer = own // not the text of the payload
	} else {
		id.Issuer = put(id.Issuer)
	}
	id.Subject, id.TokenID, id.SessionID = put(id.Subject), put(id.TokenID), put(id.SessionID)
	all := slices.Grow([]string(nil), n)
	for _, list := range id.lists() {
		from := len(all)
		for _, s := range *list {
			all = append(all, put(s))
		}
		if *list != nil {
			*list = all[from:len(all):len(all)]
		}
	}
	id.claims = nil
	return perEntryBytes + int64(b.Cap()+cap(all)*boxBytes)
}

// lists are the lists of texts.
func (id *Identity) lists() [4]*[]string {
	return [...]*[]string{&id.Audiences, &id.Scopes, &id.Roles, &id.Groups}
}

// payloadSegment is that of a token in compact form.
func payloadSegment(raw string) string {
	_, rest, _ := strings.Cut(raw, ".")
	payload, _, _ := strings.Cut(rest, ".")
	return payload
}
