package chart_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// instruction is one of a Dockerfile.
type instruction struct{ word, rest string }

// buildStage are the instructions of the first stage of the Dockerfile, each on one line.
func buildStage(t *testing.T) []instruction {
	t.Helper()
	content, err := os.ReadFile(root + "/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stage, _, found := strings.Cut(string(content), "\nFROM scratch\n")
	if !found {
		t.Fatal("the last stage is not from scratch")
	}
	var out []instruction
	for line := range strings.Lines(strings.ReplaceAll(stage, "\\\n", "")) {
		if word, rest, _ := strings.Cut(strings.TrimSpace(line), " "); word != "" && word != "#" {
			out = append(out, instruction{word, strings.TrimSpace(rest)})
		}
	}
	return out
}

// TestDockerfileHasTheGoOfTheModule: the tag of its base is the release that go.mod asks for.
func TestDockerfileHasTheGoOfTheModule(t *testing.T) {
	module, err := os.ReadFile(root + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	release := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(module))[1]
	if first := buildStage(t)[0]; first.word != "FROM" || !strings.HasSuffix(first.rest, " golang:"+release+" AS build") {
		t.Errorf("%s %s is not from golang:%s", first.word, first.rest, release)
	}
}

// checkDockerfile does what the first stage of the Dockerfile says, without Docker: of the source it has what is copied,
// and nothing else. The modules are there already. It makes the binary that is in the archive, to the byte.
func checkDockerfile(t *testing.T, archive []byte) {
	t.Helper()
	source, out := t.TempDir(), filepath.Join(t.TempDir(), "sallyport")
	ran := 0
	for _, i := range buildStage(t) {
		switch {
		case i.word == "COPY":
			copyInto(t, source, strings.Fields(i.rest))
		case i.word == "RUN" && i.rest != "go mod download":
			if !strings.Contains(i.rest, " -o /sallyport ") {
				t.Fatalf("RUN %s does not build /sallyport", i.rest)
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(i.rest, "/sallyport ", out+" ", 1))
			cmd.Dir = source
			cmd.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH, "VERSION=v1.2.3", "GOFLAGS=-mod=readonly")
			if log, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("RUN %s: %v\n%s", i.rest, err, log)
			}
			ran++
		}
	}
	if ran != 1 {
		t.Fatalf("%d builds", ran)
	}
	built, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if image := binaryOf(t, archive); !bytes.Equal(built, image) {
		t.Errorf("the Dockerfile builds %d bytes that are not the %d of the image: are the flags those of .ko.yaml?", len(built), len(image))
	}
}

// copyInto is COPY, whose last word is where to.
func copyInto(t *testing.T, source string, words []string) {
	t.Helper()
	to := words[len(words)-1]
	for _, from := range words[:len(words)-1] {
		if to == "./" {
			content, err := os.ReadFile(filepath.Join(root, from))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(source, from), content, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.CopyFS(filepath.Join(source, to), os.DirFS(filepath.Join(root, from))); err != nil {
			t.Fatal(err)
		}
	}
}

// binaryOf is the binary in the image of an archive, at the path that the Dockerfile has it at, too.
func binaryOf(t *testing.T, archive []byte) []byte {
	t.Helper()
	for name, blob := range untar(t, archive) {
		zipped, err := gzip.NewReader(bytes.NewReader(blob))
		if !strings.HasPrefix(name, "blobs/") || err != nil {
			continue // no layer
		}
		layer, err := io.ReadAll(zipped)
		if err != nil {
			t.Fatal(err)
		}
		if binary := untar(t, layer)["/ko-app/sallyport"]; binary != nil {
			return binary
		}
	}
	t.Fatal("the image has no /ko-app/sallyport")
	return nil
}
