package token

import (
	"fmt"
	"strings"
	"testing"
)

// jsonChange writes the header or the payload of a token otherwise. issued tells what becomes of it when the provider
// itself has signed the new text: whether two parsers could not read it in two ways.
type jsonChange struct {
	name     string
	old, new string // in header and payload, wherever it stands
	issued   bool
}

// headerChanges are for a token of this algorithm.
func headerChanges(a Algorithm) []jsonChange {
	alg, kid := fmt.Sprintf(`"alg":%q`, a), fmt.Sprintf(`"kid":%q`, keyFor(a))
	return []jsonChange{
		{"members of the header in another order", alg + "," + kid, kid + "," + alg, true},
		{"an escape in alg", `"alg":"`, `"alg":"\u00`, false},
		{"alg in another case", `"alg"`, `"Alg"`, false},
		{"the value of alg in another case", `"alg":"`, `"alg":"x`, false},
		{"alg twice", alg, alg + "," + alg, false},
		{"alg none beside it", alg, `"alg":"none",` + alg, false},
		{"alg none", alg, `"alg":"none"`, false},
		{"alg of another key", alg, `"alg":"` + string(otherAlgorithm(a)) + `"`, false},
		{"no alg", alg + ",", "", false},
		{"alg in a list", alg, fmt.Sprintf(`"alg":[%q]`, a), false},
		{"kid of nobody", kid, `"kid":"nobody"`, false},
		{"kid is a number", kid, `"kid":1`, false},
		{"kid is null", kid, `"kid":null`, false},
		{"no kid", "," + kid, "", true},
		{"crit", alg, alg + `,"crit":["exp"],"exp":1`, false},
		{"an empty crit", alg, alg + `,"crit":[]`, false},
		{"b64 false", alg, alg + `,"b64":false,"crit":["b64"]`, false},
		{"b64 true", alg, alg + `,"b64":true`, false},
		{"zip", alg, alg + `,"zip":"DEF"`, false},
		{"a key of its own", alg, alg + `,"jwk":` + jwk("ed", ""), true},
		{"an address of keys", alg, alg + `,"jku":"https://id.example.com/keys","x5u":"https://id.example.com/c","x5c":["AA=="]`, true},
		{"an unknown member", alg, alg + `,"x":{"y":[1]}`, true},
		{"a typ of others", alg, alg + `,"typ":"dpop+jwt"`, false},
		{"typ is a number", alg, alg + `,"typ":1`, false},
	}
}

