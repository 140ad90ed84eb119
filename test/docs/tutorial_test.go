package docs_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	tutorialPage = "docs/tutorial.md"
	// tutorialTime bounds the whole; it takes some seconds.
	tutorialTime = 2 * time.Minute
	// patience is how long a block may take until it says what the page says: an edit is in force within a second.
	patience = 15 * time.Second
)

// TestTutorial runs the sh blocks of the page in their order. Those marked background go on running. Behind a block with
// a text block, each line of that must be in what the commands said; they are run again until it is, since the page
// tells the reader to wait where there is something to wait for.
func TestTutorial(t *testing.T) {
	world := newTutorial(t, sallyportBinary(t), envoyBinary(t))
	blocks := blocksOf(t, tutorialPage)
	ran := 0
	for i, b := range blocks {
		var want []string
		if i+1 < len(blocks) && blocks[i+1].info == "text" {
			want = strings.Split(strings.TrimRight(blocks[i+1].text, "\n"), "\n")
		}
		switch b.info {
		case "sh":
			world.run(t, b, want)
			ran++
		case "sh background":
			world.start(t, b)
		}
	}
	if ran < 8 {
		t.Errorf("the page has only %d blocks of commands", ran)
	}
}

// tutorial is the reader's machine.
type tutorial struct {
	ctx   context.Context
	dir   string // in which commands run; a command may change it
	after string // file in which a block leaves where it went
	env   []string
	ports *strings.Replacer // the page's ports, replaced by free ones
	grpc  string
	admin string
	edge  string
}

// newTutorial copies examples, with ports that are free, and puts the binaries on the PATH.
func newTutorial(t *testing.T, sallyport, envoy string) *tutorial {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), tutorialTime)
	t.Cleanup(cancel)
	home := t.TempDir()
	w := &tutorial{
		ctx: ctx, dir: filepath.Join(home, "sallyport"), after: filepath.Join(home, "after"),
		grpc: freePort(t), admin: freePort(t), edge: freePort(t),
	}
	w.ports = strings.NewReplacer("10000", w.edge, "9001", w.grpc)
	w.env = append(os.Environ(), "PATH="+w.binaries(t, home, sallyport, envoy)+string(os.PathListSeparator)+os.Getenv("PATH"),
		"GORACE=atexit_sleep_ms=0", // curl is this binary: with the race detector it would wait a second at each end
		"SALLYPORT_GRPC_ADDRESS=127.0.0.1:"+w.grpc, "SALLYPORT_ADMIN_ADDRESS=127.0.0.1:"+w.admin)
	source := filepath.Join(root, "examples")
	if err := os.CopyFS(filepath.Join(w.dir, "examples"), os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(w.dir, "examples/tutorial/envoy.yaml")
	if err := os.WriteFile(config, []byte(w.ports.Replace(readExample(t, "tutorial/envoy.yaml"))), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// binaries is a folder with sallyport, envoy and curl.
func (w *tutorial) binaries(t *testing.T, home, sallyport, envoy string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"sallyport": sallyport, "envoy": envoy, "curl": self} {
		path, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// run runs the commands of a block until they say every line of want.
func (w *tutorial) run(t *testing.T, b block, want []string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		out, err := w.sh(b.text)
		missing := slices.DeleteFunc(slices.Clone(want), func(line string) bool {
			return slices.Contains(strings.Split(out, "\n"), line)
		})
		if err == nil && len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s:%d: %v\n%s\nsaid:\n%s\nbut not the lines %q", tutorialPage, b.line, err, b.text, out, missing)
		}
	}
}

// sh runs commands in the reader's folder, and stays where they went.
func (w *tutorial) sh(commands string) (string, error) {
	script := w.ports.Replace(commands) + "\npwd > '" + w.after + "'\n"
	cmd := exec.CommandContext(w.ctx, "sh", "-e", "-c", script)
	cmd.Dir, cmd.Env = w.dir, w.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), err
	}
	dir, err := os.ReadFile(w.after)
	if err != nil {
		return string(out), err
	}
	w.dir = strings.TrimSpace(string(dir))
	return strings.ReplaceAll(string(out), "\r", ""), nil
}

// start runs the command of a block until the test ends, and returns once it takes requests.
func (w *tutorial) start(t *testing.T, b block) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "exec "+w.ports.Replace(b.text))
	cmd.Dir, cmd.Env = w.dir, w.env
	ready := listening("127.0.0.1:" + w.edge)
	if strings.Contains(b.text, "sallyport") {
		ready = answering("http://127.0.0.1:" + w.admin + "/readyz")
	}
	startProcess(w.ctx, t, cmd, ready)
}
