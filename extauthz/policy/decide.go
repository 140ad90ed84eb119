package policy

import "slices"

// outcome is a verdict on its way, with the rule that it is from.
type outcome struct {
	allow   bool
	reason  Reason
	rule    *rule
	message string
}

// Decide says what becomes of the request. enforced are the facts those found with Enforced.Trusted, dryRun
// those found with DryRun.Trusted. It is total: what it does not know, it refuses.
func (l *Landing) Decide(enforced, dryRun Facts) Decision {
	o := l.judge(&l.Enforced, enforced)
	d := Decision{}
	if o.allow {
		o = l.equip(&d, o, enforced)
	}
	d.Verdict = o.verdict()
	switch {
	case o.reason == ReasonResourceMetadata:
		d.Document = &o.rule.policy.documents[o.rule.resource]
	case !o.allow:
		d.Refusal = l.Enforced.look(o)
		switch o.reason {
		case ReasonInsufficientScope:
			d.Scopes = o.rule.challenge()
		case ReasonInsufficientUserAuthentication:
			d.StepUp = o.rule.stepUp
		}
	}
	if l.DryRun.says() && !dryRun.Unknown {
		v := l.judge(&l.DryRun, dryRun).verdict()
		d.DryRun = &v
	}
	return d
}

func (o outcome) verdict() Verdict {
	v := Verdict{Allow: o.allow, Reason: o.reason, Message: o.message}
	if o.rule != nil {
		v.Policy, v.Rule = o.rule.policy.name, o.rule.name
	}
	return v
}

// look of a refusal: that of the rule, or of the host.
func (c *Candidate) look(o outcome) *Refusal {
	switch {
	case o.rule != nil:
		return o.rule.look.of(o.reason)
	case len(c.tables) == 1 && c.tables[0].look != nil:
		return c.tables[0].look.of(o.reason)
	}
	return nil
}

