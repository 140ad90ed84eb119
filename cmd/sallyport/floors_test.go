package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sallyport/sallyport"

// floors is the drawing of the house: each room, and the rooms that it may import. Tests are free of it, and so are the
// rooms below test and examples, which nobody may import.
var floors = map[string][]string{
	"cmd/sallyport":       {"api/v1alpha1", "cmd/demo", "controller", "extauthz", "extauthz/idp", "extauthz/ledger", "extauthz/policy", "extauthz/revocation", "extauthz/token"},
	"cmd/demo":            {"extauthz/token"},
	"extauthz":            {"api/v1alpha1", "extauthz/policy", "extauthz/token"},
	"controller":          {"api/v1alpha1", "extauthz/policy", "extauthz/revocation", "extauthz/token"},
	"extauthz/policy":     {"api/v1alpha1", "extauthz/token"},
	"extauthz/idp":        {"extauthz/token"},
	"extauthz/ledger":     {"extauthz/token"},
	"extauthz/revocation": {"extauthz/token"},
	"extauthz/token":      {},
	"api/v1alpha1":        {},
}

// speaksHTTP is every room that may import net/http: the HTTP client, the server, the commands.
var speaksHTTP = []string{"extauthz/idp", "extauthz", "cmd/sallyport", "cmd/demo"}

// asksHTTP is every room that may be an HTTP or gRPC client: the provider's keys come through one, and the demo is one.
// Spans leave by OpenTelemetry's exporter, which cmd/sallyport makes.
var asksHTTP = []string{"extauthz/idp", "cmd/demo"}

// pure is every room that has no clock, logger or socket but what it was handed.
var pure = []string{"extauthz/policy", "extauthz/token"}

var (
	// A Config may fall back on time.Now; nothing else may read that clock.
	clocks = []string{
		"time.Now()", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.Tick",
		"time.NewTimer", "time.NewTicker",
	}
	clients = []string{
		"net/http.Client", "net/http.DefaultClient", "net/http.Transport", "net/http.DefaultTransport",
		"net/http.Get", "net/http.Head", "net/http.Post", "net/http.PostForm",
		"crypto/tls.Dial", "crypto/tls.DialWithDialer", "crypto/tls.Dialer",
		"google.golang.org/grpc.NewClient", "google.golang.org/grpc.Dial", "google.golang.org/grpc.DialContext",
	}
	impure = []string{"net", "net/http", "log", "log/slog", "os", "os/exec", "github.com/go-logr/logr"}

	topLevel = []string{
		"api", "bin", "charts", "cmd", "config", "controller", "docs", "examples", "extauthz", "test",
		"CHANGELOG.md", "CONTRIBUTING.md", "Dockerfile", "LICENSE", "Makefile", "NOTICE", "PROJECT", "README.md",
		"SECURITY.md", "go.mod", "go.sum",
	}
	nothingNames = []string{"internal", "pkg", "util", "utils", "common", "types", "helper", "helpers", "misc", "base"}
)

func TestImportsKeepToTheFloors(t *testing.T) {
	for _, p := range listPackages(t) {
		if isFree(p.room) {
			continue
		}
		may, known := floors[p.room]
		if !known {
			t.Errorf("%s is not in the drawing: a new room needs a page in docs/adr and a line in the table", p.room)
			continue
		}
		for _, imported := range p.Imports {
			room, ours := strings.CutPrefix(imported, module+"/")
			if ours && !slices.Contains(may, room) {
				t.Errorf("%s imports %s, which is not on a floor below it", p.room, room)
			}
			if imported == "net/http" && !slices.Contains(speaksHTTP, p.room) {
				t.Errorf("%s imports net/http", p.room)
			}
			if slices.Contains(pure, p.room) && slices.Contains(impure, imported) {
				t.Errorf("%s imports %s, but has no clock, logger or socket of its own", p.room, imported)
			}
		}
	}
}

func TestPureRoomsAreHandedTheirClock(t *testing.T) {
	for _, room := range pure {
		for file, names := range mentions(t, room) {
			for _, name := range names {
				if slices.Contains(clocks, name) {
					t.Errorf("%s mentions %s", file, name)
				}
			}
		}
	}
}

func TestOnlyTheKeyRoomIsAClient(t *testing.T) {
	for room := range floors {
		if slices.Contains(asksHTTP, room) {
			continue
		}
		for file, names := range mentions(t, room) {
			for _, name := range names {
				if slices.Contains(clients, name) {
					t.Errorf("%s mentions %s", file, name)
				}
			}
		}
	}
}

func TestNoFolderIsNamedAfterNothingOrTooDeep(t *testing.T) {
	root := os.DirFS(moduleRoot)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if !strings.Contains(name, "/") && !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) {
			t.Errorf("top level: the house does not know %s", name)
		}
		if entry.IsDir() {
			if name == "bin" || strings.HasPrefix(path.Base(name), ".") || path.Base(name) == "testdata" {
				return fs.SkipDir
			}
			if slices.Contains(nothingNames, path.Base(name)) {
				t.Errorf("%s is named after nothing", name)
			}
			return nil
		}
		if path.Ext(name) == ".go" && !isFree(name) && strings.Count(path.Dir(name), "/") > 1 {
			t.Errorf("%s lies more than two folders deep", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// moduleRoot is where go.mod is, seen from the folder in which go test runs this package.
const moduleRoot = "../.."

// listed is what go list says of a package.
type listed struct {
	ImportPath string
	Imports    []string // of the product files, not the tests
	room       string   // the import path within the module
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", "./...")
	cmd.Dir, cmd.Stderr = moduleRoot, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.room = strings.TrimPrefix(p.ImportPath, module+"/")
		all = append(all, p)
	}
	if len(all) < len(floors) {
		t.Errorf("go list names %d packages, the drawing %d rooms", len(all), len(floors))
	}
	return all
}

// mentions returns, for each product file of a room, what it names of other packages, as "import/path.Name" and, where it
// calls it there, as "import/path.Name()" too.
func mentions(t *testing.T, room string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(moduleRoot, room, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no Go files in %s (%v)", room, err)
	}
	found := map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		found[file] = selectors(parsed)
	}
	return found
}

// selectors returns what file names of its imports. A name that hides an import, such as a
// variable called time, is taken for the import: better a false alarm than none.
func selectors(file *ast.File) []string {
	imports := map[string]string{}
	var names []string
	for _, spec := range file.Imports {
		importPath, _ := strconv.Unquote(spec.Path.Value)
		local := path.Base(importPath)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		imports[local] = importPath
	}
	note := func(n ast.Node, suffix string) {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && imports[x.Name] != "" {
				names = append(names, imports[x.Name]+"."+selector.Sel.Name+suffix)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			note(call.Fun, "()")
		}
		note(n, "")
		return true
	})
	return names
}

// isFree reports whether a room or file belongs to test or examples, which may use anything.
func isFree(name string) bool {
	return strings.HasPrefix(name, "test/") || strings.HasPrefix(name, "examples/") || name == "test" || name == "examples"
}
