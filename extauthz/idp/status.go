package idp

import (
	"slices"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

// Reason says what kind of failure a fetch was. The list below is closed; it is the same in status, logs and
// metrics, and none of its words depends on what an identity provider answered.
type Reason string

// The reasons. The empty Reason means that the last fetch succeeded, or that there was none yet.
const (
	// InvalidURL: the provider's own URL or issuer is not an absolute https URL (or http, where the provider allows it).
	InvalidURL Reason = "InvalidURL"
	// InvalidCABundle: the provider's CA bundle holds no certificate.
	InvalidCABundle Reason = "InvalidCABundle"
	// AddressRefused: the name stands for an address that is never dialled; see Dialable.
	AddressRefused Reason = "AddressRefused"
	// ConnectionFailed: no such name, no route, connection refused, or broken before the answer was whole.
	ConnectionFailed Reason = "ConnectionFailed"
	// TLSFailed: the handshake failed, or the certificate is expired, for another name, or of an unknown CA.
	TLSFailed Reason = "TLSFailed"
	// Timeout: discovery and key set together took longer than Config.FetchTimeout.
	Timeout Reason = "Timeout"
	// BadStatus: the answer was neither 200 nor a redirect.
	BadStatus Reason = "BadStatus"
	// RedirectRefused: a redirect led to another scheme or host, or there were more than three.
	RedirectRefused Reason = "RedirectRefused"
	// TooLarge: a discovery document over 64 KiB or a key set over 1 MiB.
	TooLarge Reason = "TooLarge"
	// InvalidDocument: the answer is not the JSON it should be, or its jwks_uri may not be used.
	InvalidDocument Reason = "InvalidDocument"
	// IssuerMismatch: the discovery document names another issuer.
	IssuerMismatch Reason = "IssuerMismatch"
	// NoUsableKeys: the key set is JSON, but holds no key that could verify a token, or over 256 of them.
	NoUsableKeys Reason = "NoUsableKeys"
	// EndpointUnknown: the metadata of the issuer has not been had yet, or names no such endpoint.
	EndpointUnknown Reason = "EndpointUnknown"
	// Busy: as many questions are open as may be at a time, or were asked within the last second.
	Busy Reason = "Busy"
	// Forbidden: the API server does not let Sallyport read the keys of its ServiceAccount tokens.
	Forbidden Reason = "Forbidden"
	// CircuitOpen: the server has failed so often that it is left alone for a while.
	CircuitOpen Reason = "CircuitOpen"
)

// meanings are the texts of FetchError.
var meanings = map[Reason]string{
	InvalidURL:       "the URL is not an absolute https URL",
	InvalidCABundle:  "the CA bundle holds no certificate",
	AddressRefused:   "the address is one that is never dialled",
	ConnectionFailed: "the connection failed",
	TLSFailed:        "the TLS handshake failed or the certificate is not trusted",
	Timeout:          "the deadline passed",
	BadStatus:        "the HTTP status is not 200",
	RedirectRefused:  "a redirect to another host, or too many redirects",
	TooLarge:         "the answer is too large",
	InvalidDocument:  "the answer is not a valid document",
	IssuerMismatch:   "the discovery document names another issuer",
	NoUsableKeys:     "the key set holds no usable key",
	EndpointUnknown:  "where to ask is not known",
	Busy:             "too many questions at a time",
	Forbidden:        "the API server does not allow it: bind the ClusterRole system:service-account-issuer-discovery",
	CircuitOpen:      "it has failed too often, and is left alone for a while",
}

// FetchError is the error of a fetch. It wraps nothing and holds nothing that was fetched, so that a tenant's
// provider is no way to look around in the network: its text is a function of the two fields.
type FetchError struct {
	Reason Reason
	// Document is "discovery document", "key set", "introspection" or "lookup": what was being fetched.
	Document string
}

// Error implements error.
func (e *FetchError) Error() string { return "fetching " + e.Document + ": " + meanings[e.Reason] }

// The values of FetchError.Document.
const (
	discoveryDocument = "discovery document"
	keySetDocument    = "key set"
	introspection     = "introspection"
)

// Status is what is known about the keys of one remote, or of a provider whose tenants have keys of their own. The zero
// Status stands for a provider that the Keeper does not keep. A Status is a copy: the caller owns it.
type Status struct {
	// Providers names the providers that share the remote, sorted.
	Providers []string
	// Tenants counts the tenants that have keys of their own, 0 where there are none. Ready is then what holds for each,
	// Stale what does for one, and LastSuccess the earliest. Wanting are the issuers of those for which that is not so:
	// that have no keys or, where all have, old ones.
	Tenants int
	Wanting []string
	// Issuer is the remote's issuer; empty where it has only a URL.
	Issuer string
	// LastFetch is when the last attempt ended, LastSuccess when the last one did that brought keys. Zero: never.
	LastFetch, LastSuccess time.Time
	// KeyIDs are the kids of the keys that Keys hands out now; nil when it hands out none.
	KeyIDs []string
	// Dropped counts the keys of the current set that were left out because they cannot be used.
	Dropped int
	// Ready: Keys hands out a set now.
	Ready bool
	// Stale: it does so although the last attempt failed, or none has ended yet and the keys are those of Restore.
	Stale bool
	// Reason and Err say why the last attempt failed. Err is nil or a *FetchError.
	Reason Reason
	Err    error
}

// maxKeyIDs bounds Status.KeyIDs of a provider with tenants, as a key set is bounded.
const maxKeyIDs = 256

// Status returns what is known about p's keys.
func (k *Keeper) Status(p *token.Provider) Status {
	holders := p.KeyHolders()
	if len(holders) == 1 && holders[0] == p {
		return k.statusOf(p)
	}
	sum := Status{Issuer: p.Issuer, Providers: []string{p.Name}, Tenants: len(holders), Ready: true}
	var missing, old []string
	for i, holder := range holders {
		s := k.statusOf(holder)
		sum.Dropped += s.Dropped
		sum.KeyIDs = append(sum.KeyIDs, s.KeyIDs...)
		if s.LastFetch.After(sum.LastFetch) {
			sum.LastFetch = s.LastFetch
		}
		if i == 0 || s.LastSuccess.Before(sum.LastSuccess) {
			sum.LastSuccess = s.LastSuccess
		}
		switch {
		case !s.Ready:
			if missing = append(missing, holder.Issuer); len(missing) == 1 {
				sum.Reason, sum.Err = s.Reason, s.Err
			}
		case s.Stale:
			if old = append(old, holder.Issuer); len(old) == 1 && missing == nil {
				sum.Reason, sum.Err = s.Reason, s.Err
			}
		}
	}
	sum.Ready, sum.Stale = missing == nil, old != nil
	if sum.Wanting = missing; sum.Ready {
		sum.Wanting = old
	}
	slices.Sort(sum.KeyIDs)
	sum.KeyIDs = slices.Compact(sum.KeyIDs)
	sum.KeyIDs = sum.KeyIDs[:min(len(sum.KeyIDs), maxKeyIDs)]
	return sum
}

func (k *Keeper) statusOf(p *token.Provider) Status {
	r := k.find(p)
	if r == nil {
		return Status{}
	}
	return r.status()
}
