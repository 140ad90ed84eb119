package ledger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	for _, tc := range []struct {
		name, url string
		want      endpoint // of tls only whether it is there
		tls       bool
		wrong     bool
	}{
		{"TLS", "rediss://valkey.infra:6380/3", endpoint{network: "tcp", address: "valkey.infra:6380", database: 3}, true, false},
		{"by its other name", "valkeys://valkey.infra", endpoint{network: "tcp", address: "valkey.infra:6379"}, true, false},
		{"a user", "rediss://sallyport@valkey.infra/0", endpoint{network: "tcp", address: "valkey.infra:6379", user: "sallyport"}, true, false},
		{"without TLS", "redis://10.0.0.7", endpoint{network: "tcp", address: "10.0.0.7:6379"}, false, false},
		{"by its other name, without TLS", "valkey://[::1]:7000/", endpoint{network: "tcp", address: "[::1]:7000"}, false, false},
		{"a socket", "unix:///run/valkey.sock", endpoint{network: "unix", address: "/run/valkey.sock"}, false, false},
		{"nothing", "", endpoint{}, false, true},
		{"a password", "rediss://sallyport:hunter2@valkey.infra", endpoint{}, false, true},
		{"an empty password", "rediss://sallyport:@valkey.infra", endpoint{}, false, true},
		{"no scheme", "valkey.infra:6379", endpoint{}, false, true},
		{"another scheme", "https://valkey.infra", endpoint{}, false, true},
		{"no host", "rediss:///0", endpoint{}, false, true},
		{"a database by name", "rediss://valkey.infra/zero", endpoint{}, false, true},
		{"a database below zero", "rediss://valkey.infra/-1", endpoint{}, false, true},
		{"a database too many", "rediss://valkey.infra/99999", endpoint{}, false, true},
		{"a database in two spellings", "rediss://valkey.infra/01", endpoint{}, false, true},
		{"a query", "rediss://valkey.infra/0?db=1", endpoint{}, false, true},
		{"a fragment", "rediss://valkey.infra/0#1", endpoint{}, false, true},
		{"a socket on a host", "unix://host/run/valkey.sock", endpoint{}, false, true},
		{"controls", "rediss://valkey.infra/\n", endpoint{}, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parseURL(tc.url)
			if (err != nil) != tc.wrong {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				if strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the error shows the password: %v", err)
				}
				return
			}
			hasTLS := got.tls != nil
			got.tls = nil
			if got != tc.want || hasTLS != tc.tls {
				t.Errorf("%+v, TLS %t", got, hasTLS)
			}
		})
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tc := range []struct {
		name string
		cfg  Config
	}{
		{"no URL", Config{}},
		{"no time", Config{URL: "redis://a", Timeout: time.Microsecond}},
		{"too much time", Config{URL: "redis://a", Timeout: time.Minute}},
		{"no password file", Config{URL: "redis://a", PasswordFile: filepath.Join(dir, "none")}},
		{"an empty password", Config{URL: "redis://a", PasswordFile: file("empty", "\n")}},
		{"a password of two lines", Config{URL: "redis://a", PasswordFile: file("two", "a\nb\n")}},
		{"authorities without TLS", Config{URL: "redis://a", CAFile: file("ca", "x")}},
		{"authorities that are none", Config{URL: "rediss://a", CAFile: file("ca", "x")}},
		{"no file of authorities", Config{URL: "rediss://a", CAFile: filepath.Join(dir, "none")}},
	} {
		if _, err := Open(tc.cfg); err == nil {
			t.Errorf("%s: no error", tc.name)
		}
	}
	s, err := Open(Config{URL: "rediss://a/1", PasswordFile: file("password", "secret\r\n")})
	if err != nil {
		t.Fatal(err)
	}
	if password, err := s.cfg.password(); password != "secret" || err != nil {
		t.Errorf("password %q, %v", password, err)
	}
}
