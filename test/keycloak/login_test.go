package keycloak

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browser keeps cookies, follows redirects and fills in the forms of Keycloak.
type browser struct {
	client *http.Client
	forms  []string // that it has filled in: password or otp
	codes  int      // one-time codes that were used
}

// newBrowser is one that reaches these hosts, by name and port, at these addresses.
func (s *server) newBrowser(t *testing.T, hosts map[string]string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{client: s.clientTo(hosts)}
	b.client.Jar = jar
	return b
}

// shown is what a browser shows.
type shown struct {
	answer
	url  *url.URL
	body string
}

// open asks for a page as a person does who types its address.
func (b *browser) open(t *testing.T, address string) shown {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.send(t, req)
}

func (b *browser) send(t *testing.T, req *http.Request) shown {
	t.Helper()
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return shown{answer: answer{status: resp.StatusCode, header: resp.Header}, url: resp.Request.URL, body: string(body)}
}

var formAction = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)

// login fills in the forms of Keycloak until there is none any more.
func (b *browser) login(t *testing.T, at shown, user string) shown {
	t.Helper()
	for range 4 {
		action := formAction.FindStringSubmatch(at.body)
		if action == nil {
			return at
		}
		fields := url.Values{}
		switch {
		case strings.Contains(at.body, `name="password"`):
			fields = url.Values{"username": {user}, "password": {password}}
			b.forms = append(b.forms, "password")
		case strings.Contains(at.body, `name="otp"`):
			fields.Set("otp", b.code("battery staple 4 "+user))
			b.forms = append(b.forms, "otp")
		default:
			t.Fatalf("a form that is not known, at %s:\n%s", at.url, at.body)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, html.UnescapeString(action[1]), strings.NewReader(fields.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		at = b.send(t, req)
	}
	t.Fatalf("Keycloak asks again and again, at last at %s", at.url)
	return at
}

// code is the one-time code of a secret (RFC 6238). Each is good once, so the second one is that of the next half minute,
// which Keycloak takes too.
func (b *browser) code(secret string) string {
	count := make([]byte, 8)
	binary.BigEndian.PutUint64(count, uint64(time.Now().Unix()/30+int64(b.codes)))
	b.codes++
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write(count)
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1_000_000)
}

// authorize gets tokens for a public client through a login in the browser, with more parameters of the request.
func (b *browser) authorize(t *testing.T, s *server, client, user string, more url.Values) tokens {
	t.Helper()
	callback := "https://" + client + ".example.com/callback"
	query := url.Values{"response_type": {"code"}, "client_id": {client}, "redirect_uri": {callback}, "scope": {"openid"}}
	for name, values := range more {
		query[name] = values
	}
	// Nobody is there to take the code: the browser stops in front of it.
	b.client.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(req.URL.String(), callback) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	at := b.login(t, b.open(t, s.url+"/realms/shop/protocol/openid-connect/auth?"+query.Encode()), user)
	back, err := url.Parse(at.header.Get("Location"))
	if err != nil || back.Query().Get("code") == "" {
		t.Fatalf("no code after the login, but %d %s %v at %s:\n%s", at.status, at.header.Get("Location"), err, at.url, at.body)
	}
	out, err := s.grant("shop", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {client}, "redirect_uri": {callback}, "code": {back.Query().Get("code")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
