package token

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseObject(t *testing.T) {
	type object = map[string]any
	nest := func(n int) string { return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}` }
	nestObjects := func(n int) string { return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1) }
	many := func(n int) string { return `{"a":[` + strings.Repeat("{},", n-1) + `{}]}` }
	tests := []struct {
		name, text string
		want       object // nil: refused
	}{
		{"empty object", `{}`, object{}},
		{"white space", " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n", object{"a": []any{json.Number("1"), json.Number("2")}, "b": object{}}},
		{"every kind", `{"s":"x","t":true,"f":false,"n":null,"a":[],"o":{"p":"q"}}`,
			object{"s": "x", "t": true, "f": false, "n": nil, "a": []any{}, "o": object{"p": "q"}}},
		{"numbers keep their digits", `{"a":-0,"b":1e2,"c":1.50,"d":12345678901234567890,"e":1E+2,"f":0.1e-9}`,
			object{"a": json.Number("-0"), "b": json.Number("1e2"), "c": json.Number("1.50"), "d": json.Number("12345678901234567890"),
				"e": json.Number("1E+2"), "f": json.Number("0.1e-9")}},
		{"escapes", `{"\u0061":"\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00\u0000"}`, object{"a": "\"\\/\b\f\n\r\té€😀\x00"}},
		{"a blank behind an escape", `{"a":"\n b"}`, object{"a": "\n b"}},
		{"not ASCII", `{"é":"😀"}`, object{"é": "😀"}},
		{"replacement character as itself", `{"a":"\ufffd"}`, object{"a": "\ufffd"}},
		{"case apart", `{"a":1,"A":2}`, object{"a": json.Number("1"), "A": json.Number("2")}},
		{"same name in different objects", `{"a":{"a":{"a":1}}}`, object{"a": object{"a": object{"a": json.Number("1")}}}},
		{"32 deep", nest(32), nil},
		{"33 deep", nest(33), nil},
		{"32 objects deep", nestObjects(32), nil},
		{"33 objects deep", nestObjects(33), nil},
		{"512 objects", many(511), nil},
		{"513 objects", many(512), nil},
		{"empty", ``, nil},
		{"blank", ` `, nil},
		{"array", `[]`, nil},
		{"string", `"a"`, nil},
		{"null", `null`, nil},
		{"byte order mark", "\ufeff{}", nil},
		{"name twice", `{"a":1,"a":1}`, nil},
		{"name twice, escaped", `{"a":1,"\u0061":1}`, nil},
		{"name twice, below", `{"x":[{"y":{"a":1,"a":2}}]}`, nil},
		{"lone high surrogate", `{"a":"\ud800"}`, nil},
		{"lone low surrogate", `{"a":"\udc00"}`, nil},
		{"high surrogate, then a letter", `{"a":"\ud800\u0061"}`, nil},
		{"high surrogate, then a low one without its backslash", `{"a":"\ud800udc00"}`, nil},
		{"high surrogate, then a low one without its u", `{"a":"\ud800\dc00"}`, nil},
		{"surrogates turned round", `{"a":"\udc00\ud800"}`, nil},
		{"high surrogate and half an escape", `{"a":"\ud800\u"}`, nil},
		{"lone surrogate in a name", `{"\ud800":1}`, nil},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", nil},
		{"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", nil},
		{"overlong UTF-8", "{\"a\":\"\xc0\xaf\"}", nil},
		{"trailing object", `{}{}`, nil},
		{"trailing comma", `{"a":1,}`, nil},
		{"trailing comma in an array", `{"a":[1,]}`, nil},
		{"leading comma", `{,"a":1}`, nil},
		{"no comma", `{"a":1 "b":2}`, nil},
		{"no comma in an array", `{"a":[1 2]}`, nil},
		{"no colon", `{"a" 1}`, nil},
		{"no value", `{"a":}`, nil},
		{"no name", `{1:1}`, nil},
		{"not closed", `{"a":1`, nil},
		{"array not closed", `{"a":[1`, nil},
		{"string not closed", `{"a":"x`, nil},
		{"string not closed after an escape", `{"a":"\n`, nil},
		{"string ends in a backslash", `{"a":"\`, nil},
		{"control character", "{\"a\":\"\n\"}", nil},
		{"control character after an escape", "{\"a\":\"\\n\n\"}", nil},
		{"zero byte", "{\"a\":1}\x00", nil},
		{"unknown escape", `{"a":"\x"}`, nil},
		{"short escape", `{"a":"\u12"}`, nil},
		{"short escape at the end", `{"a":"\u12`, nil},
		{"escape at the end", `{"a":"\u0061`, nil},
		{"escape not hexadecimal", `{"a":"\u12g4"}`, nil},
		{"leading zero", `{"a":01}`, nil},
		{"plus", `{"a":+1}`, nil},
		{"minus alone", `{"a":-}`, nil},
		{"no digit before the point", `{"a":.5}`, nil},
		{"no digit behind the point", `{"a":1.}`, nil},
		{"no digit in the exponent", `{"a":1e+}`, nil},
		{"both signs in the exponent", `{"a":1e+-1}`, nil},
		{"NaN", `{"a":NaN}`, nil},
		{"hexadecimal", `{"a":0x1}`, nil},
		{"half a literal", `{"a":tru}`, nil},
		{"literal in capitals", `{"a":True}`, nil},
		{"comment", `{"a":1/**/}`, nil},
		{"single quotes", `{'a':1}`, nil},
		{"white space of Unicode", "{\u00a0}", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseObject(test.text)
			if test.name == "32 deep" || test.name == "32 objects deep" || test.name == "512 objects" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if (err == nil) != (test.want != nil) {
				t.Fatalf("got %v, error %v", got, err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
