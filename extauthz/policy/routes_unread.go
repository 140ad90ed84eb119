package policy

import (
	"regexp"
	"strconv"
	"strings"
)

// unread is what of an object of the Gateway API this version cannot read. Such a thing could mean anything: what it may
// have a say in counts as meant, beside what surely is.
type unread struct {
	// whole: every rule, or every listener.
	whole bool
	// rules, by index; listeners of a Gateway.
	rules map[int]bool
	// hostnames of the route, or of listeners.
	hostnames bool
}

// unreadPath is a path into an entry of a list: a rule, or a listener.
var unreadPath = regexp.MustCompile(`^spec\.(?:rules|listeners)\[(\d+)\](?:\.([^.\[]+))?`)

// unreadOf reads the paths that strict decoding found. What has no say in where a request lands does not count.
func unreadOf(fields []UndecodedField) unread {
	out := unread{rules: map[int]bool{}}
	for _, f := range fields {
		if m := unreadPath.FindStringSubmatch(f.Path); m != nil {
			i, err := strconv.Atoi(m[1])
			switch m[2] {
			case "filters", "backendRefs", "timeouts", "retry", "sessionPersistence", "tls":
			case "hostname":
				out.hostnames = true
				out.rules[i] = true
			default:
				out.rules[i] = err == nil
				out.whole = out.whole || err != nil
			}
			continue
		}
		switch field, _, _ := strings.Cut(strings.TrimPrefix(f.Path, "spec."), "."); {
		case field == "infrastructure" || field == "tls" || strings.HasPrefix(field, "addresses"):
		case strings.HasPrefix(field, "hostnames"):
			out.hostnames, out.whole = true, true
		default:
			out.whole = true
		}
	}
	return out
}
