package vectors

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

// read decodes a file of the vectors, and skips the test where there are none.
func read(t *testing.T, into any, path ...string) {
	t.Helper()
	folder := os.Getenv("SALLYPORT_VECTORS")
	if folder == "" {
		t.Skip("SALLYPORT_VECTORS names no folder")
	}
	data, err := os.ReadFile(filepath.Join(append([]string{folder, "rfc"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// example is a row of rfc_examples.json or rfc7519_examples.json.
type example struct {
	ID        string
	Key       json.RawMessage
	Compact   string
	Token     string
	Payload   string
	Signature string
	JWT       string
}

func TestRFCExamples(t *testing.T) {
	// One of the causes that the files name, for each.
	want := map[string]error{
		"rfc7515-A.1": token.ErrAudience,
		"rfc7515-A.2": token.ErrAudience,
		"rfc7515-A.3": token.ErrAudience,
		"rfc7515-A.4": token.ErrMalformed,
		"rfc7515-A.5": token.ErrMalformed,
		"rfc7515-E":   token.ErrMalformed,
		"rfc8037-A.4": token.ErrMalformed,
		"rfc7519-3.1": token.ErrAudience,
		"rfc7519-6.1": token.ErrMalformed,
	}
	var rows, more []example
	read(t, &rows, "rfc_examples.json")
	read(t, &more, "rfc7519_examples.json")
	rows = append(rows, more...)
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for _, row := range rows {
		t.Run(row.ID, func(t *testing.T) {
			raw := row.Compact + row.Token
			set := set(t, row.Key)
			if row.Signature == "valid" {
				payload, err := set.VerifyJWS(raw, everyAlgorithm)
				if err != nil || row.Payload != "" && string(payload) != row.Payload {
					t.Errorf("payload %q, error %v", payload, err)
				}
			}
			if row.JWT != "refuse" {
				t.Fatalf("verdict %q is not known", row.JWT)
			}
			refused(t, raw, set, want[row.ID])
		})
	}
}

// set imports one key; without one, a set that has nothing to do with the token stands in.
func set(t *testing.T, jwk json.RawMessage) *token.KeySet {
	t.Helper()
	var k struct{ Kty string }
	if err := json.Unmarshal(jwk, &k); err != nil {
		t.Fatal(err)
	}
	if k.Kty == "" {
		s, err := token.NewHMACKeySet(make([]byte, 64))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, problems, err := token.ParseJWKS(asSet(jwk), k.Kty == "oct")
	if err != nil {
		t.Fatal(err, problems)
	}
	return s
}

// refused runs raw through the whole verifier, for a provider that would take all that can be taken.
func refused(t *testing.T, raw string, keys *token.KeySet, want error) {
	t.Helper()
	source := token.Source{Header: "authorization", Scheme: "Bearer"}
	provider := &token.Provider{
		Name: "IdentityProvider/test/joe", Issuer: "joe", Audiences: []string{"anybody"}, Algorithms: everyAlgorithm,
		TokenTypes: []string{"jwt"}, Sources: []token.Source{source}, Static: keys,
	}
	now := func() time.Time { return time.Unix(1300819000, 0) } // before exp of the examples
	v, err := token.NewVerifier(token.Config{Now: now, CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		id, err := v.Verify(context.Background(), token.Credential{Raw: raw, Source: source}, []*token.Provider{provider})
		if !errors.Is(err, want) || id != nil {
			t.Errorf("identity %v, error %v, want %v", id, err, want)
		}
	}
}

// cookbook is an example of RFC 7520, RFC 7797 or RFC 8037.
type cookbook struct {
	Input struct {
		Key     map[string]any
		Payload string
	}
	Output struct{ Compact string }
}

// publicJWK is the public half of the example's key, or the secret.
func (c cookbook) publicJWK(t *testing.T) json.RawMessage {
	t.Helper()
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi"} {
		delete(c.Input.Key, private)
	}
	jwk, err := json.Marshal(c.Input.Key)
	if err != nil {
		t.Fatal(err)
	}
	return jwk
}

func TestCookbookSignatures(t *testing.T) {
	tests := []struct {
		file string
		want error // of the signature check alone
	}{
		{"jws/4_1.rsa_v15_signature.json", nil},
		{"jws/4_2.rsa-pss_signature.json", nil},
		{"jws/4_3.ecdsa_signature.json", nil},
		{"jws/4_4.hmac-sha2_integrity_protection.json", nil},
		{"jws/4_5.signature_with_detached_content.json", token.ErrSignature},
		{"curve25519/jws.json", nil},
		{"rfc7797/hmac-sha2_b64_false.json", token.ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			var c cookbook
			read(t, &c, "cookbook", test.file)
			keys := set(t, c.publicJWK(t))
			payload, err := keys.VerifyJWS(c.Output.Compact, everyAlgorithm)
			if !errors.Is(err, test.want) || test.want == nil && string(payload) != c.Input.Payload {
				t.Errorf("payload %q, error %v, want %v", payload, err, test.want)
			}
			refused(t, c.Output.Compact, keys, token.ErrMalformed)
		})
	}
}

// What is not in compact form is no token, whatever it says.
func TestCookbookJSONSerialization(t *testing.T) {
	for _, file := range []string{
		"jws/4_6.protecting_specific_header_fields.json", "jws/4_7.protecting_content_only.json",
		"jws/4_8.multiple_signatures.json", "rfc7797/4.2.hmac-sha2_b64_false.json",
	} {
		t.Run(file, func(t *testing.T) {
			var c struct{ Output map[string]json.RawMessage }
			read(t, &c, "cookbook", file)
			if len(c.Output) == 0 || c.Output["compact"] != nil {
				t.Fatal("the file has another form than was expected")
			}
			for _, text := range c.Output {
				refused(t, string(text), set(t, json.RawMessage(`{}`)), token.ErrMalformed)
			}
		})
	}
}

// RFC 7797 §4.2 as the RFC prints it, with crit, made compact.
func TestUnencodedPayload(t *testing.T) {
	var c cookbook
	read(t, &c, "cookbook", "rfc7797/hmac-sha2_b64_false.json")
	const header = "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19"
	const signature = "A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY"
	for _, payload := range []string{"$.02", "JC4wMg", ""} {
		refused(t, header+"."+payload+"."+signature, set(t, c.publicJWK(t)), token.ErrMalformed)
	}
}

func TestCookbookKeys(t *testing.T) {
	tests := []struct {
		file      string
		symmetric bool
		ok        bool
	}{
		{"3_1.ec_public_key.json", false, true},
		{"3_2.ec_private_key.json", false, false},
		{"3_3.rsa_public_key.json", false, true},
		{"3_4.rsa_private_key.json", false, false},
		{"3_5.symmetric_key_mac_computation.json", false, false},
		{"3_5.symmetric_key_mac_computation.json", true, true},
		{"3_6.symmetric_key_encryption.json", false, false},
		{"3_6.symmetric_key_encryption.json", true, false},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			var jwk json.RawMessage
			read(t, &jwk, "cookbook", "jwk", test.file)
			set, problems, err := token.ParseJWKS(asSet(jwk), test.symmetric)
			if (err == nil) != test.ok || test.ok && set.Len() != 1 {
				t.Errorf("error %v, problems %v", err, problems)
			}
		})
	}
}
