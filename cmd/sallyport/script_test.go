package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sallyport/sallyport/extauthz/policy"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sallyport": main})
}

// TestScripts runs the command line as a user does. Beside the commands of testscript there are
//
//	await SOCKET PATH STATUS [text]   until the admin port answers so
//	ask SOCKET METHOD URL allow|deny  until a Check has this answer
//	status CODE ARGUMENT…             runs sallyport, which must end with this code
//	terminate                         sends SIGTERM to what runs in the background
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":  await,
			"ask":    ask,
			"status": status, "terminate": terminate,
		},
	})
}

func status(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("sallyport", args[1:]...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func terminate(ts *testscript.TestScript, _ bool, _ []string) {
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

// until tries something until it is so, for at most 30 seconds.
func until(ts *testscript.TestScript, try func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("waited in vain: %v", err)
		}
	}
}

func await(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: await SOCKET PATH STATUS [text]")
	}
	socket := ts.MkAbs(args[0])
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	text := strings.Join(args[3:], " ")
	until(ts, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin"+args[1], nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || strconv.Itoa(resp.StatusCode) != args[2] || !strings.Contains(string(body), text) {
			return fmt.Errorf("%s %s (%w)", resp.Status, body, err)
		}
		return nil
	})
}

func ask(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: ask SOCKET METHOD URL allow|deny")
	}
	conn, err := grpc.NewClient("unix://"+ts.MkAbs(args[0]), grpc.WithTransportCredentials(insecure.NewCredentials()))
	ts.Check(err)
	defer conn.Close()
	_, rest, _ := strings.Cut(args[2], "://")
	host, path, _ := strings.Cut(rest, "/")
	req := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: args[1], Host: host, Path: "/" + path, Scheme: "https"},
	}}}
	until(ts, func(ctx context.Context) error {
		resp, err := authv3.NewAuthorizationClient(conn).Check(ctx, req)
		if err != nil {
			return err
		}
		if got := resp.GetStatus().GetCode() == 0; got != (args[3] == "allow") {
			return fmt.Errorf("got %v", resp)
		}
		return nil
	})
}

func TestEveryReasonHasASentence(t *testing.T) {
	for _, r := range policy.Reasons() {
		if why(r) == "" {
			t.Errorf("%s has none", r)
		}
	}
}
