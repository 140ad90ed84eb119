package paths

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
)

// slice is the number of targets that make test sends.
const slice = 700

// application is one way to set up a server, and the zones that fit it.
type application struct {
	name, title string
	fits        []string
	only        string // the one resource of which its differences speak, where it is one
}

// applications are the table in docs/paths.md. What fits none of the zones has a reading of its own that no option
// covers.
var applications = []application{
	{"gomux", "Go `http.ServeMux`", []string{"default", "keep"}, ""},
	{"gopath", "Go, on `r.URL.Path`", []string{"default"}, ""},
	{"nginx", "nginx, `location = /a` and `location /a/`", []string{"default"}, ""},
	{"httpd", "Apache httpd", []string{"default", "keep"}, ""},
	{"httpdnodecode", "Apache httpd, `AllowEncodedSlashes NoDecode`", []string{"default", "keep"}, ""},
	{"httpddecode", "Apache httpd, `AllowEncodedSlashes On`", []string{"default"}, ""},
	{"tomcat", "Tomcat", []string{"default", "keep", "strip", "both"}, ""},
	{"tomcatpass", "Tomcat, `encodedSolidusHandling=\"passthrough\"`", []string{"default", "keep", "strip", "both"}, ""},
	{"tomcatdecode", "Tomcat, `encodedSolidusHandling=\"decode\"`", []string{"default", "strip"}, ""},
	{"nginxprefix", "nginx, `location /a` alone", nil, ""},
	{"nginxnocase", "nginx, `location ~*`", nil, ""},
	{"goslashless", "a server that ignores the final slash", nil, "dir"},
}

// asked is the number of targets: SALLYPORT_PROVE, or the slice.
func asked(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SALLYPORT_PROVE")
	if text == "" {
		return slice
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < len(known) {
		t.Fatalf("SALLYPORT_PROVE=%q: must be a number of targets, %d or more", text, len(known))
	}
	return n
}

// world starts everything, with every server that is there.
func world(t *testing.T) (o *oracle, running []application) {
	t.Helper()
	envoyBinary(t)
	addresses := startServers(t)
	for _, a := range applications {
		if addresses[a.name] != "" {
			running = append(running, a)
		}
	}
	sallyport := serve(t, newSallyport(t, zonePolicies(t)))
	return newOracle(t, startEnvoy(t, sallyport, modes, addresses, zoneNames())), running
}

// TestPaths sends every target, in every mode, to every server with the options that fit it: nobody reaches a resource
// without the right to it. And it shows that the options that docs/paths.md does not give to a server do not fit.
func TestPaths(t *testing.T) {
	o, running := world(t)
	all := targets(t, asked(t))
	t.Run("fits", func(t *testing.T) {
		y := &tally{counts: map[[2]string]*count{}}
		o.run(t, all, func(mode string, c *client, target string) error {
			return o.visit(y, running, mode, c, target)
		})
		for _, difference := range y.found {
			t.Error(difference)
		}
		t.Logf("\n%s", y.table(t, running))
	})
	for _, a := range running {
		for _, z := range zoneNames() {
			if !slices.Contains(a.fits, z) && (a.only == "" || z == "default") {
				t.Run("does not fit/"+a.name+"/"+z, func(t *testing.T) { o.findsMisfit(t, a, z) })
			}
		}
	}
}

// visit sends a target to all applications in all zones that fit them, as long as Sallyport lets it in.
func (o *oracle) visit(y *tally, running []application, mode string, c *client, target string) error {
	for _, z := range zoneNames() {
		if z != "default" && !optional(target) {
			continue // the options do not matter to it
		}
		for _, app := range running {
			if !slices.Contains(app.fits, z) {
				continue
			}
			a, difference, err := o.try(c, app.name, z, target)
			if err != nil {
				return err
			}
			y.add(app.name, mode, target, a, difference)
			if !a.allowed {
				break // nor would it be for the next: the policy is the same
			}
		}
	}
	return nil
}

// findsMisfit sees that an application and a zone that do not fit differ in one of the known tricks.
func (o *oracle) findsMisfit(t *testing.T, app application, zone string) {
	y := &tally{counts: map[[2]string]*count{}}
	o.run(t, known, func(mode string, c *client, target string) error {
		if app.only == "" && y.enough() {
			return nil
		}
		a, difference, err := o.try(c, app.name, zone, target)
		if app.only != "" && difference != "" && a.resource != app.only {
			t.Errorf("%s: %q: %s, though only %s differs", mode, target, difference, app.only)
		}
		y.add(app.name, mode, target, a, difference)
		return err
	})
	if len(y.found) == 0 {
		t.Fatalf("%s has no difference with %s: say in docs/paths.md that it fits", app.name, zone)
	}
	t.Logf("differs, as it must: %s", y.found[0])
}

// table shows the counts, and sees that each server has served something in each mode.
func (y *tally) table(t *testing.T, running []application) string {
	t.Helper()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "server\tmode\tasked\tallowed\tserved\tdifferences")
	sum := count{}
	for _, a := range running {
		for _, m := range modes {
			c := y.counts[[2]string{a.name, m.name}]
			if c == nil {
				continue
			}
			if c.served < slice/20 || 2*c.served < c.allowed {
				t.Errorf("%s, %s: %d of %d targets that were let in were served, which shows little", a.name, m.name, c.served, c.allowed)
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\n", a.name, m.name, c.paths, c.allowed, c.served, c.differences)
			sum = count{sum.paths + c.paths, sum.allowed + c.allowed, sum.served + c.served, sum.differences + c.differences}
		}
	}
	fmt.Fprintf(w, "all %d\t%d\t%d\t%d\t%d\t%d\n", len(slices.Collect(maps.Keys(y.counts)))/len(modes), len(modes), sum.paths, sum.allowed, sum.served, sum.differences)
	w.Flush()
	return b.String()
}
