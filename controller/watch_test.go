package controller

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, args)
	}, funcr.Options{})
}

// with counts the lines that hold all of these texts.
func (l *lines) with(texts ...string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.all {
		if !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(line, s) }) {
			n++
		}
	}
	return n
}

// host is a Public policy for a host.
func host(name string) string {
	return "apiVersion: sallyport.dev/v1alpha1\nkind: AuthPolicy\nmetadata: {name: " + strings.ReplaceAll(name, ".", "-") +
		"}\nspec: {hosts: [" + name + "], rules: [{name: all, access: Public}]}\n"
}

// world is a publisher that follows a folder.
type world struct {
	t        *testing.T
	dir      string
	log      lines
	snapshot atomic.Pointer[policy.Snapshot]
	registry *prometheus.Registry
}

// following publishes dir and follows it until the test ends.
func following(t *testing.T, dir string) *world {
	t.Helper()
	w := &world{t: t, dir: dir, registry: prometheus.NewRegistry()}
	folder, err := NewFolder(FolderConfig{Dirs: []string{dir}, Settle: 10 * time.Millisecond, Log: w.log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPublisher(PublisherConfig{List: folder.Load, Snapshot: &w.snapshot, Log: w.log.logger(), Metrics: w.registry})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := folder.Watch(ctx, func(ctx context.Context) { _ = p.Publish(ctx) }); ctx.Err() == nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// allows tells whether a request to a host passes.
func (w *world) allows(host string) bool {
	r, err := ParseRequest("GET https://" + host + "/")
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := r.Ask(w.snapshot.Load())
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Allow
}

// put replaces a file as a whole: a machine under load may stop a writer for longer than these tests let files settle.
func (w *world) put(name, text string) {
	w.t.Helper()
	put(w.t, filepath.Join(w.dir, ".new"), text)
	to := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(w.dir, ".new"), to); err != nil {
		w.t.Fatal(err)
	}
}

// metric is the value of a gauge or counter.
func (w *world) metric(name, label string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestWatchPutsEditsIntoForce(t *testing.T) {
	w := following(t, write(t, map[string]string{"a.yaml": host("a.com")}))
	if !w.allows("a.com") || w.allows("b.com") {
		t.Fatal("the start is wrong")
	}
	w.put("a.yaml", host("b.com"))
	eventually(t, "an edit", func() bool { return w.allows("b.com") && !w.allows("a.com") })
	w.put("sub/deep/c.yaml", host("c.com"))
	eventually(t, "a file in a new folder", func() bool { return w.allows("c.com") })
	w.put("sub/deep/c.yaml", host("d.com"))
	eventually(t, "an edit in a new folder", func() bool { return w.allows("d.com") })
	if err := os.Rename(filepath.Join(w.dir, "sub"), filepath.Join(w.dir, ".sub")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a folder to be gone", func() bool { return !w.allows("d.com") && w.allows("b.com") })
	if err := os.Remove(filepath.Join(w.dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a file to be gone", func() bool { return !w.allows("b.com") })
}

func TestWatchFollowsAMountedConfigMap(t *testing.T) {
	dir := write(t, map[string]string{"..1/a.yaml": host("a.com"), "..2/a.yaml": host("b.com")})
	link(t, "..1", filepath.Join(dir, "..data"))
	link(t, "..data/a.yaml", filepath.Join(dir, "a.yaml"))
	w := following(t, dir)
	link(t, "..2", filepath.Join(dir, "..new"))
	if err := os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the switch", func() bool { return w.allows("b.com") && !w.allows("a.com") })
}

func TestWatchKeepsTheLastGoodSet(t *testing.T) {
	w := following(t, write(t, map[string]string{"a.yaml": host("a.com")}))
	broken := strings.Replace(host("b.com"), "access", "acces", 1)
	w.put("a.yaml", broken)
	eventually(t, "the log of a file that cannot be decoded", func() bool {
		return w.log.with("the last good set stays in force", "a.yaml:4: spec.rules[0].acces: unknown field") == 1
	})
	if !w.allows("a.com") || w.allows("b.com") {
		t.Error("the last good set is not in force")
	}
	eventually(t, "the metric", func() bool { return w.metric("sallyport_reload_failures_total", "") == 1 })
	w.put("b.yaml", "[")
	eventually(t, "the log of a second problem", func() bool { return w.log.with("b.yaml:1: is not YAML") == 1 })
	w.put("a.yaml", "# moved down\n"+broken)
	eventually(t, "another reload", func() bool { return w.metric("sallyport_reload_failures_total", "") >= 3 })
	if n := w.log.with("spec.rules[0].acces"); n != 1 {
		t.Errorf("a problem that stayed was told %d times", n)
	}
	if err := os.Remove(filepath.Join(w.dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	w.put("a.yaml", host("b.com"))
	eventually(t, "the mended file", func() bool { return w.allows("b.com") && !w.allows("a.com") })
	eventually(t, "the log of it", func() bool { return w.log.with("Mended", "spec.rules[0].acces") == 1 })
}

func TestWatchKeepsTheLastGoodSetWithoutItsFolder(t *testing.T) {
	parent := write(t, map[string]string{"in/a.yaml": host("a.com")})
	w := following(t, filepath.Join(parent, "in"))
	if err := os.Rename(filepath.Join(parent, "in"), filepath.Join(parent, "away")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log of a folder that is gone", func() bool {
		return w.log.with("the last good set stays in force", "in: cannot be read: no such file or directory") == 1
	})
	if !w.allows("a.com") {
		t.Error("the last good set is not in force")
	}
	put(t, filepath.Join(parent, "away", "a.yaml"), host("b.com"))
	if err := os.Rename(filepath.Join(parent, "away"), filepath.Join(parent, "in")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the folder that is back", func() bool { return w.allows("b.com") })
}

func TestPublishTellsEachProblemOnce(t *testing.T) {
	bad := strings.Replace(host("a.com"), "access: Public", `access: Authenticated`, 1)
	w := following(t, write(t, map[string]string{"a.yaml": bad}))
	eventually(t, "the log", func() bool { return w.log.with("Does not compile", "a.yaml:4") == 1 })
	if got := w.metric("sallyport_compile_problems", "Error"); got != 1 {
		t.Errorf("got %v errors, want 1", got)
	}
	w.put("a.yaml", "\n"+bad)
	w.put("b.yaml", host("b.com"))
	eventually(t, "the reload", func() bool { return w.allows("b.com") })
	eventually(t, "its metric", func() bool { return w.metric("sallyport_snapshot_policies", "") == 2 })
	if n := w.log.with("Does not compile"); n != 1 {
		t.Errorf("the problem was told %d times", n)
	}
	w.put("a.yaml", host("a.com"))
	eventually(t, "the log of the end", func() bool { return w.log.with("Mended", "a.yaml:5") == 1 })
	if !w.allows("a.com") || w.metric("sallyport_compile_problems", "Error") != 0 {
		t.Error("the mended policy is not in force")
	}
}

func TestWatchSeesEditsWithoutEvents(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": host("a.com")})
	f, err := NewFolder(FolderConfig{Dirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{folder: f}
	w.add([]string{dir})
	if err := w.wait(t.Context(), time.Millisecond, time.Time{}); err != nil {
		t.Errorf("got %v after the time to look again", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.wait(ctx, time.Hour, time.Time{}); err == nil {
		t.Error("the end of the context was not seen")
	}
}

func TestWatchForgetsFolders(t *testing.T) {
	dir := write(t, map[string]string{"a/x.yaml": "", "b/x.yaml": ""})
	f, err := NewFolder(FolderConfig{Dirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	w := f.newWatcher()
	defer w.close()
	w.add([]string{dir, filepath.Join(dir, "a")})
	w.add([]string{dir, filepath.Join(dir, "b")})
	got := w.events.WatchList()
	slices.Sort(got)
	if want := []string{dir, filepath.Join(dir, "b")}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	put(t, filepath.Join(dir, "b", "y.yaml"), "")
	if e := <-w.events.Events; !e.Has(fsnotify.Create) {
		t.Errorf("got %v", e)
	}
}

// TestLoadWaitsForFilesToSettle writes a file piece by piece, one piece before each look.
func TestLoadWaitsForFilesToSettle(t *testing.T) {
	whole := namespace("a")
	for _, tt := range []struct {
		name   string
		pieces map[int]string // written before the look of this number
		want   int            // looks
	}{
		{"nobody writes", map[int]string{1: whole}, 3},
		{"half written", map[int]string{1: whole[:20], 2: whole[:40], 3: whole}, 5},
		{"truncated first", map[int]string{1: whole, 2: "", 3: whole}, 5},
		{"written while it was read", map[int]string{1: "[", 3: whole}, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			f, err := NewFolder(FolderConfig{Dirs: []string{dir}, Settle: 1})
			if err != nil {
				t.Fatal(err)
			}
			looks := 0
			f.look = func(dirs []string) *look {
				looks++
				if text, ok := tt.pieces[looks]; ok {
					// Another name each time: two writes within a clock tick could leave the same times.
					name := filepath.Join(dir, "a.yaml")
					put(t, filepath.Join(dir, fmt.Sprint("new", looks)), text)
					if err := os.Rename(filepath.Join(dir, fmt.Sprint("new", looks)), name); err != nil {
						t.Fatal(err)
					}
				}
				return lookAt(dirs)
			}
			l, err := f.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if l.Len() != 1 || looks != tt.want {
				t.Errorf("got %d objects after %d looks, want 1 after %d", l.Len(), looks, tt.want)
			}
		})
	}
}

// TestLoadPassesOverRestlessFiles renames one file over before each look, and edits another once: the edit is read, and
// the restless file stays as it was, until it rests.
func TestLoadPassesOverRestlessFiles(t *testing.T) {
	dir := write(t, map[string]string{"edited.yaml": namespace("before"), "restless.yaml": namespace("r0")})
	f, err := NewFolder(FolderConfig{Dirs: []string{dir}, Settle: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	names := func() []string {
		l, err := f.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, n := range l.Objects.Namespaces {
			out = append(out, n.Name)
		}
		slices.Sort(out)
		return out
	}
	replace := func(name, text string) {
		put(t, filepath.Join(dir, ".new"), text)
		if err := os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(); !slices.Equal(got, []string{"before", "r0"}) {
		t.Fatalf("at first %q", got)
	}
	replace("edited.yaml", namespace("after"))
	looks := 0
	f.look = func(dirs []string) *look {
		looks++
		replace("restless.yaml", namespace(fmt.Sprint("r", looks)))
		return lookAt(dirs)
	}
	if got := names(); !slices.Equal(got, []string{"after", "r0"}) {
		t.Errorf("while a file is restless: %q", got)
	}
	f.look = lookAt
	if got := names(); !slices.Equal(got, []string{"after", fmt.Sprint("r", looks)}) {
		t.Errorf("once it rests: %q", got)
	}
}

func TestPublisherHandsOverBeforeItPublishes(t *testing.T) {
	folder, err := NewFolder(FolderConfig{Dirs: []string{write(t, map[string]string{"a.yaml": host("a.com")})}})
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	var snapshot atomic.Pointer[policy.Snapshot]
	p, err := NewPublisher(PublisherConfig{
		List: folder.Load, Snapshot: &snapshot,
		BeforePublish: func(_ context.Context, s *policy.Snapshot) {
			order = append(order, fmt.Sprintf("before, published %t", snapshot.Load() == s))
		},
		OnPublish: func(p Published) {
			order = append(order, fmt.Sprintf("report of %d, published %t", len(p.Report.Objects), snapshot.Load() == p.Snapshot))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"before, published false", "report of 1, published true"}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
	if _, err := NewPublisher(PublisherConfig{}); err == nil {
		t.Error("a publisher without List and Snapshot was made")
	}
}
