package chart_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTwoBuildsOfTheImageAreOne builds the image twice, from two copies of the source with caches of their own, and compares
// the archives byte by byte; and what is in them with what the Dockerfile says.
func TestTwoBuildsOfTheImageAreOne(t *testing.T) {
	ko := os.Getenv("SALLYPORT_KO")
	if ko == "" {
		t.Skip("SALLYPORT_KO names no ko; make test does")
	}
	var archives [2][]byte
	for i := range archives {
		archives[i] = buildImage(t, ko)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Errorf("two builds differ: %d and %d bytes", len(archives[0]), len(archives[1]))
	}
	checkImage(t, archives[0])
	checkDockerfile(t, archives[0])
}

// buildImage builds from a copy of the source and returns the archive.
func buildImage(t *testing.T, ko string) []byte {
	t.Helper()
	source := t.TempDir()
	for _, name := range []string{"api", "cmd", "controller", "extauthz", ".ko"} {
		if err := os.CopyFS(filepath.Join(source, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum", ".ko.yaml"} {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(source, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "image.tar")
	cmd := exec.CommandContext(t.Context(), filepath.Join(source, ".ko/image"), out, "linux/"+runtime.GOARCH)
	cmd.Env = append(os.Environ(), "KO="+ko, "VERSION=v1.2.3", "SOURCE_DATE_EPOCH=1700000000")
	if log, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	archive, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// settings are those of a container that runs the image.
type settings struct {
	Entrypoint, Env []string
	Labels          map[string]string
	User            string
	WorkingDir      string
	ExposedPorts    map[string]struct{}
}

// checkImage holds the image against what the chart's pods need and the Dockerfile says.
func checkImage(t *testing.T, archive []byte) {
	t.Helper()
	files := untar(t, archive)
	type descriptor struct{ Digest string }
	blob := func(d descriptor) []byte { return files["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")] }
	var index struct{ Manifests []descriptor }
	unmarshal(t, files["index.json"], &index)
	if len(index.Manifests) != 1 {
		t.Fatalf("the archive has %d images", len(index.Manifests))
	}
	var manifest struct{ Config descriptor }
	unmarshal(t, blob(index.Manifests[0]), &manifest)
	var image struct {
		Architecture, OS, Created string
		Config                    settings
	}
	unmarshal(t, blob(manifest.Config), &image)
	if image.Architecture != runtime.GOARCH || image.OS != "linux" || image.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("%s/%s, created %s", image.OS, image.Architecture, image.Created)
	}
	image.Config.Env = nil // ko's own, which nobody reads
	if diff := cmp.Diff(dockerfile(t), image.Config); diff != "" {
		t.Errorf("settings (-Dockerfile +ko):\n%s", diff)
	}
}

// dockerfile reads the settings out of the last stage of the Dockerfile.
func dockerfile(t *testing.T) settings {
	t.Helper()
	content, err := os.ReadFile(root + "/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, stage, found := strings.Cut(string(content), "FROM scratch")
	if !found {
		t.Fatal("the last stage is not from scratch")
	}
	word := func(instruction string) string {
		return regexp.MustCompile(`(?m)^` + instruction + ` (.+)$`).FindStringSubmatch(stage)[1]
	}
	s := settings{User: word("USER"), WorkingDir: word("WORKDIR"), Labels: map[string]string{}, ExposedPorts: map[string]struct{}{}}
	unmarshal(t, []byte(word("ENTRYPOINT")), &s.Entrypoint)
	for _, port := range strings.Fields(word("EXPOSE")) {
		s.ExposedPorts[port+"/tcp"] = struct{}{}
	}
	for _, m := range regexp.MustCompile(`(org\.opencontainers\.[a-z.]+)="([^"]*)"`).FindAllStringSubmatch(stage, -1) {
		s.Labels[m[1]] = strings.ReplaceAll(m[2], "$VERSION", "v1.2.3")
	}
	return s
}

func unmarshal(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%v in %q", err, data)
	}
}

func untar(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[strings.TrimPrefix(header.Name, "./")], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBinaryBringsItsRootCertificates: the image has no file of them.
func TestBinaryBringsItsRootCertificates(t *testing.T) {
	const roots = "golang.org/x/crypto/x509roots/fallback"
	out, err := exec.CommandContext(t.Context(), "go", "version", "-m", sallyport(t)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), roots) {
		t.Errorf("the binary is built without %s, so providers with public certificates cannot be reached from the image", roots)
	}
}
