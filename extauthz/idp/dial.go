package idp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// ErrAddressRefused is the error of Dialable.
var ErrAddressRefused = errors.New("address is never dialled")

// metadata lists what clouds serve to their machines outside the link-local ranges: credentials, mostly.
// Link-local 169.254.0.0/16 (AWS, Azure, Google, Oracle and others) is refused as a whole.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS: instance metadata ::254, pod identity ::23
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google Cloud over IPv6
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure's wire server
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud, classic
}

// never lists the ranges that are no host's address.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),          // "this network", RFC 1122 §3.2.1.3; Linux takes 0.0.0.0 for loopback
	netip.MustParsePrefix("255.255.255.255/32"), // limited broadcast, RFC 919
}

// carriers are IPv6 ranges whose addresses carry an IPv4 address, from the byte given; a translator on the way
// would turn them into it.
var carriers = []struct {
	prefix netip.Prefix
	offset int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64, RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},  // NAT64 of local use, RFC 8215, in its /96 form
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4, RFC 3056
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // IPv4-translated, RFC 2765
	{netip.MustParsePrefix("::/96"), 12},           // IPv4-compatible, RFC 4291 §2.5.5.1
}

// Dialable reports whether a provider's server may live at addr; the error is ErrAddressRefused. Link-local,
// cloud metadata, unspecified, broadcast and multicast addresses are refused, in every form in which IPv6 carries
// an IPv4 address, and so is loopback unless allowLoopback is set. Private ranges are allowed: corporate identity
// providers live there. Dialable is pure.
func Dialable(addr netip.Addr, allowLoopback bool) error {
	addr = addr.Unmap().WithZone("")
	switch {
	case addr.IsLoopback():
		if !allowLoopback {
			return ErrAddressRefused
		}
		return nil
	case !addr.IsValid(), addr.IsUnspecified(), addr.IsMulticast(), addr.IsLinkLocalUnicast(),
		within(metadata, addr), within(never, addr):
		return ErrAddressRefused
	case addr.Is4():
		return nil
	}
	for _, c := range carriers {
		if c.prefix.Contains(addr) {
			raw := addr.As16()
			return Dialable(netip.AddrFrom4([4]byte(raw[c.offset:c.offset+4])), allowLoopback)
		}
	}
	return nil
}

func within(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// newDialer returns a dialer that asks Dialable about each address it is about to connect to. It does so after the
// name was resolved, once for each of its addresses, so that no answer of the DNS gets around it.
func newDialer(allowLoopback bool) *net.Dialer {
	return &net.Dialer{
		KeepAlive: -1, // no connection lives long without an answer
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			target, err := netip.ParseAddrPort(address)
			if err != nil {
				return ErrAddressRefused
			}
			return Dialable(target.Addr(), allowLoopback)
		},
	}
}

// dialTLS connects and shakes hands, so that a failure of TLS can be told from one of the network.
func dialTLS(ctx context.Context, dialer *net.Dialer, config *tls.Config, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	raw, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config = config.Clone()
	config.ServerName = host
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // the handshake's error is the one to tell
		return nil, failure(TLSFailed)
	}
	return conn, nil
}
