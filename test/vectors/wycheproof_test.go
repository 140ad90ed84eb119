package vectors

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"

	"github.com/sallyport/sallyport/extauthz/token"
)

var everyAlgorithm = token.Asymmetric | token.NewAlgorithms(token.HS256, token.HS384, token.HS512)

// suite is a file of Wycheproof, as far as it is read here.
type suite struct {
	NumberOfTests int
	TestGroups    []struct {
		Comment       string
		Public        json.RawMessage // of the JSON suites: a key, or a set
		Private       json.RawMessage // the same for symmetric keys
		PublicKeyJWK  json.RawMessage
		KeyJWK        json.RawMessage
		PublicKeyPem  string
		Tests         []vector
		PublicKeyDer  string
		PublicKeyAsn1 string
	}
}

type vector struct {
	TcID    int
	Comment string
	JWS     string
	Msg     string
	Sig     string
	Result  string
}

func load(t *testing.T, name string, count int) suite {
	t.Helper()
	data, err := fs.ReadFile(wycheproof.TestVectors, name)
	if err != nil {
		t.Fatal(err)
	}
	var s suite
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, group := range s.TestGroups {
		n += len(group.Tests)
	}
	if n != count || s.NumberOfTests != count {
		t.Fatalf("%s has %d tests, want %d", name, n, count)
	}
	return s
}

// keySet imports a JWK or a JWK Set of Wycheproof; nil means that it was refused.
func keySet(t *testing.T, public, private json.RawMessage) *token.KeySet {
	t.Helper()
	text, symmetric := public, false
	if text == nil {
		text, symmetric = private, true
	}
	set, problems, err := token.ParseJWKS(asSet(text), symmetric)
	if err != nil {
		t.Logf("key set refused: %v %v", err, problems)
		return nil
	}
	return set
}

// asSet wraps a single key.
func asSet(jwk []byte) []byte {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(jwk, &members); err == nil && members["keys"] != nil {
		return jwk
	}
	return []byte(`{"keys":[` + string(jwk) + `]}`)
}

// judge compares one verdict with what the file or the exception says.
func judge(t *testing.T, v vector, accepted bool, exceptions map[int]exception) {
	t.Helper()
	want := v.Result == "valid" // "acceptable" is what a strict verifier refuses
	if e, ok := exceptions[v.TcID]; ok {
		if e.file != v.Result {
			t.Errorf("tcId %d: the file says %q, the exception was made for %q", v.TcID, v.Result, e.file)
		}
		want = e.accept
	}
	if accepted != want {
		t.Errorf("tcId %d (%s): accepted %v, want %v; the file says %q", v.TcID, v.Comment, accepted, want, v.Result)
	}
}

// exception is a vector for which a strict verifier rightly differs from the file.
type exception struct {
	file   string
	accept bool
	why    string
}

func TestWycheproofJWS(t *testing.T) {
	const otherAlg = "the key says PS256, the token PS384"
	const noAlg = "the key's alg, ES521, is not registered, so the key is not imported"
	const badChar = "a question mark stands in a segment"
	const same = "byte for byte the token of 357, which is valid"
	exceptions := map[int]exception{
		346: {"valid", false, otherAlg},
		350: {"valid", false, otherAlg},
		347: {"valid", false, noAlg},
		351: {"valid", false, noAlg},
		372: {"valid", false, badChar},
		373: {"valid", false, badChar},
		367: {"invalid", true, same},
		370: {"invalid", true, same},
	}
	s := load(t, "json_web_signature_test.json", 401)
	tokens := make(map[int]string)
	for _, group := range s.TestGroups {
		set := keySet(t, group.Public, group.Private)
		for _, v := range group.Tests {
			tokens[v.TcID] = v.JWS
			judge(t, v, verifyJWS(set, v.JWS), exceptions)
		}
	}
	// The reasons are checked as far as they can be.
	for id, e := range exceptions {
		if e.why == same && tokens[id] != tokens[357] || e.why == badChar && !strings.Contains(tokens[id], "?") {
			t.Errorf("tcId %d: not true any more: %s", id, e.why)
		}
	}
}

func TestWycheproofJWK(t *testing.T) {
	s := load(t, "json_web_key_test.json", 26)
	for _, group := range s.TestGroups {
		set := keySet(t, group.Public, group.Private)
		for _, v := range group.Tests {
			judge(t, v, verifyJWS(set, v.JWS), nil)
		}
	}
}

func verifyJWS(set *token.KeySet, jws string) bool {
	if set == nil {
		return false
	}
	_, err := set.VerifyJWS(jws, everyAlgorithm)
	return err == nil
}

// TestWycheproofPrimitives runs raw signatures through the import of keys, as JWK and as PEM, and the check
// that tokens go through.
func TestWycheproofPrimitives(t *testing.T) {
	const noNull = "no NULL in the DigestInfo"
	acceptable := map[int]exception{8: {"acceptable", false, noNull}}
	tests := []struct {
		file       string
		algorithm  token.Algorithm
		count      int
		exceptions map[int]exception
	}{
		{"ecdsa_secp256r1_sha256_p1363_test.json", token.ES256, 262, nil},
		{"ecdsa_secp384r1_sha384_p1363_test.json", token.ES384, 280, nil},
		{"ecdsa_secp521r1_sha512_p1363_test.json", token.ES512, 318, nil},
		{"ed25519_test.json", token.EdDSA, 151, nil},
		{"rsa_signature_2048_sha256_test.json", token.RS256, 259, acceptable},
		{"rsa_signature_2048_sha384_test.json", token.RS384, 258, acceptable},
		{"rsa_signature_2048_sha512_test.json", token.RS512, 259, acceptable},
		{"rsa_pss_2048_sha256_mgf1_32_test.json", token.PS256, 108, nil},
		{"rsa_pss_2048_sha384_mgf1_48_test.json", token.PS384, 141, nil},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			accepted := 0
			for _, group := range load(t, test.file, test.count).TestGroups {
				fromPEM, err := token.ParsePEM([]byte(group.PublicKeyPem))
				if err != nil {
					t.Fatal(err)
				}
				sets := []*token.KeySet{fromPEM}
				if jwk := firstOf(group.PublicKeyJWK, group.KeyJWK); jwk != nil {
					set := keySet(t, jwk, nil)
					if set == nil {
						t.Fatalf("the key was refused: %s", jwk)
					}
					sets = append(sets, set)
				}
				for _, v := range group.Tests {
					for _, set := range sets {
						ok := set.VerifySignature(test.algorithm, unhex(t, v.Msg), unhex(t, v.Sig)) == nil
						judge(t, v, ok, test.exceptions)
						if ok {
							accepted++
						}
					}
				}
			}
			if accepted == 0 {
				t.Error("nothing was accepted, so nothing was tested")
			}
		})
	}
}

func firstOf(a, b json.RawMessage) json.RawMessage {
	if a != nil {
		return a
	}
	return b
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
