package idp

import (
	"slices"

	"github.com/sallyport/sallyport/extauthz/token"
)

// owners are the providers that share a remote: their names, and their UIDs as far as they have any, both sorted.
// Immutable.
type owners struct{ names, uids []string }

func ownersOf(sharing []*token.Provider) *owners {
	o := &owners{}
	for _, p := range sharing {
		o.names = append(o.names, p.Name)
		if p.UID != "" {
			o.uids = append(o.uids, p.UID)
		}
	}
	for _, list := range []*[]string{&o.names, &o.uids} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return o
}

// have tells whether keys that were kept for providers of those UIDs are those of one of the owners. Objects of files
// have none, and then it is enough that the remote is the same.
func (o *owners) have(uids []string) bool {
	if len(uids) == 0 && len(o.uids) == 0 {
		return true
	}
	return slices.ContainsFunc(uids, func(uid string) bool { return slices.Contains(o.uids, uid) })
}
