package docs_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// options are those under which everything that is documented compiles.
var options = policy.Options{OwnNamespace: "sallyport", ClientAddress: policy.ClientAddressPeer, TrustDomain: "cluster.local"}

// compile compiles the objects below a folder, and fails on every problem that refuses something. Problems are shown as
// "sallyport validate" shows them.
func compile(t *testing.T, dir string, opts policy.Options) *policy.Snapshot {
	t.Helper()
	folder, err := controller.NewFolder(controller.FolderConfig{Dirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	listing, err := folder.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	snapshot, report := new(policy.Compiler).Compile(listing.Objects, opts)
	for _, p := range controller.Problems(listing, report) {
		if p.Severity == policy.SeverityError {
			t.Error(p)
		}
	}
	return snapshot
}

// compileText compiles one text.
func compileText(t *testing.T, text string) *policy.Snapshot {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return compile(t, dir, options)
}

func TestExampleManifestsCompile(t *testing.T) {
	// What is in examples compiles without any flag.
	for _, dir := range []string{"examples/policies", "examples/tutorial/policies", "config/samples"} {
		t.Run(dir, func(t *testing.T) {
			if compile(t, filepath.Join(root, dir), policy.Options{}).Stats().Policies == 0 {
				t.Error("there is no policy")
			}
		})
	}
}

func TestEveryKindHasASample(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "config/samples/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".yaml"))
	}
	if want := []string{"authpolicy", "clusteridentityprovider", "identityprovider", "tokenrevocation"}; !slices.Equal(names, want) {
		t.Errorf("samples %q, want %q", names, want)
	}
}

// TestManifestsOfPagesCompile compiles the yaml blocks of each page: its objects together, and each list of rules as
// that of a policy. Other YAML on a page has no block of that kind.
func TestManifestsOfPagesCompile(t *testing.T) {
	for _, page := range pages(t) {
		var objects []string
		for _, b := range blocksOf(t, page) {
			switch {
			case b.info != "yaml":
			case strings.HasPrefix(b.text, "rules:"):
				t.Run(page+"/rules", func(t *testing.T) { compileText(t, policyWith(b.text)) })
			default:
				objects = append(objects, b.text)
			}
		}
		if len(objects) > 0 {
			t.Run(page, func(t *testing.T) { compileText(t, strings.Join(objects, "---\n")) })
		}
	}
}

// policyWith are the rules of a fragment, in a policy for the host example.com that believes one provider.
func policyWith(rules string) string {
	return `apiVersion: sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: id}
spec: {issuer: "https://id.example.com", audiences: [api]}
---
apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: page}
spec:
  hosts: [example.com]
  identityProviders: [{name: id}]
  ` + strings.ReplaceAll(strings.TrimSpace(rules), "\n", "\n  ") + "\n"
}

// TestExampleStories runs the stories in examples, as "sallyport test" does.
func TestExampleStories(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "examples/*/*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no story in examples: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			story, err := controller.ParseStory(file, content)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range story.Run() {
				t.Error(d)
			}
		})
	}
}
