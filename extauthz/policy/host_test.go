package policy

import (
	"strings"
	"testing"
)

func TestNormalizeHost(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		bad            bool
	}{
		{name: "plain", in: "orders.example.com", want: "orders.example.com"},
		{name: "upper case", in: "Orders.EXAMPLE.com", want: "orders.example.com"},
		{name: "port", in: "orders.example.com:8443", want: "orders.example.com"},
		{name: "final dot", in: "orders.example.com.", want: "orders.example.com"},
		{name: "final dot and port", in: "orders.example.com.:80", want: "orders.example.com"},
		{name: "underscore", in: "_a.b_c", want: "_a.b_c"},
		{name: "IPv4", in: "127.0.0.1:80", want: "127.0.0.1"},
		{name: "IPv6", in: "[::1]:80", want: "[::1]"},
		{name: "IPv6, long", in: "[0:0:0:0:0:0:0:1]", want: "[::1]"},
		{name: "empty", in: "", bad: true},
		{name: "dot", in: ".", bad: true},
		{name: "two final dots", in: "a..", bad: true},
		{name: "empty label", in: "a..b", bad: true},
		{name: "two hosts", in: "a,b", bad: true},
		{name: "user", in: "user@a", bad: true},
		{name: "space", in: "a b", bad: true},
		{name: "not ASCII", in: "é.com", bad: true},
		{name: "Kelvin sign", in: "\u212a.com", bad: true},
		{name: "port that is none", in: "a:b", bad: true},
		{name: "empty port", in: "a:", bad: true},
		{name: "port too large", in: "a:65536", bad: true},
		{name: "two ports", in: "a:1:2", bad: true},
		{name: "hyphen in front", in: "-a.com", bad: true},
		{name: "hyphen behind", in: "a-.com", bad: true},
		{name: "hyphen at the end", in: "a-", bad: true},
		{name: "wildcard", in: "*.a.com", bad: true},
		{name: "IPv6 with zone", in: "[fe80::1%25eth0]", bad: true},
		{name: "IPv4 in brackets", in: "[127.0.0.1]", bad: true},
		{name: "bracket open", in: "[::1", bad: true},
		{name: "first and last of each kind", in: "azAZ09.com:09990", want: "azaz09.com"},
		{name: "hyphen behind upper case", in: "AB-c.com", want: "ab-c.com"},
		{name: "hyphens", in: "a--b.com", want: "a--b.com"},
		{name: "long label of hyphens", in: "a" + strings.Repeat("-", 62) + "b.com", bad: true},
		{name: "largest port", in: "a:65535", want: "a"},
		{name: "port of six digits", in: "a:000080", bad: true},
		{name: "port in front", in: ":80", bad: true},
		{name: "IPv6, port without colon", in: "[::1]80", bad: true},
		{name: "IPv6, empty port", in: "[::1]:", bad: true},
		{name: "IPv6, port that is none", in: "[::1]:a", bad: true},
		{name: "longest label", in: strings.Repeat("a", 63) + ".com", want: strings.Repeat("a", 63) + ".com"},
		{name: "longest name", in: strings.Repeat("a.", 126) + "c", want: strings.Repeat("a.", 126) + "c"},
		{name: "long label in upper case", in: strings.Repeat("A", 64) + ".com", bad: true},
		{name: "name of one letter more", in: strings.Repeat("a.", 126) + "cc", bad: true},
		{name: "long label", in: strings.Repeat("a", 64) + ".com", bad: true},
		{name: "long name", in: strings.Repeat("a.", 127) + "com", bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := normalizeHost(tt.in, true)
			if (err != nil) != tt.bad || got != tt.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestHostOfPolicies shows that a policy names hosts without ports.
func TestHostOfPolicies(t *testing.T) {
	for _, host := range []string{"a:80", "[::1]:80", "*.[::1]", "*.a:80", "*."} {
		if got, err := normalizePattern(host); err == nil {
			t.Errorf("%q is %q", host, got)
		}
	}
}

// FuzzNormalizeHost states the law of hosts: reading what was read gives the same, in lower-case ASCII without port and
// final dot, and neither a port nor case makes a difference.
func FuzzNormalizeHost(f *testing.F) {
	for _, s := range []string{"a.b", "A.b:1", "[::1]:2", "a.", "a,b", "*.x", "xn--a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := normalizeHost(s, true)
		if err != nil {
			return
		}
		for _, again := range []string{h, h + ":80", strings.ToUpper(h)} {
			if got, err := normalizeHost(again, true); err != nil || got != h {
				t.Fatalf("%q is %q, and %q is %q, %v", s, h, again, got, err)
			}
		}
		if strings.ContainsAny(h, ",@/ *") || strings.HasSuffix(h, ".") {
			t.Fatalf("%q is %q", s, h)
		}
	})
}

func TestHostIndex(t *testing.T) {
	s := compile(t, corp+`
kind: AuthPolicy
metadata: {name: exact}
spec: {hosts: [a.b.example.com], rules: [{name: exact, access: Public}]}
---
kind: AuthPolicy
metadata: {name: long}
spec: {hosts: ["*.b.example.com"], rules: [{name: long, access: Public}]}
---
kind: AuthPolicy
metadata: {name: short}
spec: {hosts: ["*.example.com"], rules: [{name: short, access: Public}]}
---
kind: AuthPolicy
metadata: {name: any}
spec: {hosts: ["*"], rules: [{name: any, access: Public}]}
`, Options{})
	for host, want := range map[string]string{
		"a.b.example.com":   "exact",
		"x.b.example.com":   "long",
		"x.y.b.example.com": "long",
		"b.example.com":     "short",
		"x.a.example.com":   "short",
		"example.com":       "any",
		"notexample.com":    "any",
		"[::1]":             "any",
	} {
		if got := get("https://"+host+"/x").decide(t, s).Rule; got != want {
			t.Errorf("%s lands on %q, want %q", host, got, want)
		}
	}
}
