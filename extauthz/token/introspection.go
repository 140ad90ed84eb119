package token

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Introspection says how a provider is asked about tokens (RFC 7662): those that are no JWT of its own, and with Signed
// those too. It is data only; package idp acts on it.
type Introspection struct {
	// Signed: the JWTs of the provider are asked about as well, once their signature is verified; what the answer says counts
	// then, and not what they say.
	Signed bool
	// Endpoint that is asked; "" stands for the one that the metadata of Issuer names.
	Endpoint, Issuer string
	// Metadata is where the metadata of Issuer is; "": at Issuer.
	Metadata string
	// RootCAs is a PEM bundle of the authorities to trust; nil means the system's.
	RootCAs []byte
	// AllowHTTP permits URLs without TLS.
	AllowHTTP bool
	// ClientID of Sallyport at the provider. It proves itself with Key, or where that is nil with Secret: in the body where
	// InBody is set, else in the Authorization header.
	ClientID, Secret string
	InBody           bool
	Key              *ClientKey
	// CacheTTL is how long an answer serves at most; 0 for no longer than those wait who asked together. Timeout bounds one
	// question.
	CacheTTL, Timeout time.Duration
	// MaxConcurrent bounds the questions at a time, MaxPerSecond those in a second.
	MaxConcurrent, MaxPerSecond int
	// Interval is the time between two looks into the metadata, MinInterval the least time between two that fail.
	Interval, MinInterval time.Duration
}

// Opaque returns the provider to ask about cred, which Verify has refused; nil where that refusal stands. A token that is
// a JWS is asked about only where it names no issuer: one of a trusted provider is that provider's to verify, and one of
// another is nobody's. Nor is an encrypted one asked about where a trusted provider decrypts. Of the trusted providers
// exactly one that introspects must look where the token stands: a token is shown to none that could not have issued it.
func Opaque(cred Credential, trusted []*Provider) *Provider {
	var found *Provider
	for _, p := range trusted {
		if p.Introspection == nil || !p.reads(cred.Source) {
			continue
		}
		if found != nil {
			return nil
		}
		found = p
	}
	if found == nil || !isAccessToken(cred.Raw) || namesIssuer(cred.Raw) || anyDecrypts(trusted) && isEncrypted(cred.Raw) {
		return nil
	}
	return found
}

// AskError refuses a token that a provider has signed but wants to be asked about as well. It wraps ErrIntrospection, so
// that whoever cannot ask refuses.
type AskError struct {
	// Provider to ask.
	Provider *Provider

	signed *Identity // what the token itself says, as far as it is judged
}

// Error says that nobody has asked.
func (e *AskError) Error() string {
	return ErrIntrospection.Error() + ": its signature is not enough, and nobody has asked"
}

// Unwrap returns ErrIntrospection.
func (e *AskError) Unwrap() error { return ErrIntrospection }

// Agrees tells whether answered, the provider's answer about the token, may stand for it: that of a bound token must say to
// what it is bound, or whoever stole the token could use it. The error wraps ErrSender.
func (e *AskError) Agrees(answered *Identity) error {
	if e.signed.confirmation != nil && answered.confirmation == nil && e.Provider.Sender != SenderAny {
		return fmt.Errorf("%w: the token is bound, and the provider's answer does not say to what", ErrSender)
	}
	return nil
}

// asksOfSigned tells whether a signature of p is not enough, and p must be asked about the token.
func (p *Provider) asksOfSigned() bool { return p.Introspection != nil && p.Introspection.Signed }

// signedOnly is what can be judged of a token of p whose signature was checked, where p must be asked for the rest: type
// and times. One that has expired is no question to the provider.
func signedOnly(p *Provider, claims Claims, typ string, now time.Time) (*Identity, error) {
	id := &Identity{Provider: p, Issuer: p.Issuer, claims: claims}
	if err := id.readTimes(); err != nil {
		return nil, err
	}
	if err := id.checkTimes(p, now); err != nil {
		return nil, err
	}
	if !slices.Contains(p.TokenTypes, typ) {
		return nil, ErrTokenType
	}
	id.confirmation = readConfirmation(claims)
	id.claims = nil // the answer has its own
	return id, nil
}

