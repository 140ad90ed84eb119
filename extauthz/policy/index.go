package policy

import (
	"maps"
	"slices"
)

// index is which policies stand in the list of which host, with the tables of each, and what there is to tell of that.
// It is kept from one compile to the next; the maps of tables are also those of the snapshot, so they are never written
// again.
type index struct {
	joined []*joined // the policies, in order
	// lists are the places of the policies of each host.
	lists map[string][]int
	// told are the problems of each policy with the hosts that it shares.
	told       [][]Problem
	hosts      hostIndex
	namespaces map[string]*hostIndex
}

// index gives the snapshot the tables of all hosts. policies are in order, and get the problems of hosts that they share.
// granted is nil where nothing is granted. sameHosts: policies have the hosts that those in their places had in the last
// compile, with the same grants; so the lists of hosts are the same, and what has changed is in the lists of those policies
// that have.
func (c *Compiler) index(s *Snapshot, policies []*policy, granted *grants, sameHosts bool) {
	if sameHosts && c.indexed != nil {
		c.indexed = c.indexed.again(policies, granted)
	} else {
		c.indexed = newIndex(policies, granted)
	}
	for i, p := range policies {
		p.problems.take(c.indexed.told[i])
	}
	s.granted, s.hosts, s.namespaces = granted, c.indexed.hosts, c.indexed.namespaces
	s.stats.Hosts = len(c.indexed.lists)
}

func newIndex(policies []*policy, granted *grants) *index {
	x := &index{joined: joinedOf(policies), lists: make(map[string][]int, len(policies)), told: make([][]Problem, len(policies))}
	own := make([]int, len(policies))
	sizes := map[string]int{}
	for i, p := range policies {
		own[i] = i
		for _, h := range p.hosts {
			if list := x.lists[h]; list != nil {
				x.lists[h] = append(list, i)
				continue
			}
			x.lists[h] = own[i : i+1 : i+1]
			sizes[p.ref.Namespace]++
		}
	}
	x.hosts.exact = make(map[string]hostTables, len(x.lists))
	x.namespaces = make(map[string]*hostIndex, len(sizes))
	for ns, n := range sizes {
		x.namespaces[ns] = &hostIndex{exact: make(map[string]hostTables, n)}
	}
	// The tables of a list are kept with its first policy, so each policy makes those of the lists that it begins.
	tables := make([][]hostTables, len(policies))
	inParallel(len(policies), func(i int) {
		for _, h := range policies[i].hosts {
			if list := x.lists[h]; list[0] == i {
				tables[i] = append(tables[i], tablesOfHost(h, pick(policies, list), granted))
			}
		}
	})
	for i, p := range policies {
		for _, h := range p.hosts {
			if x.lists[h][0] == i {
				x.set(h, tables[i][0])
				tables[i] = tables[i][1:]
			}
		}
	}
	inParallel(len(policies), func(i int) { x.told[i] = x.tell(i, policies[i], policies) })
	for h, owner := range granted.exact() {
		if x.lists[h] == nil {
			x.hosts.set(h, hostTables{namespace: owner, reserved: true})
		}
	}
	return x
}

// again is the index once policies have changed that have the same hosts as before.
func (x *index) again(policies []*policy, granted *grants) *index {
	var changed []int
	for i, p := range policies {
		if x.joined[i] != p.joined {
			changed = append(changed, i)
		}
	}
	if len(changed) == 0 {
		return x
	}
	hosts, neighbours := map[string]bool{}, map[int]bool{}
	for _, i := range changed {
		for _, h := range policies[i].hosts {
			hosts[h] = true
			for _, n := range x.lists[h] {
				neighbours[n] = true
			}
		}
	}
	next := &index{joined: slices.Clone(x.joined), lists: x.lists, told: slices.Clone(x.told), hosts: x.hosts.clone(), namespaces: maps.Clone(x.namespaces)}
	for _, i := range changed {
		p := policies[i]
		next.joined[i] = p.joined
		if ns := p.ref.Namespace; len(p.hosts) > 0 && next.namespaces[ns] == x.namespaces[ns] {
			own := x.namespaces[ns].clone()
			next.namespaces[ns] = &own
		}
	}
	for h := range hosts {
		next.set(h, tablesOfHost(h, pick(policies, x.lists[h]), granted))
	}
	for i := range neighbours {
		next.told[i] = next.tell(i, policies[i], policies)
	}
	return next
}

// tablesOfHost are the tables of a host with all that is known of it.
func tablesOfHost(host string, list []*policy, granted *grants) hostTables {
	t := newHostTables(list)
	t.namespace, t.reserved = list[0].ref.Namespace, granted.reserves(host)
	return t
}

func (x *index) set(host string, t hostTables) {
	x.hosts.set(host, t)
	x.namespaces[t.namespace].set(host, t)
}

// tell is what there is to tell the policy at i of the hosts that it shares, and of those that it has alone; of these it
// is the same on each, so the first one tells it.
func (x *index) tell(i int, p *policy, policies []*policy) []Problem {
	var told problems
	alone := false
	for _, h := range p.hosts {
		list := x.lists[h]
		if len(list) == 1 && alone {
			continue
		}
		alone = alone || len(list) == 1
		tellHost(&told, h, p.joined, x.hosts.named(h).all)
	}
	return told.list
}

// pick are the policies at places.
func pick(policies []*policy, places []int) []*policy {
	if len(places) == 1 {
		i := places[0]
		return policies[i : i+1 : i+1]
	}
	out := make([]*policy, len(places))
	for i, at := range places {
		out[i] = policies[at]
	}
	return out
}
