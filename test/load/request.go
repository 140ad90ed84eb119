package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Texts that stand in a template where a request has its own. Each is as long as what it stands for.
const (
	hostMark = "@@@@@@@.shop.example.com"
	pathMark = "/&&/&&&&&/&&&&&&&&/orders/0000017?expand=items"
	idMark   = "5c2d8c3a-4a71-4a0b-b1a0-############"
	tokenPad = "~"
)

// hostDigits, thingDigits and idDigits are how many digits the numbers have.
const hostDigits, thingDigits, idDigits = 6, 7, 12

// host is the one with number n.
func host(n int) string { return fmt.Sprintf("h%06d.shop.example.com", n) }

// template is the gRPC message of a CheckRequest with places for what differs from request to request.
type template struct {
	data                      []byte
	hosts, paths, ids, tokens []int // offsets
}

// newTemplate is for a token of tokenBytes; 0: for a request without one.
func newTemplate(tokenBytes int) (*template, error) {
	message, err := proto.MarshalOptions{Deterministic: true}.Marshal(checkRequest(strings.Repeat(tokenPad, tokenBytes)))
	if err != nil {
		return nil, fmt.Errorf("making a CheckRequest: %w", err)
	}
	t := &template{data: append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)}
	t.hosts, t.paths, t.ids = t.find(hostMark), t.find(pathMark), t.find(idMark)
	if tokenBytes > 0 {
		t.tokens = t.find(strings.Repeat(tokenPad, tokenBytes))
	}
	return t, nil
}

// find lists where mark stands.
func (t *template) find(mark string) (places []int) {
	for from := 0; ; {
		at := bytes.Index(t.data[from:], []byte(mark))
		if at < 0 {
			return places
		}
		places = append(places, from+at)
		from += at + len(mark)
	}
}

// variable is what differs from request to request.
type variable struct {
	host, id int
	area     string // such as "v1/users", of eight bytes
	letter   byte
	thing    int // follows letter in the path
	token    string
}

// render writes the request with v over into, which it returns.
func (t *template) render(into []byte, v *variable) []byte {
	into = append(into[:0], t.data...)
	for _, at := range t.hosts {
		into[at] = 'h'
		digits(into[at+1:at+1+hostDigits], v.host)
	}
	for _, at := range t.paths {
		at += 1 + copy(into[at+1:], v.area) + 1
		into[at] = v.letter
		digits(into[at+1:at+1+thingDigits], v.thing)
	}
	for _, at := range t.ids {
		end := at + len(idMark)
		digits(into[end-idDigits:end], v.id)
	}
	for _, at := range t.tokens {
		copy(into[at:], v.token)
	}
	return into
}

// digits writes n, with zeros in front, over all of into.
func digits(into []byte, n int) {
	for i := len(into) - 1; i >= 0; i-- {
		into[i] = byte('0' + n%10)
		n /= 10
	}
}

// checkRequest is what Envoy 1.40 sends for a browser's request over HTTP/1.1, with all headers; "" for no token.
func checkRequest(token string) *authv3.CheckRequest {
	headers := map[string]string{
		":authority": hostMark, ":method": "GET", ":path": pathMark, ":scheme": "https",
		"user-agent":      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		"accept":          "application/json, text/plain, */*",
		"accept-encoding": "gzip, deflate, br, zstd", "accept-language": "en-GB,en;q=0.9,de;q=0.8",
		"cookie":  "theme=dark; lang=en; _ga=GA1.2.1284409711.1764288000; _session=MTc2NDI4ODAwMHxzZXNzaW9uLXN0YXRlLW9mLWEtYnJvd3Nlci13aXRoLXNvbWUtdGhpbmdzLWluLWl0LXRoYXQtbWFrZS1pdC1sb25nLWFzLXRoZXktYXJl",
		"referer": "https://shop.example.com/account/orders", "x-forwarded-for": "203.0.113.9, 198.51.100.24", "x-forwarded-proto": "https",
		"x-request-id": idMark, "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
	if token != "" {
		headers["authorization"] = "Bearer " + token
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source:      &authv3.AttributeContext_Peer{Address: address("203.0.113.9", 51742)},
		Destination: &authv3.AttributeContext_Peer{Address: address("10.0.3.7", 8443)},
		Request: &authv3.AttributeContext_Request{
			Time: &timestamppb.Timestamp{Seconds: 1795824000, Nanos: 123456000},
			Http: &authv3.AttributeContext_HttpRequest{
				Id: "13519049518330544501", Method: "GET", Headers: headers, Path: pathMark, Host: hostMark, Scheme: "https", Protocol: "HTTP/1.1",
			},
		},
		MetadataContext:      &corev3.Metadata{},
		RouteMetadataContext: &corev3.Metadata{},
	}}
}

func address(ip string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}
