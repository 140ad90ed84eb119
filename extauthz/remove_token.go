package extauthz

import (
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// removeTokens adds to a what takes tokens out of the request, from each place where there is something.
//
// Of a query, what stays is kept byte for byte, by setting the path: query_parameters_to_remove would write it anew, in
// the order of the names, which breaks signed URLs.
func removeTokens(a *answer, req *policy.Request, d *policy.Decision) {
	cookies, _ := req.Header("cookie")
	rest, query := cookies, req.Query()
	for _, s := range d.RemoveToken {
		switch {
		case s.Header != "":
			if value, ok := req.Header(s.Header); ok && hasToken(value, s) && !sets(d, s.Header) && !slices.Contains(a.remove, s.Header) {
				// The slice may belong to the snapshot.
				a.remove = append(slices.Clip(a.remove), s.Header)
			}
		case s.Cookie != "":
			rest = removeCookie(rest, s.Cookie)
		case s.QueryParameter != "":
			query = removeParameter(query, s.QueryParameter)
		}
	}
	if query != req.Query() {
		path := req.Path()
		if query != "" {
			path += "?" + query
		}
		a.headers = append(a.headers, policy.HeaderValue{Name: ":path", Value: path})
	}
	switch {
	case rest == cookies || slices.Contains(a.remove, "cookie"):
	case rest == "":
		a.remove = append(slices.Clip(a.remove), "cookie")
	default:
		a.headers = append(a.headers, policy.HeaderValue{Name: "cookie", Value: rest})
	}
}

// sets tells whether the decision overwrites the header.
func sets(d *policy.Decision, name string) bool {
	return slices.ContainsFunc(d.Set, func(h policy.HeaderValue) bool { return h.Name == name })
}

// hasToken tells whether one of the values that are joined in a header is of the source's scheme.
func hasToken(value string, s token.Source) bool {
	if s.Scheme == "" {
		return true
	}
	for part := range strings.SplitSeq(value, ",") {
		scheme := strings.Trim(part, " \t")
		if i := strings.IndexAny(scheme, " \t"); i >= 0 {
			scheme = scheme[:i]
		}
		if strings.EqualFold(scheme, s.Scheme) {
			return true
		}
	}
	return false
}

// removeCookie leaves out every cookie of that name, and keeps the others and what separates them byte for byte. Like
// token.Extract it reads "," as well as ";" between cookies, since Envoy joins two Cookie fields with it.
func removeCookie(header, name string) string {
	if !strings.Contains(header, name) {
		return header
	}
	var kept strings.Builder
	removed, apart := false, false
	for rest, sep := header, ""; ; {
		end := strings.IndexAny(rest, ";,")
		pair := rest
		if end >= 0 {
			pair = rest[:end]
		}
		key, _, _ := strings.Cut(pair, "=")
		switch {
		case strings.Trim(key, " \t") == name:
			removed = true
			// A token holds no comma: one beside it stands between two Cookie fields, which become one.
			apart = apart || sep == "," || end >= 0 && rest[end] == ','
		case kept.Len() == 0:
			kept.WriteString(strings.TrimLeft(pair, " \t"))
			apart = false
		case apart:
			kept.WriteString("; " + strings.TrimLeft(pair, " \t"))
			apart = false
		default:
			kept.WriteString(sep)
			kept.WriteString(pair)
		}
		if end < 0 {
			break
		}
		sep, rest = rest[end:end+1], rest[end+1:]
	}
	if !removed {
		return header
	}
	return strings.Trim(kept.String(), " \t")
}

func spells(key, name string) bool {
	if key == name {
		return true
	}
	decoded, err := url.QueryUnescape(key)
	return err == nil && decoded == name
}

// removeParameter leaves out every parameter that is read as name.
func removeParameter(query, name string) string {
	if !strings.Contains(query, name) && !strings.ContainsAny(query, "%+") {
		return query // in no spelling
	}
	pairs := strings.Split(query, "&")
	pairs = slices.DeleteFunc(pairs, func(pair string) bool {
		key, _, _ := strings.Cut(pair, "=")
		return spells(key, name)
	})
	return strings.Join(pairs, "&")
}