// AskedBeside tells whether p and o would both be asked about an opaque token at some place: then nobody can say which.
func (p *Provider) AskedBeside(o *Provider) bool {
	return p.Introspection != nil && o.Introspection != nil && slices.ContainsFunc(p.Sources, o.reads)
}

// isAccessToken tells whether raw can be an access token: visible ASCII (RFC 6749 §A.12) without spaces, within the bound
// of all tokens.
func isAccessToken(raw string) bool {
	return raw != "" && len(raw) <= maxTokenBytes && strings.IndexFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// namesIssuer tells whether raw is a JWS that names an issuer, or one of which nobody can say whether it does. A JWS is
// three segments of base64url of which the first holds what begins like a JSON object.
func namesIssuer(raw string) bool {
	parts, err := splitCompact(raw)
	if err != nil {
		return false
	}
	header, err := base64.RawURLEncoding.DecodeString(parts.header)
	if err != nil || !strings.HasPrefix(strings.TrimLeft(string(header), " \t\r\n"), "{") {
		return false
	}
	payload, _, err := decodeObject(parts.payload, "payload")
	if err != nil {
		return true
	}
	_, named := payload["iss"]
	return named
}

// NewIntrospected makes the identity that a provider's answer about a token proves at the time now (RFC 7662 §2.2). The
// same is required of it as of the claims of a JWT, but for iss, which an answer may leave out: the provider itself has
// said it. The error wraps ErrInactive where the token is none, ErrIntrospection where the answer is none, or what Verify's
// would for such claims.
func NewIntrospected(p *Provider, answer string, now time.Time) (*Identity, error) {
	claims, err := parseObject(answer)
	if err != nil {
		return nil, fmt.Errorf("%w: the answer: %w", ErrIntrospection, err)
	}
	active, ok := claims["active"].(bool)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: the answer does not say whether the token is active", ErrIntrospection)
	case !active:
		return nil, ErrInactive
	case !isForAccess(claims, p.TokenTypes):
		return nil, ErrTokenType
	}
	if _, there := claims["cnf"]; !there && isOfType(claims, "dpop") {
		claims["cnf"] = map[string]any{} // it is bound, and the answer does not say to what
	}
	if _, there := claims["iss"]; !there {
		claims["iss"] = p.Issuer // of a provider with tenants this is nobody's
	}
	return prove(p, claims, p.acceptedType(), now)
}

// What servers say of an access token, in lower case, where they say of which kind a token is: token_type is that of RFC
// 6749 §7.1, token_use and typ are habits of some.
var (
	accessTypes = []string{"bearer", "dpop", "access_token"}
	accessUses  = []string{"access", "access_token"}
)

// isOfType tells whether an answer says this token_type.
func isOfType(claims Claims, typ string) bool {
	s, _ := claims["token_type"].(string)
	return mediaType(s) == typ
}

// isForAccess tells whether an answer is about an access token. Servers answer about refresh tokens as well, which must
// open nothing.
func isForAccess(claims Claims, types []string) bool {
	for _, member := range []struct {
		name   string
		values []string
	}{
		{"token_type", accessTypes},
		{"token_use", accessUses},
		{"typ", append(slices.Clip(accessTypes), types...)},
	} {
		value, there := claims[member.name]
		if !there {
			continue
		}
		if s, ok := value.(string); !ok || !slices.Contains(member.values, mediaType(s)) {
			return false
		}
	}
	return true
}

// Check is what Verify does each time with an identity that it has verified before: it judges audience and times.
func (id *Identity) Check(p *Provider, now time.Time) error {
	if err := id.checkAudience(p); err != nil {
		return err
	}
	return id.checkTimes(p, now)
}
