package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// observe is the event of a status that was written: the object, with the status that it should have.
func observe(tb testing.TB, c *Cluster, s *store, name, spec string, generation int64) {
	tb.Helper()
	d := declaredPolicy(tb, name, spec)
	d.Generation = generation
	for _, r := range c.published.Load().Report.Objects {
		if r.Name == name {
			d.observed = wantedStatus(&observed{}, r, nil, generation, d.CreationTimestamp)
		}
	}
	s.put(d)
}

const publicSpec = `{"hosts":["%s.example.com"],"rules":[{"name":"all","access":"Public"}]}`

// TestStatusOfWhatWasEditedGoesFirst gives a backlog with an edit and a new policy in it.
func TestStatusOfWhatWasEditedGoesFirst(t *testing.T) {
	var writes []string
	var fault error
	c, s := writerOf(t, &writes, &fault)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		s.put(declaredPolicy(t, name, fmt.Sprintf(publicSpec, name)))
	}
	publish := func() {
		t.Helper()
		if err := c.publisher.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	observe(t, c, s, "a", fmt.Sprintf(publicSpec, "a"), 1) // settled
	for _, name := range []string{"b", "c"} {              // said of this generation, but not the right thing
		observe(t, c, s, name, fmt.Sprintf(publicSpec, name), 1)
		c.declared(policy.ObjectRef{Kind: v1alpha1.KindAuthPolicy, Namespace: "shop", Name: name}).status().Rules = 7
	}
	observe(t, c, s, "e", fmt.Sprintf(publicSpec, "e"), 1) // edited since
	edit := c.declared(policy.ObjectRef{Kind: v1alpha1.KindAuthPolicy, Namespace: "shop", Name: "e"})
	edit.SetGeneration(2)
	if err := c.status.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, w := range writes {
		order = append(order, strings.Fields(w)[1])
	}
	if got := fmt.Sprint(order); got != "[shop/e shop/d shop/b shop/c]" {
		t.Errorf("written: %s", got)
	}
}

// TestStatusOfALeaderThatIsBehind shows that a leader writes over nothing that it has not seen, so that a condition keeps
// the time since when it is so; and that it goes on from what it wrote itself.
func TestStatusOfALeaderThatIsBehind(t *testing.T) {
	var writes []string
	var fault error
	c, s := writerOf(t, &writes, &fault)
	put := func(version, spec string, generation int64) {
		t.Helper()
		d := declaredPolicy(t, "shop", spec)
		d.ResourceVersion, d.Generation = version, generation
		s.put(d)
		if err := c.publisher.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pass := func(want ...string) {
		t.Helper()
		writes = nil
		if err := c.status.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, w := range writes {
			_, version, _ := strings.Cut(w, `"resourceVersion":"`)
			writes[i], _, _ = strings.Cut(version, `"`)
		}
		if !slices.Equal(writes, want) {
			t.Errorf("written to the versions %q, want %q", writes, want)
		}
	}
	// The leader before has written already: the API server refuses, and nothing is taken for written.
	put("7", fmt.Sprintf(publicSpec, "a"), 1)
	fault = apierrors.NewConflict(schema.GroupResource{}, "shop", nil)
	pass("7")
	fault = nil
	pass("7") // which is version 2 since, as the writes of this test always are
	// An edit comes by itself before the informer has seen the write.
	c.status.written[policy.ObjectRef{Kind: v1alpha1.KindAuthPolicy, Namespace: "shop", Name: "shop"}] = written{uid: "shop", before: "8", since: "9"}
	put("8", fmt.Sprintf(publicSpec, "b"), 2)
	pass("9")
	// And then it has.
	put("10", fmt.Sprintf(publicSpec, "c"), 3)
	pass("10")
}

// TestStatusSettles shows that what was found right is not looked at again until its object, or what is said of it, is
// another.
func TestStatusSettles(t *testing.T) {
	var writes []string
	var fault error
	c, s := writerOf(t, &writes, &fault)
	const n = 20
	spec := func(i int) string { return fmt.Sprintf(publicSpec, fmt.Sprint("p", i)) }
	for i := range n {
		s.put(declaredPolicy(t, fmt.Sprint("p", i), spec(i)))
	}
	for range 2 {
		if err := c.publisher.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			observe(t, c, s, fmt.Sprint("p", i), spec(i), 1)
		}
		if err := c.status.pass(t.Context()); err != nil || len(writes) > 0 {
			t.Fatalf("got %v after %d writes", err, len(writes))
		}
	}
	edit := declaredPolicy(t, "p3", strings.Replace(spec(3), "Public", "Denied", 1))
	edit.Generation, edit.observed = 2, *s.get(client.ObjectKeyFromObject(edit)).(declaredObject).status()
	s.put(edit)
	if err := c.publisher.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, edited := c.status.look(c.published.Load())
	if len(list) != 1 || edited != 1 || list[0].report.Name != "p3" || len(c.status.settled) != n-1 {
		t.Errorf("the status of %d, of which %d were edited, may be wrong; %d are settled", len(list), edited, len(c.status.settled))
	}
}

// BenchmarkStatusLook is a look over ten thousand policies whose status is right.
func BenchmarkStatusLook(b *testing.B) {
	c, s := unconnected(b)
	for i := range 10_000 {
		s.put(declaredPolicy(b, fmt.Sprint("p", i), fmt.Sprintf(publicSpec, fmt.Sprint("p", i))))
	}
	if err := c.publisher.Publish(b.Context()); err != nil {
		b.Fatal(err)
	}
	c.status.settled = map[*policy.ObjectReport]declaredObject{}
	for _, r := range c.published.Load().Report.Objects {
		c.status.settled[r] = c.declared(policy.ObjectRef{Kind: v1alpha1.KindAuthPolicy, Namespace: r.Namespace, Name: r.Name})
	}
	b.ReportAllocs()
	for b.Loop() {
		if list, _ := c.status.look(c.published.Load()); len(list) > 0 {
			b.Fatal("the status of some is not right")
		}
	}
}
