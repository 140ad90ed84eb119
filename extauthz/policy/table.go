package policy

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// table holds the rules of one host.
type table struct {
	tree *tree
	// deny is the reason why whatever comes is refused; empty for the rules to decide.
	deny Reason
	// closed is a rule whose matches cannot be read: the whole host refuses. Nil where all can.
	closed *rule
	// paths is how the servers of the host read a path.
	paths pathOptions
	// disputed names the fields of paths in which the policies do not agree, for the report.
	disputed []string
	// preflight: some policy lets CORS preflights pass.
	preflight bool
	// open: every policy is DryRun, though some rule is not; what lands on no rule passes.
	open bool
	// dry: some rule is DryRun.
	dry bool
	// strip are the headers that no client may set, in their spellings, lower case and sorted; folded are the same with
	// "-" throughout.
	strip  []string
	folded map[string]bool
	// lengths has the bit of each length among folded, so that most headers of a request need not be folded.
	lengths uint64
	// look of a refusal that no rule gives; that of the policy where one policy only has a say.
	look *look
	// overlaps are pairs of rules whose patterns overlap, for the report.
	overlaps [][2]entry
}

// newTable builds the table of a host from the policies that name it, in their order, and of nothing else. Without all, DryRun rules are
// left out; nil where every policy is DryRun in all of its rules.
func newTable(policies []*joined, all bool) *table {
	t := &table{tree: newTree(), open: !all}
	enforced := false
	for _, p := range policies {
		t.preflight = t.preflight || p.preflight
		t.open = t.open && p.draft.dryRun
		enforced = enforced || !p.draft.dryRun
		for _, r := range p.allRules() {
			t.dry = t.dry || r.dryRun
			if r.dryRun && !all {
				continue
			}
			enforced = true
			if r.unreadable && t.closed == nil {
				t.closed = r
			}
			for i := range r.matches {
				t.tree.add(&r.matches[i].pattern, entry{rule: r, match: &r.matches[i]})
			}
		}
	}
	if !enforced && !all {
		return nil
	}
	t.paths, t.disputed = agreedPaths(policies, all)
	t.tree.root.sort()
	t.protect(policies)
	t.look = commonLook(policies, all)
	return t
}

// commonLook is the look of a refusal that no rule gives: that of the policy where one only has a say; nil where several
// have.
func commonLook(policies []*joined, all bool) (l *look) {
	for _, p := range policies {
		switch {
		case !all && !p.enforces():
		case l != nil:
			return nil
		default:
			l = &p.look
		}
	}
	return l
}

// newHostTables are both tables of a host, which are built where the last compile had none for these policies.
func newHostTables(policies []*policy) hostTables { return policies[0].kept.tablesOf(policies) }

// buildHostTables builds both tables of a host.
func buildHostTables(policies []*joined) hostTables {
	all := newTable(policies, true)
	all.overlaps = findOverlaps(all)
	if !all.dry && !slices.ContainsFunc(policies, func(p *joined) bool { return p.draft.dryRun }) {
		return hostTables{enforced: all, all: all}
	}
	return hostTables{enforced: newTable(policies, false), all: all}
}

// protect collects the headers that policies of the host set.
func (t *table) protect(policies []*joined) {
	t.strip = identityHeaders(policies)
	for _, name := range t.strip {
		if t.folded == nil {
			t.folded = map[string]bool{}
		}
		t.folded[fold(name)] = true
		t.lengths |= lengthBit(fold(name))
	}
}

// spells tells whether name is a spelling of a header that no client may set.
func (t *table) spells(name string) bool {
	return t.lengths&lengthBit(name) != 0 && t.folded[fold(name)]
}

// lengthBit has the bit of the length of name; every bit where folding may change it, outside ASCII.
func lengthBit(name string) uint64 {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return math.MaxUint64
		}
	}
	return 1 << (len(name) & 63)
}

// identityHeaders are the names that policies set under upstream, with their spellings, sorted.
func identityHeaders(policies []*joined) []string {
	seen := map[string]bool{}
	var out []string
	for _, p := range policies {
		for _, h := range p.upstream.headers {
			if h.forbidden || seen[h.name] {
				continue
			}
			seen[h.name] = true
			out = append(out, spellings(h.name)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// maxMixedSeparators is the number of separators up to which every mixture of "-" and "_" is spelled out.
const maxMixedSeparators = 4

// spellings are a name and its spellings with "-" and "_": every mixture, whether the proxy shows it or not, or, of
// names with many separators, with either throughout.
func spellings(name string) []string {
	dashed := fold(name)
	if strings.Count(dashed, "-") > maxMixedSeparators {
		return []string{name, dashed, strings.ReplaceAll(dashed, "-", "_")}
	}
	parts := strings.Split(dashed, "-")
	out := parts[:1]
	for _, part := range parts[1:] {
		var next []string
		for _, before := range out {
			next = append(next, before+"-"+part, before+"_"+part)
		}
		out = next
	}
	return out
}

// agreedPaths is how the servers of a host read a path, where all policies agree; where they do not, the stricter
// reading. disputed names the fields.
func agreedPaths(policies []*joined, all bool) (o pathOptions, disputed []string) {
	first := true
	differs := [2]bool{}
	for _, p := range policies {
		if !all && !p.enforces() {
			continue
		}
		if first {
			o, first = p.paths, false
			continue
		}
		differs[0] = differs[0] || o.keepEncodedSlash != p.paths.keepEncodedSlash
		differs[1] = differs[1] || o.stripSemicolon != p.paths.stripSemicolon
	}
	if differs[0] {
		o.keepEncodedSlash = false
		disputed = append(disputed, "encodedSlash")
	}
	if differs[1] {
		o.stripSemicolon = false
		disputed = append(disputed, "semicolon")
	}
	return o, disputed
}

// reportHost adds to policies what is wrong with a host that they share. t is their table.
func reportHost(host string, policies []*policy, t *table) {
	for _, p := range policies {
		tellHost(&p.problems, host, p.joined, t)
	}
}

// tellHost adds to told what there is to tell p of that.
func tellHost(told *problems, host string, p *joined, t *table) {
	for _, name := range t.disputed {
		told.add(field.NewPath("spec", "paths", name), SeverityError, v1alpha1.ReasonInvalid,
			fmt.Sprintf("the policies of host %q do not agree; how a host reads paths belongs to the host, so say the same in each (until then: Refuse)", host))
	}
	for _, pair := range t.overlaps {
		reportOverlap(told, host, p, pair[0], pair[1])
		reportOverlap(told, host, p, pair[1], pair[0])
	}
}
