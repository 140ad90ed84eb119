package extauthz

import (
	"net/netip"
	"strings"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// clientAddress is the address that rules with cidrs judge; the zero Addr where it is not known, and such rules refuse
// then.
func (s *Server) clientAddress(r *reading) netip.Addr {
	switch s.cfg.ClientAddress {
	case policy.ClientAddressPeer:
		return parseAddress(r.peer)
	case policy.ClientAddressXFF:
		forwarded, _ := r.input.Headers.Get("x-forwarded-for")
		return forwardedFor(forwarded, s.cfg.XFFTrustedHops)
	}
	return netip.Addr{}
}

// forwardedFor is the entry of X-Forwarded-For that hops trusted proxies in front of Envoy have left behind: Envoy has
// appended the last one, each of them the one before. What stands further left is the client's own word.
func forwardedFor(header string, hops int) netip.Addr {
	if header == "" {
		return netip.Addr{}
	}
	for ; hops > 0; hops-- {
		i := strings.LastIndexByte(header, ',')
		if i < 0 {
			return netip.Addr{}
		}
		header = header[:i]
	}
	return parseAddress(strings.Trim(header[strings.LastIndexByte(header, ',')+1:], " \t"))
}

func parseAddress(s string) netip.Addr {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}
