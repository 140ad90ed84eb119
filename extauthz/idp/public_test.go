package idp

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/extauthz/token"
)

func TestPublicKeys(t *testing.T) {
	tests := []struct {
		name, body, want string
	}{
		{
			name: "certificates and unknown members go",
			body: `{"x":1,"keys":[{"kty":"RSA", "n":"AA","e":"AQAB","x5c":["zanzibar"],"kid":"a","key_ops":[ "verify" ]}]}`,
			want: `{"keys":[{"kty":"RSA","key_ops":["verify"],"kid":"a","n":"AA","e":"AQAB"}]}`,
		},
		{
			name: "a private key leaves only its claim to the kid",
			body: `{"keys":[{"kty":"EC","crv":"P-256","x":"A","y":"B","d":"zanzibar","kid":"a","use":"sig"}]}`,
			want: `{"keys":[{"use":"sig","kid":"a"}]}`,
		},
		{
			name: "and so does a shared secret, however kty is written",
			body: `{"keys":[{"kty":"o\u0063t","x":"zanzibar","kid":"a"},{"k":"zanzibar"}]}`,
			want: `{"keys":[{"kid":"a"},{}]}`,
		},
		{name: "what is no key stays none", body: `{"keys":["zanzibar",["zanzibar"],{}]}`, want: `{"keys":[0,0,{}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(publicKeys([]byte(tt.body))); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// FuzzPublicKeys states the law of what is kept: it is read as what was fetched is, it is not longer, it holds no
// secret, and reducing it again changes nothing.
func FuzzPublicKeys(f *testing.F) {
	whole := string(jwks(f, "a", "b", "c"))
	f.Add([]byte(whole))
	f.Add([]byte(strings.Replace(whole, `"kid":"b"`, `"kid":"a"`, 1)))
	f.Add([]byte(strings.Replace(whole, `"kid":"b"`, `"kid":"a","d":"AA"`, 1)))
	f.Add([]byte(strings.Replace(whole, `"kid":"b"`, `"kid":"\u0061","k":1,"use":"enc"`, 1)))
	f.Add([]byte(strings.Replace(whole, `"use":"sig"`, `"key_ops":["verify","<"],"x5c":["a"]`, 1)))
	f.Add([]byte(strings.Replace(whole, `[`, `[1,[],{"kty":"oct","kid":"c"},`, 1)))
	f.Fuzz(func(t *testing.T, body []byte) {
		set, problems, err := token.ParseJWKS(body, false)
		if err != nil {
			return
		}
		public := publicKeys(body)
		again, problemsAgain, err := token.ParseJWKS(public, false)
		if err != nil {
			t.Fatalf("%s\nis not read: %v", public, err)
		}
		if len(public) > len(body) || again.Len() != set.Len() || len(problems) != len(problemsAgain) ||
			!slices.Equal(again.KeyIDs(), set.KeyIDs()) {
			t.Errorf("%s\nis not what was fetched: %s", public, body)
		}
		wantNothingSecret(t, public)
		if !bytes.Equal(publicKeys(public), public) {
			t.Errorf("%s\nis reduced further", public)
		}
	})
}

// wantNothingSecret fails where a key of public has a member that is private.
func wantNothingSecret(t *testing.T, public []byte) {
	t.Helper()
	var document struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(public, &document); err != nil {
		t.Fatal(err)
	}
	for _, element := range document.Keys {
		var jwk map[string]json.RawMessage
		if json.Unmarshal(element, &jwk) == nil && hasSecret(jwk) {
			t.Errorf("secret in %s", public)
		}
	}
}
