// Package demo is a small world on one machine: an issuer of tokens, an application, an Envoy and a Sallyport between
// them. "sallyport demo" runs all of it:
//
//	err := demo.Run(ctx, os.Stdout, demo.Options{Envoy: "/usr/local/bin/envoy"})
//
// The tests that need real parts take the parts one by one. Everything listens on loopback only, on ports that the
// system picks, and nothing outlives its Close or Stop. Package demo knows no policy but the one it carries, and
// decides nothing: it sees Sallyport only from outside, as a user does.
package demo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Options are what Run may be told. The zero value is ready.
type Options struct {
	Envoy     string // path of Envoy's binary; "": $SALLYPORT_ENVOY, then envoy on the PATH
	Sallyport string // path of Sallyport's binary; "": the running one
	Stay      bool   // after the requests stay up, print curl lines, and wait for ctx to end
}

// startWithin is how long all parts together may take to be ready: far more than the second that they need.
const startWithin = time.Minute

//go:embed policies/*.yaml
var policies embed.FS

// Run starts the world, sends requests through it and prints a table of what became of them to out. It is an error if
// a verdict is not the expected one or a part does not start or end well. Everything is cleaned up when Run returns.
func Run(ctx context.Context, out io.Writer, options Options) (err error) {
	w := &world{}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.start(ctx, out, options); err != nil {
		return err
	}
	tokens, err := mint(w.issuer)
	if err != nil {
		return err
	}
	if err := w.send(ctx, out, tokens); err != nil || !options.Stay {
		return err
	}
	printCurl(out, w, tokens)
	select {
	case <-ctx.Done():
		return nil
	case <-w.sallyport.Done():
		return fmt.Errorf("sallyport has ended, its log:\n%s", w.sallyport.Log())
	case <-w.envoy.Done():
		return fmt.Errorf("envoy has ended, its log:\n%s", w.envoy.Log())
	}
}

// world is what Run has started so far.
type world struct {
	issuer    *Issuer
	upstream  *Upstream
	sallyport *Sallyport
	envoy     *Envoy
	folder    string // of the policies
}

func (w *world) start(ctx context.Context, out io.Writer, options Options) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	envoyBin, sallyportBin, err := options.binaries()
	if err != nil {
		return err
	}
	if w.issuer, err = StartIssuer(); err != nil {
		return err
	}
	fmt.Fprintf(out, "Issuer     %s\n", w.issuer.URL())
	if w.upstream, err = StartUpstream(); err != nil {
		return err
	}
	fmt.Fprintf(out, "Upstream   http://%s\n", w.upstream.Address())
	if w.folder, err = writePolicies(w.issuer.URL()); err != nil {
		return err
	}
	if w.sallyport, err = StartSallyport(ctx, SallyportConfig{Bin: sallyportBin, From: []string{w.folder}}); err != nil {
		return err
	}
	fmt.Fprintf(out, "Sallyport  %s, policies in %s\n", w.sallyport.GRPCAddress(), w.folder)
	// Paths are left as Envoy leaves them by default, so that the demo shows what Sallyport itself refuses.
	w.envoy, err = StartEnvoy(ctx, EnvoyConfig{
		Bin: envoyBin, Upstream: w.upstream.Address(), ShowDecision: true,
		Authz: AuthzConfig{Address: w.sallyport.GRPCAddress(), Timeout: 2 * time.Second},
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Envoy      http://%s\n\n", w.envoy.Address())
	return nil
}

// close ends the parts, the one in front first.
func (w *world) close() error {
	var errs []error
	if w.envoy != nil {
		errs = append(errs, w.envoy.Stop())
	}
	if w.sallyport != nil {
		errs = append(errs, w.sallyport.Stop())
	}
	if w.upstream != nil {
		errs = append(errs, w.upstream.Close())
	}
	if w.issuer != nil {
		errs = append(errs, w.issuer.Close())
	}
	if w.folder != "" {
		errs = append(errs, os.RemoveAll(w.folder))
	}
	return errors.Join(errs...)
}

func (o Options) binaries() (envoy, sallyport string, err error) {
	envoy, sallyport = o.Envoy, o.Sallyport
	if envoy == "" {
		envoy = os.Getenv("SALLYPORT_ENVOY")
	}
	if envoy == "" {
		if envoy, err = exec.LookPath("envoy"); err != nil {
			return "", "", fmt.Errorf("finding Envoy (name one in SALLYPORT_ENVOY, or run make demo, which installs it): %w", err)
		}
	}
	if sallyport == "" {
		if sallyport, err = os.Executable(); err != nil {
			return "", "", fmt.Errorf("finding Sallyport's binary: %w", err)
		}
	}
	return envoy, sallyport, nil
}

// writePolicies writes the policies of the demo, with issuer filled in, to a new folder.
func writePolicies(issuer string) (folder string, err error) {
	if folder, err = os.MkdirTemp("", "sallyport-policies-"); err != nil {
		return "", fmt.Errorf("writing policies: %w", err)
	}
	files, err := fs.Glob(policies, "policies/*.yaml")
	if err != nil {
		return folder, err
	}
	for _, name := range files {
		content, err := policies.ReadFile(name)
		if err != nil {
			return folder, err
		}
		filled := strings.ReplaceAll(string(content), "${ISSUER}", issuer)
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(name)), []byte(filled), 0o600); err != nil {
			return folder, fmt.Errorf("writing policies: %w", err)
		}
	}
	return folder, nil
}