// challenge are the scopes that the rule and its policy ask for.
func (r *rule) challenge() []string {
	var out []string
	for _, q := range []*requirements{r.require, r.policy.require} {
		if q != nil {
			out = append(out, q.scopes...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// judge is the verdict of the candidate. Of several rules the first that refuses is named, else the first.
func (l *Landing) judge(c *Candidate, f Facts) outcome {
	if c.reason != "" {
		o := outcome{allow: c.allow, reason: c.reason}
		o.rule = c.closedBy
		return o
	}
	if len(c.hits) == 0 {
		return outcome{reason: ReasonNoRule}
	}
	if o := c.refusedWithoutToken(); o.reason != "" {
		return o
	}
	o := l.judgeToken(c, f)
	if o.allow {
		if r := c.serves(); r != nil {
			return outcome{reason: ReasonResourceMetadata, rule: r}
		}
	}
	return o
}

// serves is the first rule that answers in place of the application; nil where none does.
func (c *Candidate) serves() *rule {
	for i := range c.hits {
		if h := &c.hits[i]; h.rule.access == accessMetadata && !h.preflight {
			return h.rule
		}
	}
	return nil
}

// refusedWithoutToken is the refusal of a rule that no token can change; a zero outcome where there is none.
func (c *Candidate) refusedWithoutToken() outcome {
	for i := range c.hits {
		switch r := c.hits[i].rule; {
		case r.closed:
			return outcome{reason: ReasonNotCompiled, rule: r}
		case r.access == accessDenied:
			return outcome{reason: ReasonDenied, rule: r}
		case r.from != nil && !r.from.holds(c.req):
			return outcome{reason: ReasonSourceNotAllowed, rule: r}
		}
	}
	return outcome{}
}

// judgeToken is the verdict of rules of which none refuses whoever comes.
func (l *Landing) judgeToken(c *Candidate, f Facts) outcome {
	var looking, needing *rule
	for i := range c.hits {
		h := &c.hits[i]
		if h.looks() && looking == nil {
			looking = h.rule
		}
		if h.looks() && h.rule.access == accessToken && needing == nil {
			needing = h.rule
		}
	}
	switch {
	case looking == nil && c.hits[0].preflight:
		return outcome{allow: true, reason: ReasonPreflight, rule: c.hits[0].rule}
	case looking == nil:
		return outcome{allow: true, reason: ReasonPublic, rule: c.hits[0].rule}
	case f.Err != nil:
		return outcome{reason: tokenReason(f.Err), rule: looking, message: senderMessage(f.Err)}
	case f.Identity == nil && needing != nil:
		return outcome{reason: ReasonMissingToken, rule: needing}
	case f.Identity == nil:
		return outcome{allow: true, reason: ReasonAnonymous, rule: c.hits[0].rule}
	}
	for i := range c.hits {
		if h := &c.hits[i]; h.looks() {
			if o := h.rule.judge(l.variables(h, f)); o.reason != "" {
				return o
			}
		}
	}
	return outcome{allow: true, reason: ReasonAllowed, rule: c.hits[0].rule}
}

func (l *Landing) variables(h *hit, f Facts) *variables {
	v := &l.req.vars
	*v = variables{identity: f.Identity, req: l.req, path: h.path, match: h.match, now: f.Now, trustDomain: l.snapshot.opts.TrustDomain}
	v.lookups, v.complete = h.rule.lookedUp(f)
	return v
}

// judge says why the rule refuses the identity; a zero outcome where it does not.
func (r *rule) judge(vars *variables) outcome {
	t := r.believes(vars.identity)
	if t == nil {
		return outcome{reason: ReasonUntrustedIssuer, rule: r}
	}
	if t.audiences != nil && !slices.ContainsFunc(t.audiences, func(a string) bool { return slices.Contains(vars.identity.Audiences, a) }) {
		return outcome{reason: ReasonInvalidAudience, rule: r}
	}
	for _, e := range t.rules {
		if !e.holds(vars) {
			return outcome{reason: ReasonClaimValidationFailed, rule: r, message: e.message}
		}
	}
	if !vars.complete {
		return outcome{reason: ReasonLookupFailed, rule: r}
	}
	for _, q := range [...]*requirements{r.policy.require, r.require} {
		if q == nil {
			continue
		}
		if u := q.check(vars); u.reason != "" {
			return outcome{reason: u.reason, rule: r, message: u.message}
		}
	}
	if r.stepUp != nil && !r.stepUp.holds(vars.identity, vars.now) {
		return outcome{reason: ReasonInsufficientUserAuthentication, rule: r}
	}
	return outcome{}
}

// equip adds to a decision what the application receives. A value that cannot be written safely refuses.
func (l *Landing) equip(d *Decision, o outcome, f Facts) outcome {
	c := &l.Enforced
	sum := 0
	for i := range c.hits {
		p := c.hits[i].rule.policy
		if i > 0 && p == c.hits[i-1].rule.policy {
			continue
		}
		if d.RemoveToken == nil {
			d.RemoveToken = p.sources
		} else {
			d.RemoveToken = append(slices.Clip(d.RemoveToken), p.sources...)
		}
		if o.reason != ReasonAllowed || !c.looksAt(p) {
			continue
		}
		vars := l.variables(&c.hits[i], f)
		vars.lookups = c.lookedUp(p, f)
		for j := range p.upstream.headers {
			h := &p.upstream.headers[j]
			value, present, err := h.header(vars)
			if sum += len(h.name) + len(value); err != nil || sum > maxUpstreamBytes {
				return outcome{reason: ReasonUpstreamValueInvalid, rule: c.hits[i].rule, message: "header " + h.name}
			}
			if d.Set == nil {
				d.Set = make([]HeaderValue, 0, len(p.upstream.headers))
			}
			if present && !slices.ContainsFunc(d.Set, func(s HeaderValue) bool { return fold(s.Name) == fold(h.name) }) {
				d.Set = append(d.Set, HeaderValue{h.name, value})
			}
		}
		for j := range p.upstream.metadata {
			m := &p.upstream.metadata[j]
			if v, present := m.value(vars); present && !slices.ContainsFunc(d.Metadata, func(s MetadataValue) bool { return s.Key == m.name }) {
				d.Metadata = append(d.Metadata, MetadataValue{m.name, v})
			}
		}
	}
	l.strip(d)
	return o
}

// looksAt tells whether a rule of p that decides looks at tokens.
func (c *Candidate) looksAt(p *joined) bool {
	return slices.ContainsFunc(c.hits, func(h hit) bool { return h.rule.policy == p && h.looks() })
}

// strip names the headers that the application must not receive.
func (l *Landing) strip(d *Decision) {
	for _, t := range l.enforced {
		l.stripTable(d, t)
	}
	for _, t := range l.all {
		if !slices.Contains(l.enforced, t) {
			l.stripTable(d, t)
		}
	}
}

func (l *Landing) stripTable(d *Decision, t *table) {
	if len(t.strip) == 0 {
		return
	}
	switch {
	case len(d.Set) == 0 && d.Remove == nil:
		d.Remove = slices.Clip(t.strip)
	default:
		if d.Remove == nil {
			d.Remove = make([]string, 0, len(t.strip))
		}
		for _, name := range t.strip {
			d.remove(name)
		}
	}
	for i := range l.req.in.Headers {
		if name := l.req.in.Headers[i].Name; t.spells(name) {
			d.remove(name)
		}
	}
}

// remove adds name to the headers to remove, unless it is there or set.
func (d *Decision) remove(name string) {
	if !slices.Contains(d.Remove, name) && !slices.ContainsFunc(d.Set, func(s HeaderValue) bool { return s.Name == name }) {
		d.Remove = append(d.Remove, name)
	}
}
