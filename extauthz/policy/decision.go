package policy

import (
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

// Facts are what a decision needs beside the request: who the caller proved to be, and the time. The zero Facts, a time
// apart, are those of a request without a token.
type Facts struct {
	// Identity that the token proved; nil where none was shown or Err is set.
	Identity *token.Identity
	// Err of token.Extract or token.Verify; nil where there was nothing to refuse.
	Err error
	// Lookups are what became of Candidate.Lookups; one that is missing counts as failed.
	Lookups []LookedUp
	// Unknown: nothing is known yet that the rules ask for. DryRun rules report nothing then; those that are enforced refuse
	// for Err.
	Unknown bool
	// Now is the time of the decision.
	Now time.Time
}

// Verdict is one answer with its origin.
type Verdict struct {
	// Allow is the answer; false in the zero Verdict.
	Allow bool
	// Reason for it.
	Reason Reason
	// Policy is "namespace/name" of the policy whose rule decided; empty where no rule was found.
	Policy string
	// Rule is the name of the rule that refused, or of the first where all allow.
	Rule string
	// Message of the expression that did not hold; for the log, not for the client.
	Message string
}

// Decision is what becomes of a request. Its slices and pointers belong to the snapshot or to the decision and are not
// to be written.
type Decision struct {
	Verdict

	// DryRun is what DryRun rules would have said; nil where none has a say in this request.
	DryRun *Verdict

	// Scopes that the refusing rule asks for, for the challenge (RFC 6750 §3.1); set with ReasonInsufficientScope.
	Scopes []string

	// StepUp is the login that the refusing rule asks for, for the challenge (RFC 9470 §3); set with
	// ReasonInsufficientUserAuthentication.
	StepUp *StepUp

	// Document is what the client receives in place of the application's answer; set with ReasonResourceMetadata, with
	// which Allow is false: the request goes no further.
	Document *Document

	// Refusal is the look of the answer where Allow is false; nil for the default look.
	Refusal *Refusal

	// Set are headers for the application; each overwrites what the client sent.
	Set []HeaderValue

	// Remove are headers, lower case, that the application must not receive: the names under upstream of every policy of
	// the host that are not in Set, and each other spelling of any of them that the request has.
	Remove []string

	// RemoveToken are the places from which a token is to be taken out before the request goes on; nil to forward it.
	RemoveToken []token.Source

	// Metadata for Envoy, beside the words of the verdict. Values are string, bool, float64, nil, []any and
	// map[string]any.
	Metadata []MetadataValue
}

// Status is the HTTP status of the refusal; 0 where the decision is to allow. A redirect is the server's to decide.
func (d *Decision) Status() int {
	switch {
	case d.Allow:
		return 0
	case d.Refusal != nil && d.Refusal.Status != 0:
		return int(d.Refusal.Status)
	}
	return d.Reason.Status()
}

// HeaderValue is one header with its value.
type HeaderValue struct {
	// Name in lower case.
	Name string
	// Value without control characters.
	Value string
}

// MetadataValue is one entry of Envoy's dynamic metadata.
type MetadataValue struct {
	Key   string
	Value any
}

// Refusal is the look of a refusal, with everything inherited that a rule does not say itself.
type Refusal struct {
	// Status that replaces the one of the reason; 0 to keep that.
	Status int32
	// Headers that are added to the answer; names in lower case.
	Headers []HeaderValue
	// Body of the answer; BodyProblemJSON in the zero Refusal.
	Body Body
	// Text of a BodyText; empty for the title of the status.
	Text string
	// Realm of the challenge; empty for none.
	Realm string
	// Resources that challenges name the metadata of.
	Resources []Resource
	// Redirect to the login; nil for none.
	Redirect *Redirect
}

// Body is the form of a refusal's body.
type Body int

const (
	// BodyProblemJSON is application/problem+json (RFC 9457).
	BodyProblemJSON Body = iota
	// BodyText is text/plain.
	BodyText
	// BodyEmpty is no body.
	BodyEmpty
)

// Redirect sends a browser to the login.
type Redirect struct {
	// URL of the login, without the return parameter.
	URL string
	// ReturnParameter that carries the URL of the request; empty for none.
	ReturnParameter string
	// HTMLOnly leaves the redirect to GET and HEAD requests that accept text/html.
	HTMLOnly bool
	// StepUp redirects also where the user must sign in again, or better, and tells the login how.
	StepUp bool
}
