package controller

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/revocation"
	"github.com/sallyport/sallyport/extauthz/token"
)

// StoryTime is the time of requests that name none: a moment like any other, the same on every day.
const StoryTime = "2026-01-01T12:00:00Z"

// Request is a request as a story or a user describes it, with what its token says in place of a token.
type Request struct {
	// Input is what a proxy would say of it; without the scope where that could not be read.
	Input policy.Input
	// Claims of the token; nil for no token. A claim that is null is left out of the token, and those that every token
	// has are added: iss, sub, aud, iat and exp.
	Claims token.Claims
	// TokenErr is set where the token is not valid.
	TokenErr error
	// Issuer whose token it is: the name of a provider, or its issuer; empty for the only one that the rule trusts.
	Issuer string
	// Sender is what the request proves of who sent it.
	Sender token.Sender
	// Lookups are the answers of lookups, by their names; one that is not here fails.
	Lookups map[string]token.Claims
	// Revocations that are in force; nil for none.
	Revocations *revocation.Set
	// Now is the time of the request.
	Now time.Time
	// Destination is the principal of the proxy itself.
	Destination string
	// scoped: the proxy states a scope; scopeErr is set where that cannot be read.
	scoped   bool
	scopeErr error
}

// ParseRequest reads "METHOD URL [token] [key=value …]": token is a JSON object of claims, - for none, ! for one that
// is not valid or !Reason for one that is refused for that reason. docs/stories.md lists the keys. The path is taken as
// it stands.
func ParseRequest(line string) (Request, error) {
	var r Request
	r.Now, _ = time.Parse(time.RFC3339, StoryTime)
	var target string
	r.Input.Method, line = nextWord(line)
	target, line = nextWord(line)
	if err := r.url(target); err != nil {
		return r, err
	}
	line, err := r.token(line)
	for err == nil && line != "" {
		line, err = r.option(line)
	}
	return r, err
}

func nextWord(line string) (word, rest string) {
	word, rest, _ = strings.Cut(strings.TrimLeft(line, " \t"), " ")
	return word, strings.TrimLeft(rest, " \t")
}

// url takes a URL apart without reading its path: stories are about paths that parsers read differently.
func (r *Request) url(target string) error {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || scheme == "" {
		return fmt.Errorf("%s is no URL: write METHOD URL, such as GET https://orders.example.com/v1", shown(target))
	}
	r.Input.Scheme, r.Input.Host, r.Input.Path = scheme, rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		r.Input.Host, r.Input.Path = rest[:i], rest[i:]
	}
	if strings.HasPrefix(r.Input.Path, "?") {
		r.Input.Path = "/" + r.Input.Path
	}
	return nil
}

// token reads the token in front of line, if there is one.
func (r *Request) token(line string) (rest string, err error) {
	switch {
	case strings.HasPrefix(line, "{"):
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&r.Claims); err != nil {
			return "", fmt.Errorf("claims are no JSON object: %w", err)
		}
		return strings.TrimLeft(line[d.InputOffset():], " \t"), nil
	case line == "-" || strings.HasPrefix(line, "- "):
		_, rest = nextWord(line)
	case strings.HasPrefix(line, "!"):
		var word string
		word, rest = nextWord(line[1:])
		if word == "" {
			word = string(policy.ReasonInvalidSignature)
		}
		if r.TokenErr = tokenError(policy.Reason(word)); r.TokenErr == nil {
			return "", fmt.Errorf("!%s: no token is refused for that reason before its claims are read", word)
		}
	default:
		rest = line
	}
	return rest, nil
}

