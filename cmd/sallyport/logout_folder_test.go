package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

// logoutWorld is a state folder, and what was read from it.
type logoutWorld struct {
	dir   string
	now   time.Time
	added []string
}

func (w *logoutWorld) open() (*logoutFolder, error) {
	w.added = nil
	return openLogoutFolder(w.dir, func() time.Time { return w.now }, func(list []token.Revocation, _ time.Time) {
		for _, r := range list {
			w.added = append(w.added, r.Value)
		}
	})
}

func leaving(session string, ends time.Time) token.Revocation {
	return token.Revocation{Scope: token.RevocationScope{Issuer: "https://id.example.com"}, By: token.RevokedBySession, Value: session, Expires: ends}
}

func TestLogoutsOutliveTheProcess(t *testing.T) {
	w := &logoutWorld{dir: filepath.Join(t.TempDir(), "state"), now: time.Unix(1_800_000_000, 0)}
	f, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]token.Revocation{
		{leaving("s1", w.now.Add(time.Minute)), leaving("s2", w.now.Add(time.Hour))},
		{leaving("s3", w.now.Add(time.Hour))},
	} {
		if err := f.Write(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(w.added, " "); got != "s1 s2 s3" {
		t.Errorf("acts on %q at once", got)
	}
	// Not closed: it was killed, in the middle of a line.
	file, err := os.OpenFile(f.name(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"iss":"https://id.exam`); err != nil {
		t.Fatal(err)
	}
	file.Close()
	w.now = w.now.Add(2 * time.Minute)
	again, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	if got := strings.Join(w.added, " "); got != "s2 s3" {
		t.Errorf("reads %q, want what has not ended", got)
	}
	data, err := os.ReadFile(again.name())
	if err != nil || strings.Count(string(data), "\n") != 2 || strings.Contains(string(data), "s1") {
		t.Errorf("the file is (%v)\n%s", err, data)
	}
	again.close()
	if err := again.Write(t.Context(), []token.Revocation{leaving("s4", w.now)}); err == nil {
		t.Error("writes into a closed file")
	}
}

// TestDamagedLogoutsAreNoStart: whoever was named there would be let in.
func TestDamagedLogoutsAreNoStart(t *testing.T) {
	whole := leaving("s1", time.Unix(1_900_000_000, 0))
	line := string(whole.Encode()) + "\n"
	for name, content := range map[string]string{
		"garbage": line + "x\n" + line, "an empty line": "\n", "half of a line in the middle": line[:20] + "\n" + line,
		"a field of another version": `{"iss":"a","sid":"b","aud":"c"}` + "\n",
	} {
		w := &logoutWorld{dir: t.TempDir(), now: time.Unix(1_800_000_000, 0)}
		if err := os.WriteFile(filepath.Join(w.dir, logoutFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(w.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := w.open(); err == nil || !strings.Contains(err.Error(), logoutFile+":") {
			t.Errorf("%s: %v, want an error that names the line", name, err)
		}
	}
}

func TestLogoutsOfOthersAreNoStart(t *testing.T) {
	w := &logoutWorld{dir: t.TempDir(), now: time.Unix(1_800_000_000, 0)}
	name := filepath.Join(w.dir, logoutFile)
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{name, w.dir} {
		if err := os.Chmod(name, 0o722); err != nil {
			t.Fatal(err)
		}
		if _, err := w.open(); err == nil {
			t.Errorf("others may write %s", name)
		}
		if err := os.Chmod(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAFileOfLogoutsDoesNotGrowForEver: what has ended leaves it.
func TestAFileOfLogoutsDoesNotGrowForEver(t *testing.T) {
	w := &logoutWorld{dir: filepath.Join(t.TempDir(), "state"), now: time.Unix(1_800_000_000, 0)}
	f, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	var list []token.Revocation
	for i := range 2000 {
		list = append(list, leaving(fmt.Sprint("s", i, strings.Repeat("x", 500)), w.now.Add(time.Minute)))
	}
	for range 2 {
		if err := f.Write(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	if f.size < logoutGrowth {
		t.Fatalf("%d bytes are too few for this test", f.size)
	}
	w.now = w.now.Add(time.Hour)
	if err := f.Write(t.Context(), []token.Revocation{leaving("last", w.now.Add(time.Minute))}); err != nil {
		t.Fatal(err)
	}
	if err := f.prune(); err != nil || f.size > 200 {
		t.Errorf("%d bytes, %v", f.size, err)
	}
	if _, err := w.open(); err != nil || strings.Join(w.added, " ") != "last" {
		t.Errorf("reads %q, %v", w.added, err)
	}
}
