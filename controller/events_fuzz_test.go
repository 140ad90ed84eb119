package controller

import (
	"encoding/json"
	mathrand "math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// maxEvents bounds a sequence; what a compile keeps from the one before shows within a few.
const maxEvents = 24

// eventCluster is a cluster as far as events go: what the API server holds, and what the stores of the informers made
// of the events.
type eventCluster struct {
	held     map[int]clusterObject // by place in eventWorld
	stores   map[string]*store
	compiler policy.Compiler
	opts     policy.Options
	clock    int
}

func newEventCluster(grants bool) *eventCluster {
	c := &eventCluster{
		held: map[int]clusterObject{}, stores: map[string]*store{},
		opts: policy.Options{OwnNamespace: "sallyport", HostGrants: grants},
	}
	for _, k := range clusterKinds() {
		c.stores[k.Kind] = newStore(func(_ client.ObjectKey) {}, func(_ client.ObjectKey) {})
		c.stores[k.Kind].complete()
	}
	return c
}

// happen does what two bytes say: to which object, and what.
func (c *eventCluster) happen(t *testing.T, which, what byte) {
	t.Helper()
	c.clock++
	n := int(which) % len(eventWorld)
	o, there := c.held[n]
	before := o
	switch state := int(what / 6); what % 6 {
	case 0, 1: // add, or edit
		if !there {
			o = clusterObject{uid: c.clock, createdAt: c.clock}
		}
		if !there || o.state != state {
			o.generation++
		}
		o.state = state
	case 2, 3: // delete; the last state may have been missed
		if !there {
			return
		}
		delete(c.held, n)
		kind, gone := o.informed(t, n)
		if what%6 == 2 {
			c.stores[kind].OnDelete(gone)
		} else {
			c.stores[kind].OnDelete(toolscache.DeletedFinalStateUnknown{Key: client.ObjectKeyFromObject(gone).String(), Obj: gone})
		}
		return
	case 4: // deleted and made anew, which an informer may see as one update
		o = clusterObject{uid: c.clock, createdAt: c.clock, generation: 1, state: state}
	case 5: // status or labels: another version of the same
		if !there {
			return
		}
	}
	o.resourceVersion = c.clock
	c.held[n] = o
	kind, now := o.informed(t, n)
	if !there {
		c.stores[kind].OnAdd(now, false)
		return
	}
	_, old := before.informed(t, n)
	c.stores[kind].OnUpdate(old, now)
}

// stepwise compiles what the stores hold, with what the Compiler kept; fresh what the API server holds, from its bytes.
func (c *eventCluster) stepwise() (*policy.Snapshot, policy.Report) {
	var objs policy.Objects
	for _, s := range c.stores {
		s.each(func(o client.Object) { addClusterObject(&objs, o) })
	}
	return c.compiler.Compile(objs, c.opts)
}

func (c *eventCluster) fresh(t *testing.T) (*policy.Snapshot, policy.Report) {
	t.Helper()
	var objs policy.Objects
	for n, o := range c.held {
		_, now := o.informed(t, n)
		addClusterObject(&objs, now)
	}
	return new(policy.Compiler).Compile(objs, c.opts)
}

// eventRequests are asked of each snapshot, in each scope, with a token of whatever provider is trusted and without.
var eventRequests = []string{"orders.example.com/v1", "orders.example.com/v1/x/", "orders.example.com/healthz", "x.example.com/alice", "other.example.com/", "routed.example.com/v1", "orders.shop.svc/v1", "nobody.test/"}

// answers are what a snapshot says to each.
func answers(t *testing.T, s *policy.Snapshot) (out []policy.Decision) {
	t.Helper()
	for _, scope := range []string{"", "namespace/shop", "service/shop/orders", "gateway/infra/edge"} {
		var sc policy.Scope
		if scope != "" {
			var err error
			if sc, err = policy.ParseScope(scope); err != nil {
				t.Fatal(err)
			}
		}
		for _, at := range eventRequests {
			i := 0
			for at[i] != '/' {
				i++
			}
			for _, shown := range []bool{false, true} {
				req, reason := policy.NewRequest(policy.Input{Method: "GET", Scheme: "https", Host: at[:i], Path: at[i:], Scope: sc, Headers: policy.Fields{{Name: "x_user", Value: "root"}}})
				if reason != "" {
					t.Fatal(reason)
				}
				land := s.Lookup(req)
				out = append(out, land.Decide(eventFacts(land.Enforced.Trusted(), shown), eventFacts(land.DryRun.Trusted(), shown)))
			}
		}
	}
	return out
}

func eventFacts(trusted []*token.Provider, shown bool) policy.Facts {
	f := policy.Facts{Now: time.Unix(1_800_000_000, 0)}
	if shown && len(trusted) > 0 {
		f.Identity, f.Err = token.NewIdentity(trusted[0], token.Claims{
			"iss": trusted[0].Issuer, "sub": "alice", "aud": trusted[0].Audiences[0], "scope": "read", "exp": json.Number("1800000300"),
		}, f.Now)
	}
	return f
}

// play lets the events of script happen, and holds after each of them the state that was reached step by step against
// one that is compiled anew.
func play(t *testing.T, script []byte) {
	t.Helper()
	if len(script) == 0 {
		return
	}
	c := newEventCluster(script[0]&1 == 1)
	for i := 1; i+1 < len(script) && i < 2*maxEvents; i += 2 {
		c.happen(t, script[i], script[i+1])
		got, report := c.stepwise()
		if script[i]&0x80 != 0 && i+3 < len(script) {
			continue // more happens before anybody looks
		}
		want, anew := c.fresh(t)
		if d := cmp.Diff(anew, report); d != "" {
			t.Fatalf("after %d events of %v the report differs (-anew +step by step):\n%s", (i+1)/2, script, d)
		}
		if a, b := answers(t, want), answers(t, got); !reflect.DeepEqual(a, b) {
			t.Fatalf("after %d events of %v (-anew +step by step):\n%s", (i+1)/2, script, cmp.Diff(a, b))
		}
		if got.Stats() != want.Stats() {
			t.Fatalf("after %d events of %v: %+v, anew %+v", (i+1)/2, script, got.Stats(), want.Stats())
		}
	}
}

// eventScript writes events: pairs of an object's place and what happens to it.
func eventScript(grants byte, events ...[2]byte) []byte {
	out := []byte{grants}
	for _, e := range events {
		out = append(out, e[0], e[1])
	}
	return out
}

// FuzzEvents states the law of events: whatever happens to the objects of a cluster, in whatever order, the snapshot and
// the report that are reached step by step are those of a fresh compile of what there is.
func FuzzEvents(f *testing.F) {
	for _, grants := range []byte{0, 1} {
		f.Add(eventScript(grants, [2]byte{0, 0}, [2]byte{2, 0}, [2]byte{2, 6}, [2]byte{2, 0}))                                 // a policy opens and closes
		f.Add(eventScript(grants, [2]byte{0, 0}, [2]byte{2, 0}, [2]byte{2, 2}, [2]byte{2, 0}))                                 // deleted and back
		f.Add(eventScript(grants, [2]byte{0, 0}, [2]byte{2, 0}, [2]byte{2, 4}, [2]byte{2, 10}))                                // made anew in one step
		f.Add(eventScript(grants, [2]byte{2, 12}, [2]byte{0, 0}, [2]byte{2, 5}, [2]byte{2, 0}))                                // an unknown field goes
		f.Add(eventScript(grants, [2]byte{2, 0}, [2]byte{0, 0}, [2]byte{0, 6}, [2]byte{0, 12}, [2]byte{0, 3}))                 // the provider changes under a policy
		f.Add(eventScript(grants, [2]byte{4, 0}, [2]byte{2, 0}, [2]byte{9, 0}, [2]byte{10, 0}, [2]byte{10, 6}, [2]byte{9, 6})) // hosts are granted and taken
		f.Add(eventScript(grants, [2]byte{5, 0}, [2]byte{6, 0}, [2]byte{7, 0}, [2]byte{8, 0}, [2]byte{8, 6}, [2]byte{7, 6}, [2]byte{11, 0}, [2]byte{5, 6}))
		f.Add(eventScript(grants, [2]byte{0, 24}, [2]byte{9, 0}, [2]byte{2, 0}, [2]byte{9, 6})) // labels of a namespace
	}
	f.Fuzz(play)
}

// TestEventsAtRandom plays sequences that are drawn.
func TestEventsAtRandom(t *testing.T) {
	const sequences = 60
	r := mathrand.New(mathrand.NewPCG(5, 9))
	for range sequences {
		script := make([]byte, 1+2*(1+r.IntN(maxEvents)))
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		play(t, script)
	}
	t.Logf("%d sequences", sequences)
}
