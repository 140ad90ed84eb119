package policy

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestSnapshotWhileCompiling shows, under the race detector, that a snapshot is never written once it is published: many
// goroutines decide while one compiles the next from what it has kept.
func TestSnapshotWhileCompiling(t *testing.T) {
	objs := parse(t, orders+"\n---\n"+`
kind: AuthPolicy
metadata: {name: tried, namespace: shop}
spec:
  hosts: [orders.example.com]
  mode: DryRun
  identityProviders: [{kind: ClusterIdentityProvider, name: corp}]
  require: {expressions: [{expression: "claims.sub != 'b'"}]}
  rules: [{name: tried, matches: [{path: {type: Template, value: "/v1/{what}"}}], access: Authenticated}]
  upstream: {headers: [{name: x-user, claim: sub}]}
`)
	calls := []call{
		get("https://orders.example.com/v1/orders").with(`{"sub":"a","scope":"orders.read"}`).header("x_user", "b"),
		get("https://orders.example.com/v1/users/a/").with(`{"sub":"a"}`),
		get("https://orders.example.com/admin").with(`{"sub":"a","roles":["admin"],"groups":["ops"],"email_verified":true}`),
		get("https://eu.orders.example.com/healthz"),
	}
	var c Compiler
	var current atomic.Pointer[Snapshot]
	s, _ := c.Compile(objs, Options{})
	current.Store(s)
	var want []Verdict
	for _, call := range calls {
		want = append(want, call.decide(t, s).Verdict)
	}
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !done.Load() {
				s := current.Load()
				for i, call := range calls {
					if got := call.decide(t, s).Verdict; got != want[i] {
						t.Errorf("%s: %+v, want %+v", call.Path, got, want[i])
					}
				}
			}
		})
	}
	for i := range 100 {
		if i%10 == 0 {
			objs.AuthPolicies[0] = objs.AuthPolicies[0].DeepCopy()
		}
		s, _ := c.Compile(objs, Options{})
		current.Store(s)
	}
	done.Store(true)
	readers.Wait()
}
