package token

import (
	"encoding/json"
	"testing"
	"time"
)

func TestSignedInWithin(t *testing.T) {
	const at = 1_800_000_000
	for _, tt := range []struct {
		name     string
		authTime any
		now      int64 // seconds after auth_time as it is meant
		want     bool
	}{
		{"just now", json.Number("1800000000"), 0, true},
		{"as long ago as may be, with the leeway", json.Number("1800000000"), 910, true},
		{"a second longer", json.Number("1800000000"), 911, false},
		{"ahead by the leeway", json.Number("1800000000"), -10, true},
		{"ahead by more", json.Number("1800000000"), -11, false},
		{"a fraction", json.Number("1800000000.5"), 910, true},
		{"an exponent", json.Number("18e8"), 0, true},
		{"absent", nil, 0, false},
		{"text", "1800000000", 0, false},
		{"negative", json.Number("-1"), 0, false},
		{"beyond the year 9999", json.Number("253402300800"), 0, false},
		{"far beyond", json.Number("1e300"), 0, false},
		{"a list", []any{json.Number("1800000000")}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := &Identity{Provider: &Provider{ClockSkew: 10 * time.Second}, claims: Claims{"auth_time": tt.authTime}}
			if got := id.SignedInWithin(15*time.Minute, time.Unix(at+tt.now, 0)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