// tokenError is an error of package token that leads to a reason; nil where there is none.
func tokenError(r policy.Reason) error {
	switch r {
	case policy.ReasonAmbiguousCredential:
		return token.ErrAmbiguousCredential
	case policy.ReasonMalformedToken:
		return token.ErrMalformed
	case policy.ReasonUntrustedIssuer:
		return token.ErrUntrustedIssuer
	case policy.ReasonAlgorithmNotAllowed:
		return token.ErrAlgorithm
	case policy.ReasonUnknownKey:
		return token.ErrUnknownKey
	case policy.ReasonInvalidSignature:
		return token.ErrSignature
	case policy.ReasonInvalidTokenType:
		return token.ErrTokenType
	case policy.ReasonInvalidAudience:
		return token.ErrAudience
	case policy.ReasonInvalidSubject:
		return token.ErrSubject
	case policy.ReasonTokenExpired:
		return token.ErrExpired
	case policy.ReasonTokenNotYetValid:
		return token.ErrNotYetValid
	case policy.ReasonTokenTooOld:
		return token.ErrTooOld
	case policy.ReasonKeysUnavailable:
		return token.ErrKeysUnavailable
	case policy.ReasonTokenInactive:
		return token.ErrInactive
	case policy.ReasonTokenRevoked:
		return token.ErrRevoked
	case policy.ReasonRevocationsUnavailable:
		return token.ErrRevocations
	case policy.ReasonSenderNotProven:
		return token.ErrSender
	case policy.ReasonInvalidProof:
		return token.ErrProof
	case policy.ReasonProofNonceRequired:
		return token.ErrNonce
	case policy.ReasonProofReplayed:
		return token.ErrReplayed
	case policy.ReasonProofStoreUnavailable:
		return token.ErrLedger
	case policy.ReasonIntrospectionUnavailable:
		return token.ErrIntrospection
	}
	return nil
}

// option reads the key=value in front of line.
func (r *Request) option(line string) (rest string, err error) {
	key, line, ok := strings.Cut(line, "=")
	if !ok || strings.ContainsAny(key, " \t{") {
		return "", fmt.Errorf("%s: expected key=value", shown(key))
	}
	value, rest, err := optionValue(line)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	switch {
	case key == "from":
		r.Input.SourceAddress, err = netip.ParseAddr(value)
	case key == "principal":
		r.Input.SourcePrincipal = value
	case key == "scope":
		r.scoped = true
		r.Input.Scope, r.scopeErr = policy.ParseScope(value)
	case key == "destination":
		r.Destination = value
	case key == "issuer":
		r.Issuer = value
	case key == "certificate":
		r.Sender.Certificate, err = digest(value)
	case key == "proof":
		r.Sender.Key, err = digest(value)
	case key == "now":
		r.Now, err = time.Parse(time.RFC3339, value)
	default:
		err = r.named(key, value)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	return rest, nil
}

// optionValue is a value up to the next space, a JSON string, or a JSON object as it stands.
func optionValue(line string) (value, rest string, err error) {
	switch {
	case strings.HasPrefix(line, "{"):
		var object json.RawMessage
		d := json.NewDecoder(strings.NewReader(line))
		if err := d.Decode(&object); err != nil {
			return "", "", fmt.Errorf("value is no JSON object: %w", err)
		}
		return string(object), strings.TrimLeft(line[d.InputOffset():], " \t"), nil
	case !strings.HasPrefix(line, `"`):
		value, rest = nextWord(line)
		return value, rest, nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(line)))
	if err := d.Decode(&value); err != nil && !errors.Is(err, io.EOF) {
		return "", "", fmt.Errorf("value is no JSON string: %w", err)
	}
	return value, strings.TrimLeft(line[d.InputOffset():], " \t"), nil
}

// named sets header.NAME and context.NAME.
func (r *Request) named(key, value string) error {
	if name, ok := strings.CutPrefix(key, "header."); ok && name != "" {
		name = strings.ToLower(name)
		if before, twice := r.Input.Headers.Get(name); twice {
			value = before + "," + value // as Envoy joins them
		}
		r.Input.Headers = r.Input.Headers.With(name, value)
		return nil
	}
	if name, ok := strings.CutPrefix(key, "context."); ok && name != "" {
		r.Input.Context = r.Input.Context.With(name, value)
		return nil
	}
	if name, ok := strings.CutPrefix(key, "lookup."); ok && name != "" {
		var answer token.Claims
		d := json.NewDecoder(strings.NewReader(value))
		d.UseNumber()
		if err := d.Decode(&answer); err != nil || answer == nil {
			return errors.New("the answer of a lookup is a JSON object")
		}
		if r.Lookups == nil {
			r.Lookups = map[string]token.Claims{}
		}
		r.Lookups[name] = answer
		return nil
	}
	return errors.New("no such key; there are header.NAME, lookup.NAME, from, principal, destination, certificate, proof, scope, context.NAME, issuer and now")
}

// digest is a SHA-256 as tokens write it, in base64url.
func digest(value string) (*[sha256.Size]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(b) != sha256.Size {
		return nil, errors.New("must be a SHA-256 in base64url without padding, 43 characters, as cnf has it")
	}
	return (*[sha256.Size]byte)(b), nil
}
