package extauthz

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

var (
	schemeName  = regexp.MustCompile(`(?:^|, )(Bearer|DPoP)`)
	schemeParam = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// challengesOf reads the challenges of one header, by scheme, without what RFC 6750 leaves open.
func challengesOf(header string) map[string]map[string]string {
	out := map[string]map[string]string{}
	starts := schemeName.FindAllStringSubmatchIndex(header, -1)
	for i, at := range starts {
		end := len(header)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		params := map[string]string{}
		for _, p := range schemeParam.FindAllStringSubmatch(header[at[3]:end], -1) {
			algorithms := strings.Fields(p[2])
			slices.Sort(algorithms)
			params[p[1]] = p[2]
			if p[1] == "algs" {
				params[p[1]] = strings.Join(algorithms, " ")
			}
		}
		delete(params, "error_description")
		out[header[at[2]:at[3]]] = params
	}
	return out
}

// TestDPoPChallengeVectors compares with the examples of RFC 9449. Figure 15 is that of a resource that takes no other scheme,
// which ours always does; and the challenge for a nonce names the algorithms with us, as it may.
func TestDPoPChallengeVectors(t *testing.T) {
	var rows []struct {
		ID, Header string
		Status     int32
	}
	vectors(t, "errors/www-authenticate.json", &rows)
	tried := map[string]struct {
		reason    policy.Reason
		withProof bool
	}{
		"rfc9449-7.1-binding":  {policy.ReasonSenderNotProven, true},
		"rfc9449-7.2-no-token": {policy.ReasonMissingToken, false},
		"rfc9449-7.2-bearer":   {policy.ReasonMalformedToken, false},
		"rfc9449-7.2-both":     {policy.ReasonAmbiguousCredential, false},
		"rfc9449-9-nonce":      {policy.ReasonProofNonceRequired, true},
	}
	for _, row := range rows {
		try, ours := tried[row.ID]
		if !ours {
			continue
		}
		delete(tried, row.ID)
		want := challengesOf(row.Header)
		algorithms := token.NewAlgorithms(token.ES256)
		switch want["DPoP"]["algs"] {
		case "ES256 PS256":
			algorithms |= token.NewAlgorithms(token.PS256)
		case "":
			want["DPoP"]["algs"] = "ES256"
		}
		c := check{
			decision: policy.Decision{Verdict: policy.Verdict{Reason: try.reason}}, sending: sending{withProof: try.withProof},
			trusted: []*token.Provider{{DPoP: &token.DPoP{Algorithms: algorithms}}},
		}
		out := c.response().GetDeniedResponse()
		got := headersOf(t, out.GetHeaders())["www-authenticate"]
		if d := cmp.Diff(want, challengesOf(got)); d != "" || int32(out.GetStatus().GetCode()) != row.Status {
			t.Errorf("%s: %d %s", row.ID, out.GetStatus().GetCode(), d)
		}
	}
	for id := range tried {
		t.Errorf("no row %s", id)
	}
}

// TestCertificateVectors: the certificate of RFC 8705 Appendix A has the thumbprint that stands there.
func TestCertificateVectors(t *testing.T) {
	var rows []struct {
		ID          string
		CNF         map[string]any
		Certificate string `json:"certificate_pem"`
	}
	vectors(t, "rfc/rfc8705_x5t_s256.json", &rows)
	seen := 0
	for _, row := range rows {
		if row.Certificate == "" {
			continue
		}
		seen++
		sum, ok := thumbprint(url.PathEscape(row.Certificate))
		if got := x5tOf(sum); !ok || got != row.CNF["x5t#S256"] {
			t.Errorf("%s: %s %t, want %s", row.ID, got, ok, row.CNF["x5t#S256"])
		}
	}
	if seen != 1 {
		t.Errorf("%d certificates", seen)
	}
}
