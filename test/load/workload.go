package main

import (
	"fmt"
	"net/http"
	"strings"
)

const (
	readScope  = "orders.read profile email"
	otherScope = "orders.list profile email"
	// refusedEvery is how many requests there are to one that is to be refused: four in a hundred are.
	refusedEvery = 25
	// strangers is how many tokens without the scope there are.
	strangers = 64
)

// workload is an endless sequence of Checks, each with the verdict that is due. It is read only once made.
type workload struct {
	hosts  int
	rules  int // of the first host, beside the usual ones
	tokens []string
	// once: each token is used once, so that the sequence ends with them, and forged ones are among them.
	once      bool
	strangers []string
	with      *template
	without   *template
}

// newWorkload is one over the hosts and rules of e, and tokens distinct tokens.
func newWorkload(m *minter, e estate, tokens int, once bool) (*workload, error) {
	w := &workload{hosts: e.hosts, rules: e.rules, once: once}
	if w.rules > 0 {
		w.hosts = 1
	}
	var err error
	if w.tokens, err = m.tokens(0, tokens, readScope); err != nil {
		return nil, err
	}
	if w.strangers, err = m.tokens(tokens, tokens+strangers, otherScope); err != nil {
		return nil, err
	}
	for _, t := range w.tokens {
		if len(t) != len(w.tokens[0]) {
			return nil, fmt.Errorf("tokens have %d and %d bytes, where all should have the same", len(t), len(w.tokens[0]))
		}
	}
	if w.with, err = newTemplate(len(w.tokens[0])); err != nil {
		return nil, err
	}
	w.without, err = newTemplate(0)
	return w, err
}

// render writes Check number i over into, which it returns, and tells the verdict that is due. False: the sequence is at
// its end. Tokens and hosts come in order, or as chance has it.
func (w *workload) render(into []byte, i int, inOrder bool) ([]byte, int, bool) {
	if w.once && i >= len(w.tokens) {
		return into, 0, false
	}
	who, where := uint64(i), uint64(i)
	if !inOrder && !w.once {
		who = scatter(who)
		where = scatter(who)
	}
	user := int(who % uint64(len(w.tokens)))
	v := variable{host: int(where % uint64(w.hosts)), id: i, area: "v1/users", letter: 'u', thing: user, token: w.tokens[user]}
	if i%refusedEvery == refusedEvery-1 {
		with, want := w.spoil(&v, i/refusedEvery)
		return with.render(into, &v), want, true
	}
	if w.rules > 0 && i%2 == 0 {
		v.area, v.letter, v.thing = "v2/items", 'r', i/2%w.rules
	}
	return w.with.render(into, &v), allowed, true
}

// scatter is a number that has nothing to do with i to look at, and is the same each time (the finalizer of SplitMix64).
func scatter(i uint64) uint64 {
	i = (i ^ i>>30) * 0xbf58476d1ce4e5b9
	i = (i ^ i>>27) * 0x94d049bb133111eb
	return (i ^ i>>31) >> 1
}

// spoil makes of v the n-th request that is to be refused, and tells its template and the verdict that is due.
func (w *workload) spoil(v *variable, n int) (*template, int) {
	kinds := 4
	if w.once {
		kinds = 5
	}
	switch n % kinds {
	case 0:
		v.thing++ // what belongs to somebody else
	case 1:
		return w.without, http.StatusUnauthorized
	case 2:
		v.area, v.token = "v1/items", w.strangers[n/kinds%strangers] // a token without the scope
	case 3:
		v.area = "v9/users" // no rule
	case 4:
		v.token = forged(v.token)
		return w.with, http.StatusUnauthorized
	}
	return w.with, http.StatusForbidden
}

// forged is token with another signature of the same length.
func forged(token string) string {
	at := strings.LastIndexByte(token, '.') + 1
	other := byte('A')
	if token[at+1] == other {
		other = 'B'
	}
	return token[:at+1] + string(other) + token[at+2:]
}
