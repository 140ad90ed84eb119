package idp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/extauthz/token"
)

const (
	// maxLookup bounds the answer to a lookup, in bytes: what fits into a token, by which the cost of expressions is
	// reckoned.
	maxLookup = 16 << 10
	// lookupDocument is what a FetchError says of a lookup.
	lookupDocument = "lookup"
	memberUserInfo = "userinfo_endpoint"
	// ResultFound: there is an answer.
	ResultFound = "Found"
	// ResultNotFound: the service says 404 or 410: it knows nothing of the caller.
	ResultNotFound = "NotFound"
)

// errGone is the 404 or 410 of a service: an answer, and no failure of the service.
var errGone = errors.New("the service knows nothing of the caller")

// Looker fetches what rules look up, and remembers it. All methods may be called concurrently; of Sync, one call at a time.
type Looker struct {
	config  IntrospectorConfig
	wrap    func(*looking) // changes one before it is used; for tests
	found   *answers[lookupKey, found]
	current atomic.Pointer[lookings]
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	syncing sync.Mutex // held by Sync, and by Close to end it
}

// lookupKey is a question of one lookup, as it is configured at one time.
type lookupKey struct{ lookup, question [32]byte }

// found is what a service has said: answer, or err.
type found struct {
	answer token.Claims
	err    error
}

// lookings are those of the last Sync, and of the one before.
type lookings struct{ now, before map[[32]byte]*looking }

func (l *lookings) find(id [32]byte) *looking { return cmp.Or(l.now[id], l.before[id]) }

// looking asks for one lookup.
type looking struct {
	lookup   *token.Lookup
	cancel   context.CancelFunc
	asker    *asker
	send     func(*http.Request) ([]byte, error)
	endpoint *endpoint // of UserInfo; else nil
	gate     *gate[found]
	// flights and trials are as those of a client.
	flights, trials singleflight.Group
}

func (n *looking) close() {
	n.cancel()
	n.asker.close()
}

// NewLooker returns a Looker that knows no lookup yet. OnAnswer, OnCircuit and OnWait are told of the names of lookups.
func NewLooker(config IntrospectorConfig) (*Looker, error) {
	if config.CacheBytes < 0 {
		return nil, errors.New("the size of the cache of answers must not be negative")
	}
	config.fill()
	k := &Looker{config: config, wrap: func(*looking) {}, found: newAnswers[lookupKey, found](config.CacheBytes)}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.current.Store(&lookings{})
	return k, nil
}

// Sync makes the Looker ask exactly for lookups, and those of the Sync before. It returns at once.
func (k *Looker) Sync(lookups []*token.Lookup) {
	k.syncing.Lock()
	defer k.syncing.Unlock()
	if k.ctx.Err() != nil {
		return
	}
	old := k.current.Load()
	next := &lookings{now: map[[32]byte]*looking{}, before: old.now}
	for _, l := range lookups {
		id := l.Fingerprint
		n := cmp.Or(next.now[id], old.now[id], old.before[id])
		if n == nil {
			n = k.newLooking(l)
		}
		next.now[id] = n
	}
	k.current.Store(next)
	for id, n := range old.before {
		if next.find(id) == nil {
			n.close()
		}
	}
	k.found.keep(func(key lookupKey) bool { return next.find(key.lookup) != nil })
}

func (k *Looker) newLooking(l *token.Lookup) *looking {
	ctx, cancel := context.WithCancel(k.ctx)
	var certificates []tls.Certificate
	if l.Certificate != nil {
		if c, err := tls.X509KeyPair(l.Certificate, l.PrivateKey); err == nil { // the compile has seen to it
			certificates = []tls.Certificate{c}
		}
	}
	n := &looking{
		lookup: l, cancel: cancel, asker: newAsker(ctx, l.RootCAs, certificates, l.MaxConcurrent+1, k.config.AllowLoopback),
		gate: newGate[found](l.MaxConcurrent, l.MaxPerSecond, k.config.Now, func(open bool) {
			k.config.Log.Info("Circuit changed", "lookup", l.Name, "open", open)
			k.config.OnCircuit(l.Name, open)
		}),
	}
	n.asker.limit, n.asker.gone = maxLookup, true
	n.send = n.asker.ask
	k.wrap(n)
	if l.UserInfo != nil {
		n.endpoint = &endpoint{tried: make(chan struct{})}
		f := &follower{
			endpoint: n.endpoint, member: memberUserInfo, remote: l.UserInfo, schedule: newSchedule(l.UserInfo, k.config.Random),
			timeout: DefaultFetchTimeout, loopback: k.config.AllowLoopback, log: k.config.Log,
		}
		k.running.Go(func() { f.run(ctx) })
	}
	return n
}

// WaitTried returns nil once every endpoint of the last Sync was looked for, found or not. Its error is ctx's.
func (k *Looker) WaitTried(ctx context.Context) error {
	for n := range maps.Values(k.current.Load().now) {
		if n.endpoint == nil {
			continue
		}
		select {
		case <-n.endpoint.tried:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the endpoints of lookups: %w", ctx.Err())
		}
	}
	return nil
}

