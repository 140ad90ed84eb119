package paths

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// zone is a way to read paths: one policy with these options for the hosts name.zone.test.
type zone struct {
	name string
	v1alpha1.PathOptions
}

var (
	keep  = v1alpha1.EncodedSlashKeep
	strip = v1alpha1.SemicolonStrip
	zones = []zone{
		{name: "default"},
		{"keep", v1alpha1.PathOptions{EncodedSlash: &keep}},
		{"strip", v1alpha1.PathOptions{Semicolon: &strip}},
		{"both", v1alpha1.PathOptions{EncodedSlash: &keep, Semicolon: &strip}},
	}
)

func zoneNames() (names []string) {
	for _, z := range zones {
		names = append(names, z.name)
	}
	return names
}

// zonePolicies are the rules of testdata once for each zone.
func zonePolicies(t *testing.T) (all []*v1alpha1.AuthPolicy) {
	t.Helper()
	for _, z := range zones {
		p := policies(t, "paths.yaml")[0]
		p.Name, p.Spec.Hosts, p.Spec.Paths = z.name, []string{"*." + z.name + ".test"}, &z.PathOptions
		all = append(all, p)
	}
	return all
}

// rights are those of the rules; alice has another one, to her own below /users.
var rights = []string{"root", "admin", "public", "shop", "cart", "dir"}

const own = "user:alice"

// oracle sends targets and compares. It is safe for concurrent use.
type oracle struct {
	listeners map[string]string // of Envoy, by mode
	all       string            // a token with every right
	without   map[string]string // tokens that lack one
}

func newOracle(t *testing.T, listeners map[string]string) *oracle {
	t.Helper()
	o := &oracle{listeners: listeners, all: mint(t, jwt.MapClaims{"roles": rights}), without: map[string]string{}}
	for _, right := range rights {
		others := slices.DeleteFunc(slices.Clone(rights), func(r string) bool { return r == right })
		o.without[right] = mint(t, jwt.MapClaims{"roles": others})
	}
	o.without[own] = mint(t, jwt.MapClaims{"roles": rights, "sub": "nobody"})
	return o
}

// try sends target to an application. difference says what is wrong with the answer: somebody reached a resource
// without the right to it, or the application has read another path than Sallyport.
func (o *oracle) try(c *client, application, zone, target string) (a answer, difference string, err error) {
	host := application + "." + zone + ".test"
	if a, err = c.get(target, host, o.all); err != nil || !a.served() {
		return a, "", err
	}
	if a.resource == "" {
		return a, "", fmt.Errorf("%s does not say what it serves for %q", application, target)
	}
	if escapedSlash.ReplaceAllString(a.path, "%2F") != a.judged {
		return a, fmt.Sprintf("judged as %q, read as %q", a.judged, a.path), nil
	}
	lacking, known := o.without[a.resource]
	if !known {
		return a, "reached " + a.resource + " by rule " + a.rule, nil
	}
	if rule, _, _ := strings.Cut(a.resource, ":"); rule == a.rule {
		return a, "", nil
	}
	// Rules with an equal claim must all hold, and only one of them is named. So ask again without the right.
	again, err := c.get(target, host, lacking)
	if err == nil && again.served() && again.resource == a.resource {
		difference = "reached " + a.resource + " without the right to it, by rule " + again.rule
	}
	return a, difference, err
}

var escapedSlash = regexp.MustCompile(`%2[fF]`)

// optional tells whether zones other than default could read target in another way.
func optional(target string) bool {
	return strings.ContainsAny(target, ";") || escapedSlash.MatchString(target)
}

// count is what one application in one mode was sent.
type count struct{ paths, allowed, served, differences int }

// tally counts, and keeps some differences. It is safe for concurrent use.
type tally struct {
	mu     sync.Mutex
	counts map[[2]string]*count // by application and mode
	found  []string
}

const mostFound = 20

func (y *tally) add(application, mode, target string, a answer, difference string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	key := [2]string{application, mode}
	c := y.counts[key]
	if c == nil {
		c = &count{}
		y.counts[key] = c
	}
	c.paths++
	if a.allowed {
		c.allowed++
	}
	if a.served() {
		c.served++
	}
	if difference != "" {
		c.differences++
		if len(y.found) < mostFound {
			y.found = append(y.found, fmt.Sprintf("%s, %s: %q: %s", application, mode, target, difference))
		}
	}
}

// enough tells whether a difference was found.
func (y *tally) enough() bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return len(y.found) > 0
}

// workers is the number of connections to each listener.
const workers = 8

// run sends every target to each application in each zone that visit says, in every mode.
func (o *oracle) run(t *testing.T, all []string, visit func(mode string, c *client, target string) error) {
	t.Helper()
	var running sync.WaitGroup
	for mode, address := range o.listeners {
		for w := range workers {
			running.Go(func() {
				c := &client{address: address}
				defer c.close()
				for i := w; i < len(all); i += workers {
					if err := visit(mode, c, all[i]); err != nil {
						t.Errorf("%s, %q: %v", mode, all[i], err)
						return
					}
				}
			})
		}
	}
	running.Wait()
}
