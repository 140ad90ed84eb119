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
	// perEntryBytes: the entry, the identity, and its share of the shard's slots, free list and map.
	perEntryBytes = int64(unsafe.Sizeof(cacheEntry{})+unsafe.Sizeof(Identity{})) + 96
)

// entryBytes is about what the cache keeps alive for one token, rather too much than too little. Strings of
// the payload share one copy of it, but for those with escapes, which together cannot be longer than it.
func entryBytes(raw, payload string, id *Identity) int64 {
	texts := len(raw) + len(payload)
	if strings.Contains(payload, `\`) {
		texts += len(payload)
	}
	n := perEntryBytes + int64(texts)*9/8 // the allocator rounds sizes of this kind up by an eighth
	n += objectBytes(id.Claims) + confirmationBytes(id.confirmation)
	for _, list := range [][]string{id.Audiences, id.Scopes, id.Roles, id.Groups} {
		n += int64(cap(list)) * boxBytes * 5 / 4
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
	slots := 8
	if n := len(object); n > slots {
		slots = 1 << bits.Len(uint(n*8/7))
	}
	n := mapBytes + mapTableBytes + int64(slots)*mapSlotBytes*5/4
	for _, v := range object {
		n += valueBytes(v)
	}
	return n
}