func payloadChanges() []jsonChange {
	exp := fmt.Sprint(testNow.Unix() + 300)
	return []jsonChange{
		{"members of the payload in another order", `"aud":"a","sub":"al"`, `"sub":"al","aud":"a"`, true},
		{"white space", `"aud":"a"`, ` "aud" : "a" `, true},
		{"a final line feed", exp + "}", exp + "}\n", true},
		{"an escape for a letter", `"sub":"al"`, `"sub":"\u0061l"`, true},
		{"an escape in a name", `"sub":`, `"s\u0075b":`, true},
		{"an escaped slash", "https://", `https:\/\/`, true},
		{"exp as a fraction", exp, exp + ".0", true},
		{"exp with an exponent", exp, exp + "e0", true},
		{"exp in thousands", exp, fmt.Sprintf("%d.3e3", (testNow.Unix()+300)/1000), true},
		{"exp with a plus", exp, "+" + exp, false},
		{"exp with a zero in front", exp, "0" + exp, false},
		{"exp in hexadecimal", exp, "0x6b49d300", false},
		{"exp as a text", exp, `"` + exp + `"`, false},
		{"exp below zero", exp, "-" + exp, false},
		{"exp too large", exp, exp + "000000", false},
		{"exp without end", exp, "1e999", false},
		{"exp is null", exp, "null", false},
		{"exp is a list", exp, "[" + exp + "]", false},
		{"no exp", `,"exp":` + exp, "", false},
		{"exp in another case", `"exp"`, `"Exp"`, false},
		{"sub in another case", `"sub"`, `"SUB"`, false},
		{"exp twice, the same", exp + "}", exp + `,"exp":` + exp + "}", false},
		{"exp twice, another first", `"exp":`, `"exp":1,"exp":`, false},
		{"sub twice, in two spellings", `"sub":"al"`, `"sub":"al","\u0073ub":"root"`, false},
		{"sub twice, in two cases", `"sub":"al"`, `"sub":"al","Sub":"root"`, true},
		{"twice, deep within", `"sub":"al"`, `"sub":"al","x":[{"y":{"z":1,"z":2}}]`, false},
		{"another issuer", testIssuer, testIssuer + "/", false},
		{"iss in a list", fmt.Sprintf(`"iss":%q`, testIssuer), fmt.Sprintf(`"iss":[%q]`, testIssuer), false},
		{"another audience", `"aud":"a"`, `"aud":"A"`, false},
		{"an audience in a list", `"aud":"a"`, `"aud":["b","a"]`, true},
		{"an audience beside what is none", `"aud":"a"`, `"aud":["a",1]`, false},
		{"no subject", `"sub":"al"`, `"sub":""`, false},
		{"another subject", `"sub":"al"`, `"sub":"root"`, true},
		{"nbf in the future", `"sub":"al"`, `"sub":"al","nbf":99999999999`, false},
		{"a byte order mark", `{`, "\ufeff{", false},
		{"a comment", `"aud":`, `/**/"aud":`, false},
		{"a comma at the end", exp + "}", exp + ",}", false},
		{"a second object", exp + "}", exp + "}{}", false},
		{"invalid UTF-8", `"al"`, "\"a\xff\"", false},
		{"a surrogate alone", `"al"`, `"a\ud800"`, false},
		{"a raw control", `"al"`, "\"a\x01\"", false},
		{"single quotes", `"al"`, `'al'`, false},
		{"in a list", `{"iss"`, `[{"iss"`, false},
		{"too deep", `"sub":"al"`, `"sub":"al","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40), false},
	}
}

// otherAlgorithm is one that the same key could sign with, or else one of another key.
func otherAlgorithm(a Algorithm) Algorithm {
	switch keyFor(a) {
	case "rsa":
		if a == RS256 {
			return PS256
		}
		return RS256
	case "hmac":
		if a == HS256 {
			return HS512
		}
		return HS256
	}
	return RS256
}

// TestJSONWrittenOtherwise writes header and payload otherwise. Under the original's signature nothing passes. Under a
// new one of the provider's key only what has one reading does, and the reading is the one that is written here.
func TestJSONWrittenOtherwise(t *testing.T) {
	tried := 0
	for _, a := range algorithms() {
		m := newMutants(t, a)
		whole := strings.Split(m.original, ".")
		header, err := base64url.DecodeString(whole[0])
		if err != nil {
			t.Fatal(err)
		}
		payload, err := base64url.DecodeString(whole[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range append(headerChanges(a), payloadChanges()...) {
			h, p := strings.Replace(string(header), c.old, c.new, 1), strings.Replace(string(payload), c.old, c.new, 1)
			if h == string(header) && p == string(payload) {
				t.Fatalf("%s: changes nothing", c.name)
			}
			m.refuseBoth(t, string(a)+": "+c.name, b64([]byte(h))+"."+b64([]byte(p))+"."+whole[2])
			again := sign(t, a, keyFor(a), h, p)
			if !c.issued {
				m.refuseBoth(t, string(a)+", signed: "+c.name, again)
				continue
			}
			if _, err := m.cold.Verify(t.Context(), Credential{again, bearer}, m.trusted); err != nil {
				t.Errorf("%s, signed: %s: %v", a, c.name, err)
			}
		}
		m.intact(t)
		tried += m.tried
	}
	t.Logf("%d tokens refused", tried)
}
