package idp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestDialable(t *testing.T) {
	tests := []struct {
		name          string
		addr          string
		allowLoopback bool
		refused       bool
	}{
		{name: "public IPv4 is dialled", addr: "93.184.215.14"},
		{name: "public IPv6 is dialled", addr: "2606:2800:21f:cb07:6820:80da:af6b:8b2c"},
		{name: "private 10/8 is dialled", addr: "10.1.2.3"},
		{name: "private 172.16/12 is dialled", addr: "172.16.0.1"},
		{name: "private 192.168/16 is dialled", addr: "192.168.1.1"},
		{name: "carrier-grade NAT is dialled", addr: "100.64.0.1"},
		{name: "neighbour of a metadata address is dialled", addr: "100.100.100.201"},
		{name: "unique local IPv6 is dialled", addr: "fd12:3456::1"},
		{name: "mapped private address is dialled", addr: "::ffff:10.1.2.3"},
		{name: "NAT64 of a public address is dialled", addr: "64:ff9b::93.184.215.14"},
		{name: "AWS metadata is refused", addr: "169.254.169.254", refused: true},
		{name: "AWS container metadata is refused", addr: "169.254.170.2", refused: true},
		{name: "first link-local address is refused", addr: "169.254.0.0", refused: true},
		{name: "last link-local address is refused", addr: "169.254.255.255", refused: true},
		{name: "mapped metadata is refused", addr: "::ffff:169.254.169.254", refused: true},
		{name: "mapped metadata in hexadecimal is refused", addr: "::ffff:a9fe:a9fe", refused: true},
		{name: "compatible metadata is refused", addr: "::169.254.169.254", refused: true},
		{name: "translated metadata is refused", addr: "::ffff:0:169.254.169.254", refused: true},
		{name: "NAT64 of metadata is refused", addr: "64:ff9b::169.254.169.254", refused: true},
		{name: "local NAT64 of metadata is refused", addr: "64:ff9b:1::169.254.169.254", refused: true},
		{name: "6to4 of metadata is refused", addr: "2002:a9fe:a9fe::1", refused: true},
		{name: "AWS metadata over IPv6 is refused", addr: "fd00:ec2::254", refused: true},
		{name: "AWS pod identity over IPv6 is refused", addr: "fd00:ec2::23", refused: true},
		{name: "Google metadata over IPv6 is refused", addr: "fd20:ce::254", refused: true},
		{name: "Alibaba metadata is refused", addr: "100.100.100.200", refused: true},
		{name: "mapped Alibaba metadata is refused", addr: "::ffff:100.100.100.200", refused: true},
		{name: "Azure wire server is refused", addr: "168.63.129.16", refused: true},
		{name: "Oracle metadata is refused", addr: "192.0.0.192", refused: true},
		{name: "IPv6 link-local is refused", addr: "fe80::1", refused: true},
		{name: "IPv6 link-local with a zone is refused", addr: "fe80::1%eth0", refused: true},
		{name: "end of fe80::/10 is refused", addr: "febf::1", refused: true},
		{name: "unspecified IPv4 is refused", addr: "0.0.0.0", refused: true},
		{name: "this network is refused", addr: "0.1.2.3", refused: true},
		{name: "unspecified IPv6 is refused", addr: "::", refused: true},
		{name: "mapped unspecified is refused", addr: "::ffff:0.0.0.0", refused: true},
		{name: "unspecified is refused beside allowed loopback", addr: "0.0.0.0", allowLoopback: true, refused: true},
		{name: "IPv4 multicast is refused", addr: "224.0.0.1", refused: true},
		{name: "IPv6 multicast is refused", addr: "ff02::1", refused: true},
		{name: "broadcast is refused", addr: "255.255.255.255", refused: true},
		{name: "loopback is refused", addr: "127.0.0.1", refused: true},
		{name: "all of 127/8 is refused", addr: "127.255.0.9", refused: true},
		{name: "IPv6 loopback is refused", addr: "::1", refused: true},
		{name: "mapped loopback is refused", addr: "::ffff:127.0.0.1", refused: true},
		{name: "NAT64 of loopback is refused", addr: "64:ff9b::7f00:1", refused: true},
		{name: "allowed loopback is dialled", addr: "127.0.0.1", allowLoopback: true},
		{name: "allowed IPv6 loopback is dialled", addr: "::1", allowLoopback: true},
		{name: "allowed loopback opens no metadata", addr: "169.254.169.254", allowLoopback: true, refused: true},
		{name: "allowed loopback opens no link-local", addr: "fe80::1", allowLoopback: true, refused: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Dialable(netip.MustParseAddr(tt.addr), tt.allowLoopback)
			if got := errors.Is(err, ErrAddressRefused); got != tt.refused {
				t.Errorf("Dialable(%s) = %v, want refused %t", tt.addr, err, tt.refused)
			}
		})
	}
	if err := Dialable(netip.Addr{}, true); !errors.Is(err, ErrAddressRefused) {
		t.Errorf("Dialable(zero) = %v, want %v", err, ErrAddressRefused)
	}
}

// The filter stands where the address is final. It is asked directly here: no test dials such an address.
func TestDialerAsksAboutTheResolvedAddress(t *testing.T) {
	tests := []struct {
		name    string
		address string
		refused bool
	}{
		{name: "metadata", address: "169.254.169.254:80", refused: true},
		{name: "metadata over IPv6", address: "[fd00:ec2::254]:443", refused: true},
		{name: "link-local with zone", address: "[fe80::1%lo]:443", refused: true},
		{name: "not an address", address: "localhost:80", refused: true},
		{name: "private", address: "10.0.0.1:443"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := newDialer(true).ControlContext(t.Context(), "tcp", tt.address, nil)
			if got := errors.Is(err, ErrAddressRefused); got != tt.refused {
				t.Errorf("control of %s = %v, want refused %t", tt.address, err, tt.refused)
			}
		})
	}
}

func TestDialerConnectsToNoRefusedAddress(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "::ffff:127.0.0.1"} {
		conn, err := newDialer(false).DialContext(context.Background(), "tcp", net.JoinHostPort(host, port))
		if !errors.Is(err, ErrAddressRefused) {
			t.Errorf("dialling %s: %v, want %v", host, err, ErrAddressRefused)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
	conn, err := newDialer(true).DialContext(context.Background(), "tcp", net.JoinHostPort("localhost", port))
	if err != nil {
		t.Fatalf("dialling allowed loopback by name: %v", err)
	}
	_ = conn.Close()
}
