package envoy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/demo"
)

var colours = [...]string{"red", "blue"}

// painter is the policy that is edited and those who walk through its gate meanwhile.
type painter struct {
	w       *world
	address string
	tokens  [2]string // for the red gate, and for the blue one
	// epoch is even while an edit is under way. In an odd one the colour is settled, and is that of colour.
	epoch   atomic.Int64
	colour  atomic.Int64
	checked atomic.Int64 // answers of the current epoch that were of the settled colour
	answers atomic.Int64
}

// newPainter starts a world whose gate is red.
func newPainter(t *testing.T) *painter {
	t.Helper()
	w := newWorld(t, nil)
	p := &painter{w: w}
	p.paint(t, 0, renamed)
	p.address = w.edge(t, demo.EnvoyConfig{Concurrency: 2}).Address()
	for i, colour := range colours {
		p.tokens[i] = w.token(t, map[string]any{"scope": colour})
	}
	p.settle(t, 0)
	return p
}

// TestReloadUnderLoad edits a policy while requests flow. Every answer is right for the policy before or for the one
// after, and from the moment that the new one has answered once, no answer is from the old one.
func TestReloadUnderLoad(t *testing.T) {
	p := newPainter(t)
	p.epoch.Store(1)

	var walkers sync.WaitGroup
	stop := make(chan struct{})
	for n := range 4 {
		walkers.Go(func() { p.walk(t, n, stop) })
	}
	var slowest time.Duration
	for round := range 24 {
		colour := (round + 1) % 2
		p.epoch.Add(1)
		start := time.Now()
		p.paint(t, colour, []func(*testing.T, string, string){renamed, inPlace, inPieces}[round%3])
		p.settle(t, colour)
		slowest = max(slowest, time.Since(start))
		p.checked.Store(0)
		p.epoch.Add(1)
		eventually(t, "walkers have seen the new colour", func() bool { return p.checked.Load() > 20 || t.Failed() })
	}
	close(stop)
	walkers.Wait()
	t.Logf("%d answers; the slowest edit was enforced after %s", p.answers.Load(), slowest)
}

func (p *painter) paint(t *testing.T, colour int, write func(t *testing.T, name, content string)) {
	t.Helper()
	content := strings.ReplaceAll(testdata(t, "reload.yaml"), "${COLOUR}", colours[colour])
	write(t, filepath.Join(p.w.folder, "gate.yaml"), p.w.fill(content))
}

func renamed(t *testing.T, name, content string) { replaceFile(t, name, content) }

func inPlace(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Error(err)
	}
}

// inPieces writes as an editor with a small buffer does: for a moment the file holds half of what it is to hold.
func inPieces(t *testing.T, name, content string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for len(content) > 0 {
		n := min(128, len(content))
		if _, err := f.WriteString(content[:n]); err != nil {
			t.Error(err)
		}
		content = content[n:]
	}
}

// settle waits until the gate has the colour.
func (p *painter) settle(t *testing.T, colour int) {
	t.Helper()
	p.colour.Store(int64(colour))
	eventually(t, "the gate is "+colours[colour], func() bool {
		return do(t, p.address, call{host: "gate.test", target: "/gate", token: p.tokens[colour]}).rule() == colours[colour]
	})
}

// walk goes through the gate with tokens for either colour until stop is closed.
func (p *painter) walk(t *testing.T, n int, stop <-chan struct{}) {
	for ; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		before := p.epoch.Load()
		colour := p.colour.Load()
		a, err := send(p.address, call{host: "gate.test", target: "/gate", token: p.tokens[n%2]}.String())
		settled := before%2 == 1 && p.epoch.Load() == before
		if err != nil {
			t.Errorf("no answer: %v", err)
			return
		}
		if err := rightAnswer(a, colours[n%2]); err != nil {
			t.Error(err)
			return
		}
		p.answers.Add(1)
		if !settled {
			continue
		}
		if a.rule() != colours[colour] {
			t.Errorf("the gate is %s, and yet the answer is from the %s one", colours[colour], a.rule())
			return
		}
		p.checked.Add(1)
	}
}

