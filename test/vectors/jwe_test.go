package vectors

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"

	"github.com/sallyport/sallyport/extauthz/token"
)

// What is decrypted; everything else refuses, whatever a file says of it.
var (
	keyAlgorithms = []string{"RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW", "dir"}
	contents      = []string{"A128GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512"}
)

// privateKeys reads one private JWK, as the entry of a Secret.
func privateKeys(jwk json.RawMessage) (*token.PrivateKeySet, []error) {
	return token.ParsePrivateKeys(map[string][]byte{"key": jwk})
}

// outside says why a token is none that is ever decrypted; "" where it is one.
func outside(t *testing.T, compact string) string {
	t.Helper()
	segment, _, _ := strings.Cut(compact, ".")
	text, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return "the header is not base64url"
	}
	var h struct {
		Alg, Enc string
		Zip      any
	}
	switch err := json.Unmarshal(text, &h); {
	case err != nil:
		return "the header is no JSON"
	case !slices.Contains(keyAlgorithms, h.Alg):
		return h.Alg
	case !slices.Contains(contents, h.Enc):
		return h.Enc
	case h.Zip != nil:
		return "zip"
	}
	return ""
}

// TestRFCEncryptedExamples runs the examples of RFC 7516 and RFC 7520. The content of some is prose, so that nothing here
// is about tokens.
func TestRFCEncryptedExamples(t *testing.T) {
	data, err := os.ReadFile("testdata/rfc_jwe.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		ID, Compact, Plaintext, Verdict, Why string
		Key                                  json.RawMessage
	}
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	decrypted := 0
	for _, row := range rows {
		set, problems := privateKeys(row.Key)
		plaintext, err := set.Decrypt(row.Compact)
		switch {
		case row.Verdict == "valid":
			if decrypted++; err != nil || string(plaintext) != row.Plaintext {
				t.Errorf("%s: %q, %v, keys %v", row.ID, plaintext, err, problems)
			}
		case !errors.Is(err, token.ErrMalformed) || outside(t, row.Compact) == "":
			t.Errorf("%s (%s): %q, %v", row.ID, row.Why, plaintext, err)
		}
	}
	if len(rows) != 11 || decrypted != 3 {
		t.Errorf("%d rows, of which %d are decrypted", len(rows), decrypted)
	}
}

// encryption is a vector of json_web_encryption_test.json.
type encryption struct {
	TcID       int
	Comment    string
	JWE, Pt    json.RawMessage
	Result     string
	privateJWK json.RawMessage
}

func encryptions(t *testing.T) (out []encryption) {
	t.Helper()
	data, err := fs.ReadFile(wycheproof.TestVectors, "json_web_encryption_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		NumberOfTests int
		TestGroups    []struct {
			Private json.RawMessage
			Tests   []encryption
		}
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	for _, group := range s.TestGroups {
		for _, v := range group.Tests {
			v.privateJWK = group.Private
			out = append(out, v)
		}
	}
	if len(out) != 139 || s.NumberOfTests != 139 {
		t.Fatalf("%d tests, want 139", len(out))
	}
	return out
}

// TestWycheproofJWE decrypts every vector with its key. What the file calls invalid never decrypts; what it calls valid
// does, unless an algorithm is not ours, and there are as many of those as were counted.
func TestWycheproofJWE(t *testing.T) {
	valid, notOurs := 0, map[string]int{}
	for _, v := range encryptions(t) {
		var compact, pt string
		if err := json.Unmarshal(v.JWE, &compact); err != nil {
			compact = string(v.JWE) // the JSON serialization
		}
		if v.Pt != nil {
			if err := json.Unmarshal(v.Pt, &pt); err != nil {
				t.Fatal(err)
			}
		}
		set, problems := privateKeys(v.privateJWK)
		plaintext, err := set.Decrypt(compact)
		why := outside(t, compact)
		switch {
		case v.Result == "valid" && why == "":
			if valid++; err != nil || string(plaintext) != string(unhex(t, pt)) {
				t.Errorf("tcId %d (%s): %q, %v, keys %v", v.TcID, v.Comment, plaintext, err, problems)
			}
		case v.Result == "valid":
			notOurs[why]++
			fallthrough
		default:
			if err == nil {
				t.Errorf("tcId %d (%s): decrypts to %q", v.TcID, v.Comment, plaintext)
			}
		}
	}
	t.Logf("%d vectors decrypt; of algorithms that are not ours: %v", valid, notOurs)
	if valid != 25 {
		t.Errorf("%d vectors decrypt", valid)
	}
}
