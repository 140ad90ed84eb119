package idp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

// The errors of Restore. Each is of a state that is ignored, as a whole or, ErrStateKeys and ErrStateFuture, in part.
var (
	// ErrStateDamaged: not what State.Encode wrote, or over MaxState bytes.
	ErrStateDamaged = errors.New("state of keys is damaged")
	// ErrStateVersion: written by another version of this program that does it differently.
	ErrStateVersion = errors.New("state of keys is of an unknown version")
	// ErrStateFuture: by the clock of now it is not written, or its keys are not fetched, yet. One of the two clocks is
	// wrong, so no age can be told.
	ErrStateFuture = errors.New("state of keys is from the future")
	// ErrStateKeys: token.ParseJWKS finds no usable key in what was kept.
	ErrStateKeys = errors.New("kept key set is not usable")
)

// skew is how far the clock of the machine that saved a state may be ahead; the bound of a token's clock skew.
const skew = time.Minute

// restored is a key set that was read from a state and waits for its remote.
type restored struct {
	set       *token.KeySet
	public    []byte
	dropped   int
	fetched   time.Time
	providers []string
	uids      []string
}

// Restore takes in what State.Encode returned in an earlier life, and returns how many key sets it has. Each waits for
// a remote of exactly its ID to come with Sync, of a provider for which it was kept: then its keys are handed out at once, as stale keys are, while the
// first fetch is under way and after it has failed, until the remote's staleFor has passed since they were fetched.
// Fetched keys always take their place. Remotes that came before Restore get nothing of it.
//
// Each key set goes through token.ParseJWKS again. An error says what of data was ignored, and quotes none of it but
// names of providers; the rest is taken. None is a reason not to go on.
func (k *Keeper) Restore(data []byte) (sets int, err error) {
	found, err := readState(data, k.config.Now())
	k.syncing.Lock()
	defer k.syncing.Unlock()
	k.restored = found
	return len(found), err
}

// readState returns the key sets of an encoded State by the IDs of their remotes. Their times are on the clock of now,
// monotonic where now is.
func readState(data []byte, now time.Time) (map[[sha256.Size]byte]*restored, error) {
	state, err := unseal(data)
	if err != nil {
		return nil, err
	}
	if state.Saved.Sub(now) > skew {
		return nil, ErrStateFuture
	}
	found := make(map[[sha256.Size]byte]*restored, len(state.Remotes))
	var errs []error
	for i := range state.Remotes {
		id, r, err := state.Remotes[i].read(state.Saved, now)
		if err != nil {
			errs = append(errs, fmt.Errorf("keys of %q: %w", state.Remotes[i].Providers, err))
			continue
		}
		if found[id] != nil {
			return nil, ErrStateDamaged
		}
		found[id] = r
	}
	return found, errors.Join(errs...)
}

// unseal checks version and checksum.
func unseal(data []byte) (*keptState, error) {
	if len(data) > MaxState {
		return nil, ErrStateDamaged
	}
	var outer sealed
	if json.Unmarshal(data, &outer) != nil { // its text may quote the data
		return nil, ErrStateDamaged
	}
	if outer.Version != stateVersion {
		return nil, fmt.Errorf("%w %d", ErrStateVersion, outer.Version)
	}
	sum := sha256.Sum256(outer.State)
	if outer.SHA256 != hex.EncodeToString(sum[:]) {
		return nil, ErrStateDamaged
	}
	var state keptState
	decoder := json.NewDecoder(bytes.NewReader(outer.State))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&state) != nil {
		return nil, ErrStateDamaged
	}
	return &state, nil
}

// read checks one key set of a state that was saved at saved.
func (s *keptSet) read(saved, now time.Time) (id [sha256.Size]byte, r *restored, err error) {
	raw, err := hex.DecodeString(s.ID)
	if err != nil || len(raw) != len(id) {
		return id, nil, ErrStateDamaged
	}
	age := now.Sub(s.Fetched)
	if age < 0 || s.Fetched.After(saved) {
		return id, nil, ErrStateFuture
	}
	set, problems, err := token.ParseJWKS(s.JWKS, false)
	if err != nil {
		return id, nil, ErrStateKeys
	}
	return [sha256.Size]byte(raw), &restored{
		set: set, public: publicKeys(s.JWKS), dropped: len(problems), fetched: now.Add(-age),
		providers: s.Providers, uids: s.UIDs,
	}, nil
}

// claim returns what the refresher of a remote that is new starts with, where a state has its keys and they are not
// too old; else nil. The caller holds syncing.
func (k *Keeper) claim(r *refresher) *held {
	id := r.remote.ID()
	kept := k.restored[id]
	if kept == nil {
		return nil
	}
	delete(k.restored, id)
	log := k.config.Log.WithValues("issuer", r.remote.Issuer, "fetched", kept.fetched.UTC().Format(time.RFC3339))
	if !r.owners.Load().have(kept.uids) {
		log.Info("Kept keys are those of a provider that is gone")
		return nil
	}
	h := kept.held()
	if !r.usable(h, k.config.Now()) {
		log.Info("Kept keys are too old")
		return nil
	}
	log.Info("Keys restored")
	return h
}

// held is what a refresher holds that starts with r.
func (r *restored) held() *held {
	return &held{set: r.set, public: r.public, dropped: r.dropped, lastSuccess: r.fetched, restored: true}
}
