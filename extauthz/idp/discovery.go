package idp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/extauthz/token"
)

// The members of a discovery document that name a URL which is used (OpenID Connect Discovery §3, RFC 8414 §2).
const (
	memberKeys          = "jwks_uri"
	memberIntrospection = "introspection_endpoint"
)

// discover returns the URL that member names in the metadata of remote: from OpenID Connect Discovery 1.0 §4, and where
// there is no such document (404, or something else than a discovery document) from RFC 8414 §3. A document that names
// another issuer than the remote's ends it.
func discover(ctx context.Context, transport http.RoundTripper, remote *token.Remote, member string) (*url.URL, error) {
	issuer, allowHTTP := remote.Issuer, remote.AllowHTTP
	base, ok := parseURL(remote.Metadata(), allowHTTP)
	if !ok || base.RawQuery != "" || base.ForceQuery {
		return nil, failure(InvalidURL)
	}
	location, err := discoverAt(ctx, transport, openIDLocation(base), issuer, member, allowHTTP)
	if !errors.Is(err, errNotFound) && !errors.Is(err, failure(InvalidDocument)) {
		return location, err
	}
	location, second := discoverAt(ctx, transport, oauthLocation(base), issuer, member, allowHTTP)
	if errors.Is(second, errNotFound) && !errors.Is(err, errNotFound) {
		return nil, err // the document that is there is the one to mend
	}
	return location, second
}

// discoverAt reads one discovery document.
func discoverAt(ctx context.Context, transport http.RoundTripper, at *url.URL, issuer, member string, allowHTTP bool) (*url.URL, error) {
	body, err := get(ctx, transport, at, acceptDiscovery, maxDiscovery)
	if err != nil {
		return nil, err
	}
	return parseMetadata(body, issuer, member, allowHTTP)
}

// openIDLocation appends the well-known path to the issuer's, whose final slash goes (OpenID Connect Discovery §4.1).
func openIDLocation(issuer *url.URL) *url.URL {
	return withPath(issuer, strings.TrimSuffix(issuer.EscapedPath(), "/")+"/.well-known/openid-configuration")
}

// oauthLocation inserts the well-known path between the issuer's host and path (RFC 8414 §3.1).
func oauthLocation(issuer *url.URL) *url.URL {
	return withPath(issuer, "/.well-known/oauth-authorization-server"+strings.TrimSuffix(issuer.EscapedPath(), "/"))
}

// withPath returns scheme and host of u with another path, which is escaped already.
func withPath(u *url.URL, escaped string) *url.URL {
	path, err := url.PathUnescape(escaped)
	if err != nil { // cannot be: EscapedPath returns valid escapes only
		path = escaped
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: path, RawPath: escaped}
}

// parseMetadata returns the URL that member names in a discovery document. The document is one JSON object in valid UTF-8 whose
// members are unique, its issuer is issuer, and member is a URL that may be
// fetched. The error is failure(InvalidDocument) or failure(IssuerMismatch).
func parseMetadata(data []byte, issuer, member string, allowHTTP bool) (*url.URL, error) {
	members, ok := uniqueMembers(data)
	if !ok {
		return nil, failure(InvalidDocument)
	}
	named, ok := text(members["issuer"])
	if !ok {
		return nil, failure(InvalidDocument)
	}
	if !sameIssuer(named, issuer) {
		return nil, failure(IssuerMismatch)
	}
	location, ok := text(members[member])
	if !ok {
		return nil, failure(InvalidDocument)
	}
	u, ok := parseURL(location, allowHTTP)
	if !ok {
		return nil, failure(InvalidDocument)
	}
	return u, nil
}

// sameIssuer tells whether a document that names an issuer is that of issuer: byte for byte (RFC 8414 §3.3). Where that
// holds the mark of a tenant, so does the document, with whatever word its author has for it, such as {tenantid}.
func sameIssuer(named, issuer string) bool {
	if before, after, marked := strings.Cut(issuer, token.TenantMark); marked {
		word, ok := strings.CutPrefix(named, before+"{")
		if ok {
			word, ok = strings.CutSuffix(word, "}"+after)
		}
		return ok && word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
	}
	return named == issuer
}

// uniqueMembers returns the members of a JSON object. Names are compared as they decode, with their case; ok is false
// where one comes twice, and where anything but white space surrounds the object. encoding/json by itself would take
// the last of two members and ignore case.
func uniqueMembers(data []byte) (members map[string]json.RawMessage, ok bool) {
	if !utf8.Valid(data) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	members = make(map[string]json.RawMessage)
	for decoder.More() {
		key, err := decoder.Token()
		name, isName := key.(string)
		if err != nil || !isName {
			return nil, false
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, false
		}
		if _, twice := members[name]; twice {
			return nil, false
		}
		members[name] = value
	}
	if end, err := decoder.Token(); err != nil || end != json.Delim('}') {
		return nil, false
	}
	_, err := decoder.Token()
	return members, errors.Is(err, io.EOF)
}

// text returns raw as the JSON string that it must be.
func text(raw json.RawMessage) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return s, json.Unmarshal(raw, &s) == nil
}