// rightAnswer is nil for an answer that one of the two policies gives to a token of the colour.
func rightAnswer(a answer, colour string) error {
	want := 403
	if a.rule() == colour {
		want = 200
	}
	if a.status != want || a.rule() != colours[0] && a.rule() != colours[1] {
		return fmt.Errorf("a %s token was answered with %d, %s, rule %q", colour, a.status, a.reason(), a.rule())
	}
	return nil
}

// TestReloadOfMistakes shows what an edit with a mistake closes: nothing where the file cannot be decoded, the one rule
// where it does not compile.
func TestReloadOfMistakes(t *testing.T) {
	p := newPainter(t)
	w, good := p.w, strings.ReplaceAll(testdata(t, "reload.yaml"), "${COLOUR}", "red")
	gate := func() string { return p.reason(t, "/gate") }
	lobby := func() string { return p.reason(t, "/lobby") }

	for name, mistake := range map[string]string{
		"not YAML":              strings.Replace(good, "rules:", "rules: [", 1),
		"a misspelt field":      strings.Replace(good, "require:", "requires:", 1),
		"a field twice":         strings.Replace(good, "hosts: [gate.test]", "hosts: [gate.test]\n  hosts: [other.test]", 1),
		"an unknown kind":       strings.Replace(good, "kind: AuthPolicy", "kind: AuthPolitics", 1),
		"a value of wrong type": strings.Replace(good, "hosts: [gate.test]", "hosts: gate.test", 1),
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.sallyport.Log())
			w.write(t, "gate.yaml", mistake)
			eventually(t, "the log names the file", func() bool { return strings.Contains(w.sallyport.Log()[before:], "gate.yaml") })
			if gate() != "Allowed" || lobby() != "Public" {
				t.Errorf("the gate says %s, the lobby %s: the last good set is not in force", gate(), lobby())
			}
			w.write(t, "gate.yaml", good)
		})
	}
	t.Run("a new file that cannot be decoded", func(t *testing.T) {
		before := len(w.sallyport.Log())
		w.write(t, "more.yaml", "nonsense")
		eventually(t, "the log names the file", func() bool { return strings.Contains(w.sallyport.Log()[before:], "more.yaml") })
		if gate() != "Allowed" {
			t.Errorf("the gate says %s", gate())
		}
		if err := os.Remove(filepath.Join(w.folder, "more.yaml")); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a rule that does not compile", func(t *testing.T) {
		w.write(t, "gate.yaml", strings.Replace(good, `scopes: ["red"]`, `expressions: [{expression: "claims.sub =="}]`, 1))
		eventually(t, "the gate is closed", func() bool { return gate() == "NotCompiled" })
		if lobby() != "Public" {
			t.Errorf("the lobby says %s", lobby())
		}
	})
	t.Run("mended", func(t *testing.T) {
		w.write(t, "gate.yaml", good)
		eventually(t, "the gate is open again", func() bool { return gate() == "Allowed" })
	})
}

// TestReloadOfMissingFiles shows the difference between a folder that cannot be read, and one that holds nothing.
func TestReloadOfMissingFiles(t *testing.T) {
	p := newPainter(t)
	w := p.w
	gate := func() string { return p.reason(t, "/gate") }
	lobby := func() string { return p.reason(t, "/lobby") }
	t.Run("the folder is gone", func(t *testing.T) {
		before := len(w.sallyport.Log())
		away := w.folder + ".away"
		if err := os.Rename(w.folder, away); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the log says so", func() bool { return strings.Contains(w.sallyport.Log()[before:], "cannot be read") })
		if gate() != "Allowed" || lobby() != "Public" {
			t.Errorf("the gate says %s, the lobby %s: the last good set is not in force", gate(), lobby())
		}
		if err := os.Mkdir(w.folder, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(away) })
		p.paint(t, 1, renamed)
		p.settle(t, 1)
	})
	t.Run("removed", func(t *testing.T) {
		if err := os.Remove(filepath.Join(w.folder, "gate.yaml")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "nobody knows the host", func() bool { return gate() == "NoPolicy" && lobby() == "NoPolicy" })
	})
}

func (p *painter) reason(t *testing.T, target string) string {
	t.Helper()
	return do(t, p.address, call{host: "gate.test", target: target, token: p.tokens[0]}).reason()
}
