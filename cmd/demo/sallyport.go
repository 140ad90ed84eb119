package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// SallyportConfig is how a Sallyport process is run.
type SallyportConfig struct {
	Bin         string   // path of the binary
	From        []string // folders of policies
	GRPCAddress string   // host:port, or unix:///path; "": a free loopback port
	Args        []string // more flags of serve
}

// Sallyport is a running "sallyport serve". Safe for concurrent use.
type Sallyport struct {
	process     *process
	grpc, admin string
}

// maxStarts bounds the starts that find a port taken: one that was free a moment ago may be somebody's by now.
const maxStarts = 5

// StartSallyport starts a Sallyport and returns once it is ready. ctx bounds the start only; Stop ends the process.
func StartSallyport(ctx context.Context, config SallyportConfig) (*Sallyport, error) {
	for start := 1; ; start++ {
		s := &Sallyport{grpc: config.GRPCAddress}
		err := s.start(ctx, config)
		if err == nil {
			return s, nil
		}
		if s.process == nil {
			return nil, err
		}
		if err := errors.Join(err, s.Kill()); start == maxStarts || !strings.Contains(s.Log(), "address already in use") {
			return nil, err
		}
	}
}

func (s *Sallyport) start(ctx context.Context, config SallyportConfig) (err error) {
	if s.grpc == "" {
		if s.grpc, err = freeAddress(); err != nil {
			return fmt.Errorf("starting Sallyport: %w", err)
		}
	}
	if s.admin, err = freeAddress(); err != nil {
		return fmt.Errorf("starting Sallyport: %w", err)
	}
	// No proxy but ours has to learn that it leaves.
	args := []string{"serve", "--grpc-address", s.grpc, "--admin-address", s.admin, "--drain-delay", "0s"}
	for _, folder := range config.From {
		args = append(args, "--from", folder)
	}
	if s.process, err = startProcess("Sallyport", config.Bin, append(args, config.Args...)...); err != nil {
		return err
	}
	return s.process.await(ctx, func() error { return answersOK(ctx, s.AdminURL()+"/readyz") })
}

// GRPCAddress is where Envoy asks: host:port or unix:///path.
func (s *Sallyport) GRPCAddress() string { return s.grpc }

// AdminURL is where /healthz, /readyz and /metrics are, without a final slash.
func (s *Sallyport) AdminURL() string { return "http://" + s.admin }

// Log is what Sallyport has written so far.
func (s *Sallyport) Log() string { return s.process.log.String() }

// Done is closed when the process has ended, asked for or not.
func (s *Sallyport) Done() <-chan struct{} { return s.process.done }

// Stop lets Sallyport drain and end. One that ends with another exit code than 0, or not within a minute, is an error.
func (s *Sallyport) Stop() error { return s.process.stop(time.Minute) }

// Kill ends the process at once, as a crash would.
func (s *Sallyport) Kill() error {
	err := s.process.cmd.Process.Kill()
	<-s.process.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// freeAddress is a loopback port that was free a moment ago.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
