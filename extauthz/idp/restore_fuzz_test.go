package idp

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzRestore states the law of the reader: it does not panic; what it takes is a key set without secrets that was
// fetched before now, and is what State.Encode would write of it.
func FuzzRestore(f *testing.F) {
	p := provider("p", testURL)
	data := life(f, p, jwks(f, "a", "b"))
	state, err := unseal(data)
	if err != nil {
		f.Fatal(err)
	}
	inner, err := marshal(state)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(inner)
	f.Add(bytes.Replace(inner, []byte(`"use":"sig"`), []byte(`"d":"AA","x5c":["<>"]`), 1))
	f.Add(bytes.Replace(inner, []byte(`"saved":"2`), []byte(`"saved":"9`), 1))
	f.Add(bytes.Replace(inner, []byte(`"fetched":"2`), []byte(`"fetched":"0`), 1))
	now := state.Saved.Add(time.Hour)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, sealState(data)} {
			found, _ := readState(data, now)
			again := State{saved: now}
			for id, r := range found {
				if r.set.Len() == 0 || r.fetched.After(now) {
					t.Errorf("took %d keys, fetched at %s", r.set.Len(), r.fetched)
				}
				wantNothingSecret(t, r.public)
				again.sets = append(again.sets, keptSet{ID: hex.EncodeToString(id[:]), Providers: r.providers, Fetched: r.fetched, JWKS: r.public})
			}
			if len(found) == 0 {
				continue
			}
			encoded, dropped, err := again.Encode(0)
			if err != nil || dropped != nil {
				t.Fatalf("dropped %v, error %v", dropped, err)
			}
			same, err := readState(encoded, now)
			if err != nil || len(same) != len(found) {
				t.Fatalf("%d sets of %d the second time (%v)", len(same), len(found), err)
			}
			for id, r := range found {
				s := same[id]
				if !bytes.Equal(s.public, r.public) || !s.fetched.Equal(r.fetched) || s.dropped != r.dropped || !cmp.Equal(s.set.KeyIDs(), r.set.KeyIDs()) {
					t.Errorf("another set the second time: %s", r.public)
				}
			}
		}
	})
}
