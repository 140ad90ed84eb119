package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Envoy is a running Envoy process. Safe for concurrent use.
type Envoy struct {
	process *process
	folder  string // of its configuration
	admin   string // host:port
	address string
}

// StartEnvoy starts an Envoy and returns once it is ready. ctx bounds the start only; Stop ends the process.
func StartEnvoy(ctx context.Context, config EnvoyConfig) (*Envoy, error) {
	folder, err := os.MkdirTemp("", "sallyport-envoy-")
	if err != nil {
		return nil, fmt.Errorf("starting Envoy: %w", err)
	}
	e := &Envoy{folder: folder}
	if err := e.start(ctx, config); err != nil {
		_ = e.Stop() // err says already why the process ended badly
		return nil, err
	}
	return e, nil
}

func (e *Envoy) start(ctx context.Context, config EnvoyConfig) error {
	bootstrap, err := config.YAML()
	if err != nil {
		return err
	}
	if err := os.WriteFile(e.ConfigFile(), bootstrap, 0o600); err != nil {
		return fmt.Errorf("starting Envoy: %w", err)
	}
	adminFile := filepath.Join(e.folder, "admin-address")
	e.process, err = startProcess("Envoy", config.Bin, "--config-path", e.ConfigFile(),
		"--admin-address-path", adminFile, "--concurrency", strconv.Itoa(max(1, config.Concurrency)),
		"--disable-hot-restart", "--log-level", "warning")
	if err != nil {
		return err
	}
	return e.process.await(ctx, func() error {
		admin, err := os.ReadFile(adminFile)
		if err != nil {
			return err
		}
		e.admin = string(admin)
		if err := answersOK(ctx, e.AdminURL()+"/ready"); err != nil {
			return err
		}
		e.address, err = e.listenerAddress(ctx)
		return err
	})
}

// listenerAddress asks Envoy which port it was given.
func (e *Envoy) listenerAddress(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.AdminURL()+"/listeners?format=json", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var listeners struct {
		Statuses []struct {
			Local struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&listeners); err != nil {
		return "", fmt.Errorf("reading Envoy's listeners: %w", err)
	}
	if len(listeners.Statuses) != 1 || listeners.Statuses[0].Local.Socket.Port == 0 {
		return "", errors.New("the listener has no port yet")
	}
	socket := listeners.Statuses[0].Local.Socket
	return net.JoinHostPort(socket.Address, strconv.Itoa(socket.Port)), nil
}

// Address is the host and port of the listener.
func (e *Envoy) Address() string { return e.address }

// AdminURL is Envoy's admin interface, without a final slash.
func (e *Envoy) AdminURL() string { return "http://" + e.admin }

// ConfigFile is the path of the configuration that Envoy was started with; Stop removes it.
func (e *Envoy) ConfigFile() string { return filepath.Join(e.folder, "envoy.yaml") }

// Log is what Envoy has written so far, at level warning.
func (e *Envoy) Log() string { return e.process.log.String() }

// Done is closed when the process has ended, asked for or not.
func (e *Envoy) Done() <-chan struct{} { return e.process.done }

// Stop ends the process and removes its files. An Envoy that crashed or had to be killed is an error.
func (e *Envoy) Stop() error {
	var err error
	if e.process != nil {
		err = e.process.stop(10 * time.Second)
	}
	return errors.Join(err, os.RemoveAll(e.folder))
}
