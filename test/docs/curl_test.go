package docs_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test's own binary be the curl of the tutorial, when it is called by that name: a machine without
// curl runs the same commands, and every machine the same curl.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "curl" {
		if err := curl(os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "curl:", err)
			os.Exit(7) // what curl itself says of a connection that failed
		}
		return
	}
	os.Exit(m.Run())
}

// curl sends a request, by those options of curl that the tutorial uses; another one is an error.
func curl(args []string, out io.Writer) error {
	method, target, include := http.MethodGet, "", false
	header := http.Header{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "-s" || arg == "--path-as-is": // what this one does anyhow
		case arg == "-i":
			include = true
		case arg == "-I":
			method, include = http.MethodHead, true
		case (arg == "-X" || arg == "-H") && len(args) == 0:
			return fmt.Errorf("nothing behind %s", arg)
		case arg == "-X":
			method, args = args[0], args[1:]
		case arg == "-H":
			name, value, _ := strings.Cut(args[0], ":")
			header.Add(name, strings.TrimSpace(value))
			args = args[1:]
		case strings.HasPrefix(arg, "-") || target != "":
			return fmt.Errorf("%q is not known here", arg)
		default:
			target = arg
		}
	}
	req, err := http.NewRequest(method, target, nil)
	if err != nil {
		return err
	}
	req.Header = header
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	if include {
		fmt.Fprintf(out, "%s %s\n", resp.Proto, resp.Status)
		for name, values := range resp.Header {
			fmt.Fprintf(out, "%s: %s\n", strings.ToLower(name), strings.Join(values, ", "))
		}
		fmt.Fprintln(out)
	}
	_, err = io.Copy(out, resp.Body)
	return errors.Join(err, resp.Body.Close())
}
