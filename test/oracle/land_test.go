package oracle

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// land are the claims that decide, in the order of their policies and rules; why says for which reasons there are none.
// In an open table what no rule takes asks for nothing, and a claim that does not fit counts for nothing.
func land(claims []*claim, path reading, q *question, method string, open bool) (hits []*claim, why []string) {
	readings := []bool{false, true}
	if !path.slash {
		readings = readings[:1]
	}
	if open {
		claims, _ = split(claims, func(c *claim) bool {
			fits, readable := c.fits(q, method)
			return fits || !readable
		})
	}
	for _, with := range readings {
		var deciding []*claim
		for _, c := range claims {
			beaten := slices.ContainsFunc(claims, func(o *claim) bool { return o.takes(path, with) && o.beats(c, len(path.segs)) })
			if c.takes(path, with) && !beaten {
				deciding = append(deciding, c)
			}
		}
		if len(deciding) == 0 && !open {
			why = append(why, "NoRule")
		}
		for len(deciding) > 0 {
			first := deciding[0]
			var one []*claim
			one, deciding = split(deciding, first.same)
			picked, reason := pick(one, q, method)
			if reason != "" {
				why = append(why, reason)
			}
			hits = append(hits, picked...)
		}
	}
	if len(why) > 0 {
		return nil, why
	}
	if len(hits) == 0 {
		return nil, []string{"NoRule"}
	}
	slices.SortStableFunc(hits, func(a, b *claim) int {
		return cmp.Or(strings.Compare(a.p.Namespace, b.p.Namespace), strings.Compare(a.p.Name, b.p.Name), cmp.Compare(a.index, b.index))
	})
	return slices.Compact(hits), nil
}

func split[T any](list []T, in func(T) bool) (yes, no []T) {
	for _, c := range list {
		if in(c) {
			yes = append(yes, c)
		} else {
			no = append(no, c)
		}
	}
	return yes, no
}

// pick are the claims of one pattern that decide: of those that fit, the ones that say most, and of each policy the first.
func pick(claims []*claim, q *question, method string) (out []*claim, reason string) {
	slices.SortStableFunc(claims, func(a, b *claim) int { return -slices.Compare(a.weight(), b.weight()) })
	for _, c := range claims {
		if len(out) > 0 && slices.Compare(c.weight(), out[0].weight()) != 0 {
			break
		}
		if slices.ContainsFunc(out, func(o *claim) bool { return o.p == c.p }) {
			continue
		}
		switch fits, readable := c.fits(q, method); {
		case !readable:
			return nil, "AmbiguousRequest"
		case fits:
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, "NoRule"
	}
	return out, ""
}

// weight ranks claims of one pattern: names methods, then headers, then query parameters.
func (c *claim) weight() []int {
	methods := 0
	if len(c.match.Methods) > 0 || c.match.GRPC != nil {
		methods = 1
	}
	return []int{methods, len(c.match.Headers), len(c.match.QueryParams)}
}

// fits tells whether method, headers and query are as the claim wants them.
func (c *claim) fits(q *question, method string) (fits, readable bool) {
	if c.unfit {
		return true, true
	}
	methods := c.match.Methods
	if c.match.GRPC != nil {
		methods = []string{"POST"}
	}
	if len(methods) > 0 && !slices.Contains(methods, method) {
		return false, true
	}
	for _, h := range c.match.Headers {
		if got, ok := q.headers[strings.ToLower(h.Name)]; !ok || !holds(&h, got) {
			return false, true
		}
	}
	for _, want := range c.match.QueryParams {
		got, n, readable := q.parameter(want.Name)
		if !readable {
			return false, false
		}
		if n == 0 || !holds(&want, got) {
			return false, true
		}
	}
	return true, true
}

func holds(m *v1alpha1.ValueMatch, got string) bool {
	if value(m.Type, v1alpha1.ValueMatchExact) == v1alpha1.ValueMatchExact {
		return got == m.Value
	}
	return whole(m.Value).MatchString(got)
}

// parameter finds a query parameter. It cannot be read where parsers differ: on ; and #, on escapes that are none, and on
// which of two counts.
func (q *question) parameter(name string) (got string, n int, readable bool) {
	_, query, _ := strings.Cut(q.path, "?")
	if strings.ContainsAny(query, ";#") {
		return "", 0, false
	}
	for pair := range strings.SplitSeq(query, "&") {
		k, v, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(k)
		if err != nil {
			return "", 0, false
		}
		if key != name {
			continue
		}
		if got, err = url.QueryUnescape(v); err != nil {
			return "", 0, false
		}
		n++
	}
	return got, n, n < 2
}
