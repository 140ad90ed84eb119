package extauthz

import (
	"net/netip"
	"testing"

	"github.com/sallyport/sallyport/extauthz/policy"
)

func TestForwardedFor(t *testing.T) {
	for _, tt := range []struct {
		name, header string
		hops         int
		want         string
	}{
		{"none", "", 0, ""},
		{"none, one hop", "", 1, ""},
		{"Envoy's peer", "10.0.0.1", 0, "10.0.0.1"},
		{"what a client made up stands left of it", "6.6.6.6, 10.0.0.1", 0, "10.0.0.1"},
		{"behind one balancer", "6.6.6.6, 1.2.3.4, 10.0.0.1", 1, "1.2.3.4"},
		{"behind two", "1.2.3.4,10.0.0.2 ,\t10.0.0.1", 2, "1.2.3.4"},
		{"too short", "1.2.3.4, 10.0.0.1", 2, ""},
		{"two fields, joined", "6.6.6.6,1.2.3.4,10.0.0.1", 1, "1.2.3.4"},
		{"empty entry", "1.2.3.4,,10.0.0.1", 1, ""},
		{"no address", "unknown, 10.0.0.1", 1, ""},
		{"with a port", "1.2.3.4:80, 10.0.0.1", 1, ""},
		{"IPv6", "2001:db8::1, 10.0.0.1", 1, "2001:db8::1"},
		{"IPv4 in IPv6", "::ffff:1.2.3.4", 0, "1.2.3.4"},
		{"padded digits", "010.0.0.1", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := netip.Addr{}
			if tt.want != "" {
				want = netip.MustParseAddr(tt.want)
			}
			if got := forwardedFor(tt.header, tt.hops); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestCidrs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		address policy.ClientAddress
		hops    int
		peer    string
		xff     string
		want    string
	}{
		{"peer inside", policy.ClientAddressPeer, 0, "10.1.1.1", "", "Public"},
		{"peer inside, as IPv6", policy.ClientAddressPeer, 0, "::ffff:10.1.1.1", "", "Public"},
		{"peer of IPv6", policy.ClientAddressPeer, 0, "fd00::1", "", "Public"},
		{"peer outside, whatever the client says", policy.ClientAddressPeer, 0, "1.1.1.1", "10.1.1.1", "SourceNotAllowed"},
		{"no peer", policy.ClientAddressPeer, 0, "", "", "SourceNotAllowed"},
		{"a socket's path", policy.ClientAddressPeer, 0, "/run/x", "", "SourceNotAllowed"},
		{"forwarded", policy.ClientAddressXFF, 1, "1.1.1.1", "10.1.1.1, 2.2.2.2", "Public"},
		{"forwarded too often", policy.ClientAddressXFF, 1, "10.1.1.1", "10.1.1.1", "SourceNotAllowed"},
		{"forwarded by nobody", policy.ClientAddressXFF, 0, "10.1.1.1", "", "SourceNotAllowed"},
		{"nobody said whose", policy.ClientAddressUnknown, 0, "10.1.1.1", "10.1.1.1", "SourceNotAllowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.ClientAddress, c.XFFTrustedHops = tt.address, tt.hops })
			in := ask("GET", "https://orders.example.com/inside")
			in.Attributes.Source = peerOf(tt.peer)
			if tt.xff != "" {
				in.Attributes.Request.Http.Headers["x-forwarded-for"] = tt.xff
			}
			if got := meta(w.check(t, in), "reason"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
