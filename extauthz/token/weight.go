package token

import (
	"encoding/json"
	"math/bits"
	"strings"
	"unsafe"
)

// What Go's allocator and maps take, on 64-bit machines, rounded up: a value in an interface that is not
// itself a pointer lives apart; a map holds groups of eight slots, each with a control byte, filled to 7/8
// at most.
const (
	boxBytes      = 16
	sliceBytes    = 24
	mapBytes      = 48
	mapSlotBytes  = int64(unsafe.Sizeof("") + unsafe.Sizeof(any(nil)) + 1)
	mapTableBytes = 64
	// perEntryBytes: the identity, and its share of the shard's slots, free list and map.
	perEntryBytes = int64(unsafe.Sizeof(Identity{}))*9/8 + 160
	// perKnownBytes: a member that is known, with what a slice leaves free, and the list that it stands in.
	perKnownBytes = int64(unsafe.Sizeof(knownMember{}))*9/8 + int64(unsafe.Sizeof(knownClaims{}))
)

// textBytes is the most that n bytes of their own take: the allocator has sizes of which each is less than a fifth larger
// than the one before.
func textBytes(n int) int64 { return int64(n+7) * 6 / 5 }

// Weight is about what memory keeps alive for an identity that is in no cache of tokens, with its token and the text that
// its claims were read from. Strings of the text share one copy of it, but for those with escapes, which together cannot
// be longer than it.
func Weight(raw, text string, id *Identity) int64 {
	texts := len(raw) + len(text)
	if strings.Contains(text, `\`) {
		texts += len(text)
	}
	n := perEntryBytes + textBytes(texts) + objectBytes(id.claims) + confirmationBytes(id.confirmation)
	for _, list := range id.lists() {
		n += int64(cap(*list)) * boxBytes * 5 / 4
	}
	return n
}

func valueBytes(v any) int64 {
	switch v := v.(type) {
	case string, json.Number:
		return boxBytes
	case map[string]any:
		return objectBytes(v)
	case []any:
		n := sliceBytes + int64(cap(v))*boxBytes*5/4
		for _, element := range v {
			n += valueBytes(element)
		}
		return n
	}
	return 0
}

func objectBytes(object map[string]any) int64 {
	n := mapBytesFor(len(object))
	for _, v := range object {
		n += valueBytes(v)
	}
	return n
}

// mapBytesFor is what a map of n members takes, without them.
func mapBytesFor(n int) int64 {
	slots := 8
	if n > slots {
		slots = 1 << bits.Len(uint(n*8/7))
	}
	return mapBytes + mapTableBytes + int64(slots)*mapSlotBytes*5/4
}
