package controller

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	yamlv3 "go.yaml.in/yaml/v3"
)

// parsed is what the parser of all of YAML makes of content.
func parsed(content []byte) (docs []*yamlv3.Node, err error) {
	reader := yamlv3.NewDecoder(bytes.NewReader(content))
	for {
		var doc yamlv3.Node
		switch err := reader.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return nil, err
		}
		docs = append(docs, root(&doc))
	}
}

// differ says in what two nodes differ, of all that is read of a node; empty for nothing.
func differ(a, b *yamlv3.Node) string {
	if a == nil || b == nil {
		return map[bool]string{true: "", false: "one is empty"}[a == b]
	}
	if a.Kind != b.Kind || a.Style != b.Style || a.Value != b.Value || a.Line != b.Line || a.ShortTag() != b.ShortTag() ||
		a.Alias != b.Alias || a.Anchor != b.Anchor || len(a.Content) != len(b.Content) {
		return fmt.Sprintf("line %d, %d, %q of style %d and line %d, %d, %q of style %d", a.Line, a.Kind, a.Value, a.Style, b.Line, b.Kind, b.Value, b.Style)
	}
	for i := range a.Content {
		if d := differ(a.Content[i], b.Content[i]); d != "" {
			return d
		}
	}
	return ""
}

// readsAlike fails where the plain reader takes content and the parser reads it in another way, or not at all.
func readsAlike(t *testing.T, content []byte) (taken bool) {
	t.Helper()
	docs, ok := parsePlain(content)
	if !ok {
		return false
	}
	want, err := parsed(content)
	if err != nil {
		t.Fatalf("%q is taken, and not YAML: %v", content, err)
	}
	if len(want) != len(docs) {
		t.Fatalf("%q: %d documents, want %d", content, len(docs), len(want))
	}
	for i := range docs {
		if d := differ(docs[i], want[i]); d != "" {
			t.Fatalf("%q: document %d: %s", content, i, d)
		}
	}
	return true
}

// plainSeeds are what people write, and what stands at its edges.
var plainSeeds = []string{
	policyWith("    require:\n      scopes: [orders.read]\n"),
	"a: b\n---\nc: {d: e, f: [g, {h: 'i'}], j: []}\nk: {}\n",
	"a:\n- b\n- c: d\n  e:\n  - f\n  - g: {h: i}\nj: \"k\" # l\n# m\nn: 'o'#p\n",
	"a: b # c\nd: e#f\ng: # h\n  i: j\n\n\nk: -1\nl: --m\nn: 1.5\no: ~\np: <<\n<<: q\n",
	"a:\n  b: c\n d: e\n", "a: b\n  c\n", "a:\n  - b\n - c\n", "a: b: c\n", "a: [b, c\n", "a: [b: c]\n", "a: {b}\n", "a: {b:c}\n", "a: {b: c:}\n", "a: [b,]\n",
	"a: [b?, c]\n", "a: [-, b]\n", "a: - b\n", "- a\n", "a: |\n  b\n", "a: &x b\nc: *x\n", "a: 'b''c'\n", "a: \"b\\n\"\n", "a: \"b\n  c\"\n", "a: b\tc\n", "a:\n",
	"? a\n: b\n", "a: ?b\n", "a: !!str b\n", "---\n---\na: b\n", "--- a\n", "a: b\n...\n", "\"a\": b\n\"c\":d\n", "a : b\n", "a:: b\n", "a: b:\n", "a: http://b:80/c\n",
	"a: {b: c}: d\n", "a: [b] c\n", "a: {b: c} # d\n", "a: {b: c}# d\n", "- - a\n", "a:\n  -\n    b\n", "a:\n  - b: c\n    d: e\n   f: g\n", "a: b, c\n", "a: [b c, d  e ]\n",
	"a: {b: \"c\", \"d\": e}\n", "a: {b : c}\n", "a:\n    b:\n    - c\n    d: e\n", "a: %b\n", "%a: b\n", "a: b%c@d!e\n", "a: [b#c]\n", "a: [b #c]\n", "é: b\n", "a: b\r\n", "# only\n", "",
	" a: b\n", "a:\n  - {b: c}\n  - [d]\n  - 'e'\n  - \"f\": g\n", "a: {b: {c: {d: [[[]]]}}}\n", "a: on\nb: 0777\nc: 1e3\nd: 2001-01-01\n", "a: -b\nc: - \n",
	"a" + strings.Repeat(" ", 2000) + ": b\n", strings.Repeat("a", 2000) + ": b\n", "a: [" + strings.Repeat("b, ", 1000) + "c]\n",
}

func TestPlainReadsAlike(t *testing.T) {
	for _, seed := range plainSeeds {
		readsAlike(t, []byte(seed))
		readsAlike(t, []byte(strings.TrimSuffix(seed, "\n")))
	}
}

// TestPlainTakesWhatPeopleWrite: of the manifests in this repository it takes most, or it would not be worth its lines.
func TestPlainTakesWhatPeopleWrite(t *testing.T) {
	taken, all := 0, 0
	for _, dir := range []string{"../config", "../examples", "../extauthz/policy/testdata"} {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !isYAML(path) && filepath.Ext(path) != ".txtar" {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(content, []byte("kind: AuthPolicy\n")) {
				return err
			}
			for _, text := range [][]byte{content, content[bytes.Index(content, []byte("apiVersion:")):]} {
				text, _, _ = bytes.Cut(text, []byte("\n-- ")) // the next file of a story
				all++
				if readsAlike(t, append(text, '\n')) {
					taken++
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if t.Logf("%d of %d", taken, all); taken*4 < all {
		t.Errorf("of %d texts it takes %d", all, taken)
	}
}

// TestPlainReadsMutantsAlike is FuzzPlain with changes that are made of what YAML is made of, the same each time.
func TestPlainReadsMutantsAlike(t *testing.T) {
	pieces := strings.Fields("a b : - [ ] { } , # ' ? | > & * ! % @ ` ~ --- ... << null = 0 -1 \\ \"")
	pieces = append(pieces, " ", "  ", "\n", "\n\n", "\n  ", "\n    ", "\n- ", ": ", "- ", ", ", " #", "---\n")
	tries := 60_000
	if testing.Short() {
		tries /= 10
	}
	rng, taken := rand.New(rand.NewPCG(1, 2)), 0
	for range tries {
		text := plainSeeds[rng.IntN(len(plainSeeds))]
		text = text[:min(len(text), 600)]
		for range 1 + rng.IntN(4) {
			from := rng.IntN(len(text) + 1)
			to, piece := from, pieces[rng.IntN(len(pieces))]
			switch rng.IntN(4) {
			case 0:
				to, piece = min(len(text), from+1+rng.IntN(3)), ""
			case 1:
				to = min(len(text), from+1)
			case 2:
				piece = text[from:min(len(text), from+rng.IntN(20))]
			}
			text = text[:from] + piece + text[to:]
		}
		if readsAlike(t, []byte(text)) {
			taken++
		}
	}
	if t.Logf("%d of %d", taken, tries); taken*100 < tries {
		t.Errorf("of %d texts it takes %d", tries, taken)
	}
}

// FuzzPlain's law: what the plain reader takes, the parser of all of YAML reads in the same way, to the line.
func FuzzPlain(f *testing.F) {
	for _, seed := range plainSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) { readsAlike(t, content) })
}
