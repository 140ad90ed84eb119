package extauthz

import (
	"strings"
	"sync/atomic"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"

	"github.com/sallyport/sallyport/extauthz/policy"
)

const (
	// maxLogged bounds each text of a client in a line of the log.
	maxLogged = 256
	// refusalBurst are the seconds' worth of refusals that may be logged at once.
	refusalBurst = 2
)

// decisionLog writes decisions to the log: refusals, and what DryRun rules would refuse, up to a rate; the rest at
// level 1.
type decisionLog struct {
	log     logr.Logger
	limit   *rate.Limiter
	dropped atomic.Uint64 // lines left out since the start
	untold  atomic.Uint64 // of these, those that no later line has told of
}

func newDecisionLog(log logr.Logger, perSecond float64) *decisionLog {
	return &decisionLog{log: log, limit: rate.NewLimiter(rate.Limit(perSecond), max(1, int(refusalBurst*perSecond)))}
}

// decided logs the decision of c.
func (l *decisionLog) decided(c *check) {
	d := &c.decision
	switch {
	case d.Document != nil:
		if log := l.log.V(1); log.Enabled() {
			log.Info("Request answered", l.pairs(c, &d.Verdict)...)
		}
	case !d.Allow:
		l.refusal("Request refused", c, &d.Verdict)
	case d.DryRun != nil && !d.DryRun.Allow:
		l.refusal("Request would be refused", c, d.DryRun)
	default:
		if log := l.log.V(1); log.Enabled() {
			log.Info("Request allowed", l.pairs(c, &d.Verdict)...)
		}
	}
}

func (l *decisionLog) refusal(message string, c *check, v *policy.Verdict) {
	if !l.log.Enabled() {
		return
	}
	if !l.limit.AllowN(c.start, 1) {
		l.dropped.Add(1)
		l.untold.Add(1)
		return
	}
	pairs := l.pairs(c, v)
	if v.Message != "" {
		pairs = append(pairs, "message", v.Message)
	}
	if n := l.untold.Swap(0); n > 0 {
		pairs = append(pairs, "dropped", n)
	}
	l.log.Info(message, pairs...)
}

// pairs are the keys and values of a line. No token, query, header or claim is among them.
func (l *decisionLog) pairs(c *check, v *policy.Verdict) []any {
	host := c.input.Host
	if c.req != nil {
		host = c.req.Host()
	}
	return []any{
		"reason", string(v.Reason), "policy", v.Policy, "rule", v.Rule,
		"method", loggable(c.input.Method), "host", loggable(host), "path", loggable(pathOnly(c.input.Path)),
		"decisionID", c.id,
	}
}

// pathOnly is the path up to where any server could begin to read a query or parameters, in which tokens may stand.
func pathOnly(path string) string {
	for i := range len(path) {
		switch path[i] {
		case '?', '#', ';', '&':
			return path[:i]
		case '%':
			if i+2 < len(path) && (path[i+1] == '3' && strings.IndexByte("fFbB", path[i+2]) >= 0 || path[i+1] == '2' && strings.IndexByte("36", path[i+2]) >= 0) {
				return path[:i]
			}
		}
	}
	return path
}

// loggable is a client's text as a log can hold it: printable ASCII, bounded, and a copy, since a sink may keep it when the
// memory of the request has gone to another one.
func loggable(s string) string {
	if len(s) > maxLogged {
		return clean(s[:maxLogged]) + "..."
	}
	return clean(s)
}

func clean(s string) string {
	if isPrintable(s) {
		return strings.Clone(s)
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
