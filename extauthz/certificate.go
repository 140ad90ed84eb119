package extauthz

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"strings"
)

// CertificateSource says where the client certificate of a request is read that a token may be bound to (RFC 8705).
type CertificateSource string

const (
	// CertificatePeer is the one of the connection to Envoy, which Envoy tells where include_peer_certificate is set.
	CertificatePeer CertificateSource = "peer"
	// CertificateXFCC is one that a trusted proxy in front of Envoy tells in X-Forwarded-Client-Cert.
	CertificateXFCC CertificateSource = "xfcc"
)

// maxCertificateBytes bounds the text of a certificate.
const maxCertificateBytes = 64 << 10

// clientCertificate is the SHA-256 of the client's certificate; nil where it is not known. It is read only for tokens that
// are bound to one: nothing of it is touched for any other request.
func (s *Server) clientCertificate(c *check) *[sha256.Size]byte {
	var sum [sha256.Size]byte
	var ok bool
	if s.cfg.ClientCertificate == CertificateXFCC {
		header, _ := c.input.Headers.Get("x-forwarded-client-cert")
		sum, ok = forwardedCertificate(header, s.cfg.XFCCTrustedHops)
	} else if c.received != nil {
		sum, ok = thumbprint(peerCertificate(c.received.ReadOnlyData()))
	}
	if !ok {
		return nil
	}
	return &sum
}

// thumbprint is the SHA-256 of the DER of a certificate in PEM that is encoded for URLs, as Envoy writes it. Anything but one
// certificate has none.
func thumbprint(encoded string) (sum [sha256.Size]byte, ok bool) {
	if encoded == "" || len(encoded) > maxCertificateBytes {
		return sum, false
	}
	text, ok := unescape(encoded)
	if !ok {
		return sum, false
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 || len(block.Bytes) == 0 || len(bytes.TrimSpace(rest)) > 0 ||
		!bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN")) {
		return sum, false
	}
	return sha256.Sum256(block.Bytes), true
}

// unescape decodes what is written %XX. A "+" is one: base64 has it.
func unescape(s string) (out []byte, ok bool) {
	out = make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return nil, false
		}
		high, low := strings.IndexByte(hexDigits, s[i+1]|0x20), strings.IndexByte(hexDigits, s[i+2]|0x20)
		if high < 0 || low < 0 {
			return nil, false
		}
		out = append(out, byte(high<<4|low))
		i += 2
	}
	return out, true
}

const hexDigits = "0123456789abcdef"
