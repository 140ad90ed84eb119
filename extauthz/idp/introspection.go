package idp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/extauthz/token"
)

// client asks one provider about tokens.
type client struct {
	name     string
	in       *token.Introspection
	cancel   context.CancelFunc // ends what it has begun
	asker    *asker
	send     func(*http.Request) ([]byte, error)
	endpoint *endpoint
	gate     *gate[verdict]
	// flights are those that requests wait for; trials those that nobody does. They are apart, so that a question that
	// began before somebody waits for it cannot use up the time of him who does.
	flights, trials singleflight.Group
}

func (c *client) close() {
	c.cancel()
	c.asker.close()
}

// verdict is what a provider has said of a token: identity or err.
type verdict struct {
	identity *token.Identity
	err      error
}

func (c *IntrospectorConfig) fill() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = mathrand.Float64
	}
	if c.OnAnswer == nil {
		c.OnAnswer = func(string, string, time.Duration) {}
	}
	if c.OnCircuit == nil {
		c.OnCircuit = func(string, bool) {}
	}
	c.OnWait = c.OnWait.orNone()
}

// sparing is ctx with a timeout, and with some of its own deadline spared for the answer.
func sparing(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		if left := time.Until(deadline) - spare; left < timeout {
			timeout = left
		}
	}
	return context.WithTimeout(ctx, timeout)
}

// question asks p about raw, through a gate, and remembers what it says. The error wraps ErrIntrospection.
func (i *Introspector) question(c *client, raw string, p *token.Provider, gate func(func() (verdict, error)) (verdict, error)) (v verdict, err error) {
	begin := i.config.Now()
	defer func() {
		if fault := recover(); fault != nil { // a flight that panics would end the process
			v, err = verdict{}, fmt.Errorf("%w: panic: %v", token.ErrIntrospection, fault)
			i.config.Log.Error(err, "Introspection panicked", "provider", c.name)
		}
	}()
	if id, known := i.recall(raw, p); id != nil || known != nil { // of a flight that landed a moment ago
		return verdict{id, known}, nil
	}
	ctx, cancel := context.WithTimeout(i.ctx, c.in.Timeout)
	defer cancel()
	if at := c.endpoint.found.Load(); at == nil {
		err = failure(EndpointUnknown)
	} else {
		v, err = gate(func() (verdict, error) { return i.exchange(ctx, c, at, raw, p) })
	}
	now := i.config.Now()
	i.config.OnAnswer(c.name, result(v, err), now.Sub(begin))
	if err != nil {
		return verdict{}, fmt.Errorf("%w: %w", token.ErrIntrospection, err)
	}
	return v, nil
}

// result is the word for what became of a question.
func result(v verdict, err error) string {
	var fetch *FetchError
	var known failure
	switch {
	case errors.As(err, &fetch):
		return string(fetch.Reason)
	case errors.As(err, &known):
		return string(known)
	case err != nil:
		return string(ConnectionFailed)
	case v.err == nil:
		return ResultActive
	case errors.Is(v.err, token.ErrInactive):
		return ResultInactive
	}
	return ResultRefused
}

// exchange asks, and reads the answer. An error is that of a server that cannot be asked.
func (i *Introspector) exchange(ctx context.Context, c *client, at *url.URL, raw string, p *token.Provider) (verdict, error) {
	req, err := c.request(ctx, at, raw, i.config.Now())
	if err != nil {
		return verdict{}, err
	}
	body, err := c.send(req)
	if err != nil {
		return verdict{}, refine(ctx, err, introspection)
	}
	now := i.config.Now()
	id, err := token.NewIntrospected(p, string(body), now)
	if errors.Is(err, token.ErrIntrospection) {
		// The parser's error may tell of the answer, so it ends here.
		return verdict{}, &FetchError{Reason: InvalidDocument, Document: introspection}
	}
	i.remember(c, tokenKey{p.Fingerprint, raw}, string(body), verdict{id, err}, now)
	return verdict{id, err}, nil
}

// remember keeps an answer: no longer than the token is good for, and than the provider allows.
func (i *Introspector) remember(c *client, key tokenKey, text string, v verdict, now time.Time) {
	switch {
	case c.in.CacheTTL <= 0:
	case v.err != nil:
		i.refused.put(key, v.err, int64(len(key.raw)), now.Add(min(c.in.CacheTTL, refusedFor)))
	default:
		expires := now.Add(c.in.CacheTTL)
		if v.identity.Expiry.Before(expires) {
			expires = v.identity.Expiry
		}
		i.good.put(key, v.identity, token.Weight(key.raw, text, v.identity), expires)
	}
}

// request is the question (RFC 7662 §2.1).
func (c *client) request(ctx context.Context, at *url.URL, raw string, now time.Time) (*http.Request, error) {
	form := url.Values{"token": {raw}, "token_type_hint": {"access_token"}}
	switch {
	case c.in.Key != nil:
		assertion, err := c.assertion(now)
		if err != nil {
			return nil, err
		}
		form.Set("client_id", c.in.ClientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	case c.in.InBody:
		form.Set("client_id", c.in.ClientID)
		form.Set("client_secret", c.in.Secret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, failure(InvalidURL)
	}
	req.Header = http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"},
		// Not sent: it says that the question may be asked again where an idle connection turns out to be closed.
		"Idempotency-Key": {},
	}
	if c.in.Key == nil && !c.in.InBody {
		// Both parts are encoded first (RFC 6749 §2.3.1).
		req.SetBasicAuth(url.QueryEscape(c.in.ClientID), url.QueryEscape(c.in.Secret))
	}
	return req, nil
}

// assertionLife is how long an assertion is good for: for one question, and clocks that differ.
const assertionLife = time.Minute

// assertion is the JWT that proves who asks (RFC 7523 §2.2, §3). Its audience is the issuer, which every endpoint of it
// knows itself by.
func (c *client) assertion(now time.Time) (string, error) {
	t := jwt.NewWithClaims(jwt.GetSigningMethod(string(c.in.Key.Algorithm)), jwt.MapClaims{
		"iss": c.in.ClientID, "sub": c.in.ClientID, "aud": c.in.Issuer, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if c.in.Key.ID != "" {
		t.Header["kid"] = c.in.Key.ID
	}
	signed, err := t.SignedString(c.in.Key.Signer)
	if err != nil {
		return "", errors.New("signing the client's assertion")
	}
	return signed, nil
}
