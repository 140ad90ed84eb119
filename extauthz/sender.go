package extauthz

import (
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// proveSender looks whether the request proves what the token asks for, each time, whether or not the token was verified
// before.
func (s *Server) proveSender(c *check, f *policy.Facts) {
	var sender token.Sender
	if f.Identity.BoundToCertificate() {
		sender.Certificate = s.clientCertificate(c)
	}
	if err := f.Identity.CheckSender(sender); err != nil {
		f.Identity, f.Err = nil, err
	}
}