// Look returns what l finds about id, whose token is raw: from memory, or by asking. Those who ask the same at the same time
// share one question. The error wraps token.ErrLookup. Nothing of raw is kept but copies.
func (k *Looker) Look(ctx context.Context, l *token.Lookup, id *token.Identity, raw string) (token.Claims, error) {
	q, err := newQuestion(l, id, raw)
	if err != nil {
		return nil, err
	}
	if f, ok := k.found.get(q.key, k.config.Now()); ok {
		return f.answer, f.err
	}
	n := k.current.Load().find(l.Fingerprint)
	if n == nil {
		return nil, fmt.Errorf("%w: %q is not known here", token.ErrLookup, l.Name)
	}
	ctx, cancel := sparing(ctx, l.Timeout)
	defer cancel()
	q.raw = strings.Clone(raw)
	over := k.config.OnWait(ctx, l.Name)
	flight := n.flights.DoChan(q.name(), func() (any, error) { return k.question(n, q, n.gate.ask) })
	select {
	case landed := <-flight:
		f, _ := landed.Val.(found)
		over(lookupResult(f, landed.Err), landed.Err != nil)
		if landed.Err != nil {
			return nil, landed.Err
		}
		return f.answer, f.err
	case <-ctx.Done():
		over(string(Timeout), true)
		return nil, fmt.Errorf("%w: it did not answer in time", token.ErrLookup)
	}
}

// Recall returns what is known without waiting; see Introspector.Recall.
func (k *Looker) Recall(l *token.Lookup, id *token.Identity, raw string) (answer token.Claims, known bool, err error) {
	q, err := newQuestion(l, id, raw)
	if err != nil {
		return nil, true, err
	}
	if f, ok := k.found.get(q.key, k.config.Now()); ok {
		return f.answer, true, f.err
	}
	if n := k.current.Load().find(l.Fingerprint); n != nil {
		q.raw = strings.Clone(raw)
		n.trials.DoChan(q.name(), func() (any, error) { return k.question(n, q, n.gate.try) })
	}
	return nil, false, nil
}

// Stats are those of the cache.
func (k *Looker) Stats() CacheStats { return k.found.stats() }

// Close ends all questions and connections.
func (k *Looker) Close() {
	k.syncing.Lock()
	k.cancel()
	k.syncing.Unlock()
	k.running.Wait()
	last := k.current.Load()
	for _, set := range []map[[32]byte]*looking{last.now, last.before} {
		for _, n := range set {
			n.close()
		}
	}
}

// question is one about one caller.
type question struct {
	key     lookupKey
	id      *token.Identity
	raw     string
	request token.LookupRequest
}

// name of the question among those of its lookup.
func (q *question) name() string { return string(q.key.question[:]) }

func newQuestion(l *token.Lookup, id *token.Identity, raw string) (*question, error) {
	if l.UserInfo != nil {
		return &question{key: lookupKey{l.Fingerprint, token.UserInfoDigest(id, raw)}, id: id}, nil
	}
	r, err := l.Request(id)
	if err != nil {
		return nil, err
	}
	return &question{key: lookupKey{l.Fingerprint, r.Digest}, id: id, request: r}, nil
}

// question asks, through a gate, and remembers the answer. The error wraps ErrLookup.
func (k *Looker) question(n *looking, q *question, gate func(func() (found, error)) (found, error)) (f found, err error) {
	begin := k.config.Now()
	defer func() {
		if fault := recover(); fault != nil { // a flight that panics would end the process
			f, err = found{}, fmt.Errorf("%w: panic: %v", token.ErrLookup, fault)
			k.config.Log.Error(err, "Lookup panicked", "lookup", n.lookup.Name)
		}
	}()
	if f, ok := k.found.get(q.key, begin); ok { // of a flight that landed a moment ago
		return f, nil
	}
	ctx, cancel := context.WithTimeout(k.ctx, n.lookup.Timeout)
	defer cancel()
	req, err := n.newRequest(ctx, q)
	if err == nil {
		f, err = gate(func() (found, error) { return k.exchange(ctx, n, q, req) })
	}
	k.config.OnAnswer(n.lookup.Name, lookupResult(f, err), k.config.Now().Sub(begin))
	if err != nil {
		return found{}, fmt.Errorf("%w: %w", token.ErrLookup, err)
	}
	return f, nil
}

func lookupResult(f found, err error) string {
	switch {
	case err != nil:
		return result(verdict{}, err)
	case f.err != nil:
		return ResultNotFound
	}
	return ResultFound
}

// newRequest is the HTTP request of a question.
func (n *looking) newRequest(ctx context.Context, q *question) (*http.Request, error) {
	method, at, body := http.MethodGet, q.request.URL, q.request.Body
	authorization := n.lookup.Authorization
	if n.endpoint != nil {
		u := n.endpoint.found.Load()
		if u == nil {
			return nil, failure(EndpointUnknown)
		}
		at, authorization = u.String(), "Bearer "+q.raw
	}
	if n.lookup.Post {
		method = http.MethodPost
	}
	if _, ok := parseURL(at, n.lookup.AllowHTTP); !ok {
		return nil, failure(InvalidURL)
	}
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return nil, failure(InvalidURL)
	}
	for _, h := range q.request.Headers {
		req.Header.Set(h[0], h[1])
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header["Idempotency-Key"] = []string{} // not sent; see Introspector
	return req, nil
}

// exchange asks, and reads and remembers the answer. An error is that of a service that cannot be asked.
func (k *Looker) exchange(ctx context.Context, n *looking, q *question, req *http.Request) (found, error) {
	body, err := n.send(req)
	var f found
	ttl := n.lookup.CacheTTL
	switch {
	case errors.Is(err, errGone):
		f.err, ttl = fmt.Errorf("%w: %w", token.ErrLookup, errGone), min(ttl, refusedFor)
	case err != nil:
		return found{}, refine(ctx, err, lookupDocument)
	default:
		if f.answer, err = n.lookup.ParseAnswer(string(body), q.id); err != nil {
			// The parser's error may tell of the answer, so it ends here.
			return found{}, &FetchError{Reason: InvalidDocument, Document: lookupDocument}
		}
	}
	if ttl > 0 {
		k.found.put(q.key, f, token.AnswerWeight(string(body), f.answer), k.config.Now().Add(ttl))
	}
	return f, nil
}
