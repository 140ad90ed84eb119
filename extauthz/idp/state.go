package idp

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

const (
	// MaxState bounds an encoded State in bytes: some hundred thousand keys.
	MaxState = 64 << 20
	// stateVersion changes when an older reader could misunderstand a state.
	stateVersion = 1
)

// State is what outlives a restart: for each remote that has keys which may be used, their public members, and when
// they were last fetched. It is immutable; the zero State is empty. Encoded it holds nothing secret, but whoever can
// write what Restore reads can sign tokens.
type State struct {
	saved time.Time
	sets  []keptSet // by ID
}

// keptSet is the key set of one remote, as it is written.
type keptSet struct {
	// ID is that of the token.Remote, in hex. It covers the place, the issuer, the authorities that are trusted and the
	// times, and is all that decides whose keys these are.
	ID string `json:"id"`
	// Providers are told to people only.
	Providers []string `json:"providers"`
	// UIDs of those providers, as far as they have any. Of an object that was made anew these are not the keys.
	UIDs []string `json:"uids,omitempty"`
	// Fetched is when the last attempt succeeded, by the clock of the State.
	Fetched time.Time `json:"fetched"`
	// JWKS is what publicKeys returned.
	JWKS json.RawMessage `json:"jwks"`
}

// sealed is an encoded State. SHA256 is that of the bytes of State: damage that is still JSON is found too.
type sealed struct {
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"`
	State   json.RawMessage `json:"state"`
}

// keptState is the State in a sealed.
type keptState struct {
	Saved   time.Time `json:"saved"`
	Remotes []keptSet `json:"remotes"`
}

// State returns what is worth keeping now: of each remote of the last Sync the keys that Keys hands out, whether they
// were fetched or restored. It copies no key, and may be called as often as one likes.
func (k *Keeper) State() State {
	now := k.config.Now()
	return k.stateOf(k.generation.Load(), now)
}

func (k *Keeper) stateOf(g *generation, now time.Time) State {
	s := State{saved: now.Round(0).UTC()}
	for id, r := range g.byID {
		if h := r.held.Load(); h.public != nil && r.usable(h, now) {
			s.sets = append(s.sets, s.setOf(id, r, h, now))
		}
	}
	s.sort()
	return s
}

// setOf is what is kept of a remote that has h. The age is reckoned by the monotonic clock where there is one, so a wall
// clock that was set meanwhile is not mistaken for time that has passed.
func (s *State) setOf(id [sha256.Size]byte, r *refresher, h *held, now time.Time) keptSet {
	of := r.owners.Load()
	age := max(now.Sub(h.lastSuccess), 0)
	return keptSet{ID: hex.EncodeToString(id[:]), Providers: of.names, UIDs: of.uids, Fetched: s.saved.Add(-age), JWKS: h.public}
}

func (s *State) sort() {
	slices.SortFunc(s.sets, func(a, b keptSet) int { return cmp.Compare(a.ID, b.ID) })
}

// StateOver is State, with what is newer in data, which State.Encode returned in this process or in another: the keys of
// each remote of the last Sync that were fetched later than those which Keys hands out, or where that has none, as far as
// Restore would take them. So a process that keeps keys for all does not lose what another has fetched. The error says
// what of data was ignored.
func (k *Keeper) StateOver(data []byte) (State, error) {
	now, g := k.config.Now(), k.generation.Load()
	s := k.stateOf(g, now)
	if len(data) == 0 {
		return s, nil
	}
	found, err := readState(data, now)
	for id, kept := range found {
		r, h := g.byID[id], kept.held()
		if r == nil || !r.owners.Load().have(kept.uids) || !r.usable(h, now) {
			continue
		}
		set := s.setOf(id, r, h, now)
		own := slices.IndexFunc(s.sets, func(o keptSet) bool { return o.ID == set.ID })
		switch {
		case own < 0:
			s.sets = append(s.sets, set)
		case set.Fetched.After(s.sets[own].Fetched):
			s.sets[own] = set
		}
	}
	s.sort()
	return s, err
}

// Len returns the number of remotes that have keys in s.
func (s State) Len() int { return len(s.sets) }

// SameKeys reports whether s and o hold the same keys for the same remotes, fetched at whatever time.
func (s State) SameKeys(o State) bool {
	return slices.EqualFunc(s.sets, o.sets, func(a, b keptSet) bool {
		return a.ID == b.ID && bytes.Equal(a.JWKS, b.JWKS)
	})
}

// NewerThan reports whether some keys of s, which has the same keys as o, were fetched more than a second later than
// in o.
func (s State) NewerThan(o State) bool {
	for i := range min(len(s.sets), len(o.sets)) {
		if s.sets[i].Fetched.Sub(o.sets[i].Fetched) > time.Second {
			return true
		}
	}
	return false
}

// Encode returns s in at most limit bytes of JSON; a limit that is 0 or above MaxState means MaxState. Where all of it
// is more, the largest key sets are left out, and dropped names their providers. A limit that is less than an empty
// state needs is passed.
func (s State) Encode(limit int) (data []byte, dropped []string, err error) {
	if limit <= 0 || limit > MaxState {
		limit = MaxState
	}
	empty, err := s.seal(nil)
	if err != nil {
		return nil, nil, err
	}
	encoded := make([][]byte, len(s.sets))
	bySize := make([]int, len(s.sets)) // indexes, the largest set first
	size := len(empty) - len(",")      // one less than there are sets
	for i := range s.sets {
		if encoded[i], err = marshal(s.sets[i]); err != nil {
			return nil, nil, err
		}
		bySize[i] = i
		size += len(encoded[i]) + len(",")
	}
	slices.SortStableFunc(bySize, func(a, b int) int { return cmp.Compare(len(encoded[b]), len(encoded[a])) })
	for _, i := range bySize {
		if size <= limit {
			break
		}
		size -= len(encoded[i]) + len(",")
		dropped = append(dropped, s.sets[i].Providers...)
		encoded[i] = nil
	}
	encoded = slices.DeleteFunc(encoded, func(b []byte) bool { return b == nil })
	slices.Sort(dropped)
	data, err = s.seal(encoded)
	return data, dropped, err
}

// seal writes the sets, which are encoded already, and what surrounds them.
func (s State) seal(encoded [][]byte) ([]byte, error) {
	saved, err := marshal(s.saved)
	if err != nil {
		return nil, err
	}
	inner := slices.Concat([]byte(`{"saved":`), saved, []byte(`,"remotes":[`), bytes.Join(encoded, []byte(",")), []byte(`]}`))
	sum := sha256.Sum256(inner)
	data, err := marshal(sealed{Version: stateVersion, SHA256: hex.EncodeToString(sum[:]), State: inner})
	return append(data, '\n'), err
}

// marshal is json.Marshal without escapes for HTML, which would lengthen a kid.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
