package idp

import (
	"testing"
	"time"

	"github.com/sallyport/sallyport/extauthz/token"
)

func TestScheduleNext(t *testing.T) {
	usual := token.Remote{Interval: 10 * time.Minute, MinInterval: 10 * time.Second}
	tests := []struct {
		name      string
		remote    token.Remote
		failures  int
		low, high time.Duration
	}{
		{name: "after a success, an interval give or take a tenth", remote: usual, low: 9 * time.Minute, high: 11 * time.Minute},
		{name: "first failure", remote: usual, failures: 1, low: 10 * time.Second, high: 20 * time.Second},
		{name: "second failure", remote: usual, failures: 2, low: 20 * time.Second, high: 40 * time.Second},
		{name: "fifth failure", remote: usual, failures: 5, low: 160 * time.Second, high: 320 * time.Second},
		{name: "never more than the interval", remote: usual, failures: 7, low: 5 * time.Minute, high: 10 * time.Minute},
		{name: "a thousand failures do not overflow", remote: usual, failures: 1000, low: 5 * time.Minute, high: 10 * time.Minute},
		{name: "defaults", remote: token.Remote{}, low: 9 * time.Minute, high: 11 * time.Minute},
		{name: "defaults after a failure", remote: token.Remote{}, failures: 1, low: 10 * time.Second, high: 20 * time.Second},
		{name: "minInterval beyond the interval gives way", remote: token.Remote{Interval: time.Second, MinInterval: time.Hour}, failures: 3, low: time.Second, high: time.Second},
		{name: "an absurd interval is stretched", remote: token.Remote{Interval: 1, MinInterval: 1}, low: 90 * time.Millisecond, high: 110 * time.Millisecond},
		{name: "a negative interval counts as none", remote: token.Remote{Interval: -1, MinInterval: -1}, low: 9 * time.Minute, high: 11 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for random, want := range map[float64]time.Duration{0: tt.low, 0.5: (tt.low + tt.high) / 2, 1: tt.high} {
				s := newSchedule(&tt.remote, func() float64 { return random })
				if got := s.next(tt.failures); got != want {
					t.Errorf("next(%d) with random %v = %s, want %s", tt.failures, random, got, want)
				}
			}
		})
	}
}

func TestScheduleLasts(t *testing.T) {
	tests := []struct {
		name     string
		staleFor time.Duration
		failures int
		want     time.Duration
	}{
		{name: "staleFor", staleFor: 24 * time.Hour, want: 24 * time.Hour},
		{name: "staleFor after failures", staleFor: 24 * time.Hour, failures: 3, want: 24 * time.Hour},
		{name: "short staleFor leaves no gap between two fetches", staleFor: time.Minute, want: 11*time.Minute + 5*time.Second},
		{name: "short staleFor after a failure", staleFor: time.Minute, failures: 1, want: time.Minute},
		{name: "none after a failure", failures: 1, want: 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSchedule(&token.Remote{Interval: 10 * time.Minute, StaleFor: tt.staleFor}, nil)
			if got := s.lasts(tt.failures, 5*time.Second); got != tt.want {
				t.Errorf("lasts = %s, want %s", got, tt.want)
			}
		})
	}
}
