package ledger

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
)

// DefaultTimeout of one question to the store: a quarter of the time that Envoy gives a Check by default.
const DefaultTimeout = 50 * time.Millisecond

// Bounds of Config.
const (
	maxTimeout       = 5 * time.Second
	maxPasswordBytes = 4 << 10
	defaultPort      = "6379"
	maxDatabase      = 1<<15 - 1
)

// Config of the connection to the store that replicas share. Only URL is required.
type Config struct {
	// URL of the server: rediss://[user@]host[:port][/database], redis:// without TLS, or unix:///path. valkeys and valkey
	// say the same as rediss and redis. It holds no password.
	URL string
	// PasswordFile holds the password of the user in URL, of "default" where that names none. It is read anew for each
	// connection. Empty for none.
	PasswordFile string
	// CAFile holds the authorities, in PEM, one of which must have issued the server's certificate; empty for the system's.
	CAFile string
	// Timeout of one question; 0 for DefaultTimeout, and at most 5 s.
	Timeout time.Duration
	// Log of the connection; the zero Logger drops it.
	Log logr.Logger
	// OnAnswer is told what became of each question, in one of the words of Results, and how long it took; nil for nobody.
	OnAnswer func(result string, took time.Duration)
	// OnState is told whether the store answers, at first and whenever that changes; nil for nobody.
	OnState func(up bool)
}

// endpoint is a URL, read.
type endpoint struct {
	network, address string
	tls              *tls.Config // nil: none
	user             string
	database         int
}

// complete checks c and fills in its defaults.
func (c *Config) complete() (endpoint, error) {
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Timeout < time.Millisecond || c.Timeout > maxTimeout {
		return endpoint{}, fmt.Errorf("a timeout of %s: must be from 1ms to %s", c.Timeout, maxTimeout)
	}
	if c.OnAnswer == nil {
		c.OnAnswer = func(string, time.Duration) {}
	}
	if c.OnState == nil {
		c.OnState = func(bool) {}
	}
	e, err := parseURL(c.URL)
	if err != nil {
		return endpoint{}, err
	}
	if _, err := c.password(); err != nil {
		return endpoint{}, err
	}
	if c.CAFile == "" {
		return e, nil
	}
	if e.tls == nil {
		return endpoint{}, errors.New("authorities go with TLS: write rediss:// in place of redis://")
	}
	e.tls.RootCAs, err = readAuthorities(c.CAFile)
	return e, err
}

// parseURL reads the URL of a store. The error shows nothing of a password.
func parseURL(s string) (endpoint, error) {
	u, err := url.Parse(s)
	if err != nil {
		return endpoint{}, errors.New("no URL such as rediss://valkey.infra:6379/0")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
		return endpoint{}, errors.New("the URL of a store has a host and a database, and no query or fragment")
	}
	if _, has := u.User.Password(); has {
		return endpoint{}, errors.New("the URL holds a password, which others on the machine could read: put it into a file")
	}
	e := endpoint{network: "tcp", user: u.User.Username()}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return endpoint{}, errors.New("a socket is written unix:///path")
		}
		e.network, e.address = "unix", u.Path
		return e, nil
	case "redis", "valkey":
	case "rediss", "valkeys":
		e.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	default:
		return endpoint{}, errors.New("the scheme must be rediss, or redis without TLS, or unix; valkeys and valkey say the same")
	}
	if u.Hostname() == "" {
		return endpoint{}, errors.New("the URL names no host")
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	e.address = net.JoinHostPort(u.Hostname(), port)
	if path := strings.TrimPrefix(u.Path, "/"); path != "" {
		e.database, err = strconv.Atoi(path)
		if err != nil || e.database < 0 || e.database > maxDatabase || strconv.Itoa(e.database) != path {
			return endpoint{}, errors.New("the path of the URL must be the number of a database")
		}
	}
	return e, nil
}

// password reads the password, without the line end behind it.
func (c *Config) password() (string, error) {
	if c.PasswordFile == "" {
		return "", nil
	}
	data, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("reading the password of the store: %w", err)
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" || len(password) > maxPasswordBytes || strings.ContainsAny(password, "\r\n") {
		return "", fmt.Errorf("the password in %q must be one line of at most 4 KiB", c.PasswordFile)
	}
	return password, nil
}

func readAuthorities(name string) (*x509.CertPool, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the authorities of the store: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%q holds no certificate in PEM", name)
	}
	return pool, nil
}
