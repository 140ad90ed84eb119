package token

import (
	"context"
	"strings"
	"testing"
)

func TestSplitCompact(t *testing.T) {
	tests := []struct {
		name, raw string
		ok        bool
	}{
		{"three segments", "AA.AA.AA", true},
		{"one byte", "AQ.AQ.AQ", true},
		{"two bytes", "AAE.AAE.AAE", true},
		{"three bytes", "AAAA.-_-_.AAAA", true},
		{"empty", "", false},
		{"dots alone", "..", false},
		{"two segments", "AA.AA", false},
		{"four segments", "AA.AA.AA.AA", false},
		{"four segments, one empty", "AA.AA.AA.", false},
		{"five segments, as JWE has", "AA.AA.AA.AA.AA", false},
		{"header empty", ".AA.AA", false},
		{"payload empty", "AA..AA", true},
		{"payload and signature empty", "AA..", false},
		{"payload empty of two segments", "AA.", false},
		{"signature empty", "AA.AA.", false},
		{"bits left over in the header", "AB.AA.AA", false},
		{"bits left over in the payload", "AA.AAB.AA", false},
		{"bits left over in the signature", "AA.AA.AB", false},
		{"a length no bytes have", "A.AA.AA", false},
		{"padding", "AA==.AA.AA", false},
		{"alphabet of base64", "AA.++.AA", false},
		{"slash", "AA.//.AA", false},
		{"line feed", "AA.AA.AA\n", false},
		{"carriage return inside", "AA.A\rA.AA", false},
		{"blank in front", " AA.AA.AA", false},
		{"zero byte", "AA.AA.AA\x00", false},
		{"not ASCII", "AA.é.AA", false},
		{"16 KiB", "AAAA." + strings.Repeat("A", 16<<10-10) + ".AAAA", true},
		{"over 16 KiB", "AAAA." + strings.Repeat("A", 16<<10-6) + ".AAAA", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			parts, err := splitCompact(test.raw)
			if (err == nil) != test.ok {
				t.Fatalf("error %v", err)
			}
			if test.ok && parts.header+"."+parts.payload+"."+parts.signature != test.raw {
				t.Error("the segments do not make the token")
			}
			if !test.ok {
				wraps(t, err, ErrMalformed)
				_, err = verifier(t, Config{}).Verify(context.Background(), Credential{test.raw, bearer}, []*Provider{corp(t, nil)})
				wraps(t, err, ErrMalformed)
			}
		})
	}
}

func TestVerifyJWS(t *testing.T) {
	set := publicSet(t)
	good := sign(t, PS256, "rsa", `{"alg":"PS256","kid":"rsa"}`, "any bytes")
	tests := []struct {
		name, raw string
		allowed   Algorithms
		want      error
	}{
		{"good", good, Asymmetric, nil},
		{"not allowed", good, NewAlgorithms(RS256), ErrAlgorithm},
		{"another key", sign(t, RS256, "rsa2", rs256Header, "x"), Asymmetric, ErrSignature},
		{"no such key", sign(t, RS256, "rsa", `{"alg":"RS256","kid":"?"}`, "x"), Asymmetric, ErrUnknownKey},
		{"shape", good + ".AA", Asymmetric, ErrMalformed},
		{"header", sign(t, RS256, "rsa", `{`, "x"), Asymmetric, ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			payload, err := set.VerifyJWS(test.raw, test.allowed)
			wraps(t, err, test.want)
			if err == nil && string(payload) != "any bytes" {
				t.Errorf("payload %q", payload)
			}
		})
	}
}
