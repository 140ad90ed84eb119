package idp

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiscoveryLocations(t *testing.T) {
	tests := []struct {
		name, issuer, openID, oauth string
	}{
		{
			name: "host only", issuer: "https://id.example.com",
			openID: "https://id.example.com/.well-known/openid-configuration",
			oauth:  "https://id.example.com/.well-known/oauth-authorization-server",
		},
		{
			name: "final slash", issuer: "https://id.example.com/",
			openID: "https://id.example.com/.well-known/openid-configuration",
			oauth:  "https://id.example.com/.well-known/oauth-authorization-server",
		},
		{
			name: "path", issuer: "https://id.example.com:8443/realms/corp",
			openID: "https://id.example.com:8443/realms/corp/.well-known/openid-configuration",
			oauth:  "https://id.example.com:8443/.well-known/oauth-authorization-server/realms/corp",
		},
		{
			name: "path with final slash", issuer: "https://id.example.com/t/",
			openID: "https://id.example.com/t/.well-known/openid-configuration",
			oauth:  "https://id.example.com/.well-known/oauth-authorization-server/t",
		},
		{
			name: "escaped path stays escaped", issuer: "https://id.example.com/a%2Fb",
			openID: "https://id.example.com/a%2Fb/.well-known/openid-configuration",
			oauth:  "https://id.example.com/.well-known/oauth-authorization-server/a%2Fb",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, ok := parseURL(tt.issuer, false)
			if !ok {
				t.Fatalf("parseURL(%q) refuses", tt.issuer)
			}
			got := []string{openIDLocation(u).String(), oauthLocation(u).String()}
			if diff := cmp.Diff([]string{tt.openID, tt.oauth}, got); diff != "" {
				t.Errorf("locations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseURL(t *testing.T) {
	tests := []struct {
		name      string
		url       string
		allowHTTP bool
		want      bool
	}{
		{name: "https", url: "https://id.example.com/keys", want: true},
		{name: "query", url: "https://id.example.com/keys?v=2", want: true},
		{name: "http where allowed", url: "http://id.example.com/keys", allowHTTP: true, want: true},
		{name: "http", url: "http://id.example.com/keys"},
		{name: "other scheme where http is allowed", url: "file:///etc/passwd", allowHTTP: true},
		{name: "ftp", url: "ftp://id.example.com/keys", allowHTTP: true},
		{name: "no scheme", url: "id.example.com/keys"},
		{name: "relative", url: "/keys"},
		{name: "no host", url: "https:///keys"},
		{name: "port without host", url: "https://:443/keys"},
		{name: "opaque", url: "https:id.example.com"},
		{name: "user information", url: "https://user:secret@id.example.com/keys"},
		{name: "fragment", url: "https://id.example.com/keys#a"},
		{name: "control character", url: "https://id.example.com/\r\nkeys"},
		{name: "empty", url: ""},
		{name: "too long", url: "https://id.example.com/" + string(bytes.Repeat([]byte("a"), maxURL))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, got := parseURL(tt.url, tt.allowHTTP); got != tt.want {
				t.Errorf("parseURL(%q) = %t, want %t", tt.url, got, tt.want)
			}
		})
	}
}

const fuzzIssuer = "https://id.example.com"

func TestParseDiscovery(t *testing.T) {
	tests := []struct {
		name string
		data string
		want Reason // empty: accepted
	}{
		{name: "document", data: `{"issuer":"https://id.example.com","jwks_uri":"https://keys.example.com/k"}`},
		{name: "other members", data: ` {"a":{"b":[1]},"issuer":"https://id.example.com","jwks_uri":"https://keys.example.com/k","c":null} `},
		{name: "empty", data: ``, want: InvalidDocument},
		{name: "HTML", data: `<html></html>`, want: InvalidDocument},
		{name: "array", data: `[]`, want: InvalidDocument},
		{name: "null", data: `null`, want: InvalidDocument},
		{name: "no issuer", data: `{"jwks_uri":"https://keys.example.com/k"}`, want: InvalidDocument},
		{name: "no jwks_uri", data: `{"issuer":"https://id.example.com"}`, want: InvalidDocument},
		{name: "issuer is a number", data: `{"issuer":1,"jwks_uri":"https://keys.example.com/k"}`, want: InvalidDocument},
		{name: "jwks_uri is null", data: `{"issuer":"https://id.example.com","jwks_uri":null}`, want: InvalidDocument},
		{name: "jwks_uri is http", data: `{"issuer":"https://id.example.com","jwks_uri":"http://keys.example.com/k"}`, want: InvalidDocument},
		{name: "jwks_uri is a file", data: `{"issuer":"https://id.example.com","jwks_uri":"file:///k"}`, want: InvalidDocument},
		{name: "two issuers", data: `{"issuer":"https://other.example.com","issuer":"https://id.example.com","jwks_uri":"https://keys.example.com/k"}`, want: InvalidDocument},
		{name: "two jwks_uri, one in escapes", data: `{"issuer":"https://id.example.com","jwks_uri":"https://keys.example.com/k","jwks\u005furi":"https://keys.example.com/k"}`, want: InvalidDocument},
		{name: "wrong case", data: `{"Issuer":"https://id.example.com","JWKS_URI":"https://keys.example.com/k"}`, want: InvalidDocument},
		{name: "something behind", data: `{"issuer":"https://id.example.com","jwks_uri":"https://keys.example.com/k"}{}`, want: InvalidDocument},
		{name: "cut off", data: `{"issuer":"https://id.example.com","jwks_uri":"https://keys.example.com/k"`, want: InvalidDocument},
		{name: "byte order mark", data: "\ufeff" + `{"issuer":"https://id.example.com","jwks_uri":"https://keys.example.com/k"}`, want: InvalidDocument},
		{name: "not UTF-8", data: "{\"a\":\"\xff\",\"issuer\":\"https://id.example.com\",\"jwks_uri\":\"https://keys.example.com/k\"}", want: InvalidDocument},
		{name: "another issuer", data: `{"issuer":"https://other.example.com","jwks_uri":"https://keys.example.com/k"}`, want: IssuerMismatch},
		{name: "issuer with a final slash", data: `{"issuer":"https://id.example.com/","jwks_uri":"https://keys.example.com/k"}`, want: IssuerMismatch},
		{name: "issuer in upper case", data: `{"issuer":"https://ID.example.com","jwks_uri":"https://keys.example.com/k"}`, want: IssuerMismatch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := parseMetadata([]byte(tt.data), fuzzIssuer, memberKeys, false)
			if tt.want != "" {
				if !errors.Is(err, failure(tt.want)) {
					t.Errorf("parseDiscovery = %v, %v, want %s", u, err, tt.want)
				}
				return
			}
			if err != nil || u.String() != "https://keys.example.com/k" {
				t.Errorf("parseDiscovery = %v, %v, want the jwks_uri", u, err)
			}
		})
	}
}

// FuzzParseDiscovery states the law of discovery: what is accepted says exactly one thing to every JSON reader (this
// issuer, a fetchable https URL), saying it twice or saying more behind it refuses, and a refusal is one of two
// constants, so that it can quote nothing.
func FuzzParseDiscovery(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://id.example.com","jwks_uri":"https://keys.example.com/k"}`))
	f.Add([]byte(`{"issuer":"https://id.example.com","jwks_uri":"https://keys.example.com/k","x":{"a":[1,2,{"b":null}]}}`))
	f.Add([]byte(`{"issuer":"https://id.example.com","issuer":"https://id.example.com","jwks_uri":"https://k"}`))
	f.Add([]byte(`{"\u0069ssuer":"https:\/\/id.example.com","jwks_uri":"https://u:p@k/#f"}`))
	f.Add([]byte(`{"issuer":"https://id.example.com","jwks_uri":"http://169.254.169.254/"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := parseMetadata(data, fuzzIssuer, memberKeys, false)
		if err != nil {
			if u != nil || err != failure(InvalidDocument) && err != failure(IssuerMismatch) { //nolint:errorlint // identity is the law: a wrapped error could quote
				t.Fatalf("refused with %v, %v", u, err)
			}
			return
		}
		if u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
			t.Errorf("accepted jwks_uri %q", u)
		}
		var plain map[string]any
		if err := json.Unmarshal(data, &plain); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if plain["issuer"] != fuzzIssuer {
			t.Errorf("accepted issuer %q", plain["issuer"])
		}
		location, ok := plain["jwks_uri"].(string)
		if again, err := url.Parse(location); !ok || err != nil || again.String() != u.String() {
			t.Errorf("read jwks_uri %q as %q", plain["jwks_uri"], u)
		}
		brace := bytes.IndexByte(data, '{')
		twice := append(append(bytes.Clone(data[:brace+1]), `"jwks_uri":"https://other.example.com",`...), data[brace+1:]...)
		if _, err := parseMetadata(twice, fuzzIssuer, memberKeys, false); err == nil {
			t.Errorf("accepted jwks_uri twice: %q", twice)
		}
		if _, err := parseMetadata(append(bytes.Clone(data), '1'), fuzzIssuer, memberKeys, false); err == nil {
			t.Error("accepted with something behind it")
		}
		if again, err := parseMetadata(data, fuzzIssuer+"/", memberKeys, false); err == nil {
			t.Errorf("accepted for another issuer: %q", again)
		}
	})
}
