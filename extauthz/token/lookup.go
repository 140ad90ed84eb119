package token

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrLookup is wrapped by every error of a lookup: what was to be fetched for a request could not be had.
var ErrLookup = errors.New("what the rule looks up cannot be had")

// Lookup says what is fetched about a caller, and where. It is made when the configuration is compiled, and is immutable,
// data only; package idp acts on it.
type Lookup struct {
	// Name is "namespace/policy/name" of what the policy calls lookups.NAME.
	Name string
	// Fingerprint changes with everything that the answer depends on, the caller apart.
	Fingerprint [32]byte
	// UserInfo is where the metadata of the provider is that is shown the token; nil for HTTP.
	UserInfo *Remote
	// URL is asked, with GET or where Post is set with POST.
	URL  *URLTemplate
	Post bool
	// Headers and Body, the members of a JSON object, each a text.
	Headers, Body []LookupField
	// Authorization is the value of that header, "" for none.
	Authorization string
	// RootCAs is a PEM bundle of the authorities to trust; nil means the system's. Certificate and PrivateKey, in PEM, are
	// shown to a server that asks; nil for none.
	RootCAs, Certificate, PrivateKey []byte
	// AllowHTTP permits a URL without TLS.
	AllowHTTP bool
	// CacheTTL, Timeout, MaxConcurrent and MaxPerSecond are as in Introspection.
	CacheTTL, Timeout           time.Duration
	MaxConcurrent, MaxPerSecond int
}

// LookupField is a value under a name.
type LookupField struct {
	Name  string
	Value Template
}

// LookupRequest is the question about one caller.
type LookupRequest struct {
	URL     string
	Headers [][2]string
	Body    []byte // nil: none
	// Digest names the caller, and all that the token has a say in.
	Digest [32]byte
}

// Request fills the templates of l, which is no UserInfo, in for id. The error wraps ErrLookup.
func (l *Lookup) Request(id *Identity) (r LookupRequest, err error) {
	if r.URL, err = l.URL.Fill(id); err != nil {
		return r, fmt.Errorf("%w: url: %w", ErrLookup, err)
	}
	parts := []string{id.Issuer, id.Subject, r.URL}
	for _, h := range l.Headers {
		v, err := h.Value.fill(id, encodeHeader)
		if err != nil {
			return r, fmt.Errorf("%w: header: %w", ErrLookup, err)
		}
		r.Headers = append(r.Headers, [2]string{h.Name, v})
		parts = append(parts, v)
	}
	if l.Post {
		members := make(map[string]string, len(l.Body))
		for _, m := range l.Body {
			if members[m.Name], err = m.Value.fill(id, encodeText); err != nil {
				return r, fmt.Errorf("%w: body: %w", ErrLookup, err)
			}
		}
		r.Body, _ = json.Marshal(members) // texts: cannot fail
		parts = append(parts, string(r.Body))
	}
	r.Digest = digest(parts...)
	return r, nil
}

// UserInfoDigest is the Digest of a question to a UserInfo endpoint with this token.
func UserInfoDigest(id *Identity, raw string) [32]byte { return digest(id.Issuer, id.Subject, raw) }

// digest hashes texts, each with its length, so that no two lists look alike.
func digest(parts ...string) [32]byte {
	var b []byte
	for _, s := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	return sha256.Sum256(b)
}

// ParseAnswer reads the answer to a lookup: one strict JSON object, as of a token. id is that of the caller; the UserInfo of
// another subject is none (OpenID Connect Core §5.3.2). The error wraps ErrLookup and tells of no content.
func (l *Lookup) ParseAnswer(text string, id *Identity) (Claims, error) {
	answer, err := parseObject(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the answer: %w", ErrLookup, err)
	}
	if l.UserInfo != nil {
		sub, ok := answer["sub"].(string)
		if own, _ := id.Member("sub"); !ok || sub != own {
			return nil, fmt.Errorf("%w: it is about another subject", ErrLookup)
		}
	}
	return answer, nil
}

// AnswerWeight is about what memory keeps alive for an answer.
func AnswerWeight(text string, answer Claims) int64 {
	return int64(len(text))*9/8 + objectBytes(answer)
}
