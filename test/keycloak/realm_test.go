package keycloak

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const password = "correct horse" // of every user of the realm

// ask sends a request to Keycloak, and returns the body of an answer that says success.
func (s *server) ask(req *http.Request) ([]byte, error) {
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %s", req.Method, req.URL.Path, resp.Status, body)
	}
	return body, nil
}

// tokens are what the token endpoint answers.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

// grant asks the token endpoint of a realm.
func (s *server) grant(realm string, form url.Values) (tokens, error) {
	req, err := http.NewRequest(http.MethodPost, s.url+"/realms/"+realm+"/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	if err != nil {
		return tokens{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	body, err := s.ask(req)
	if err != nil {
		return tokens{}, err
	}
	var out tokens
	return out, json.Unmarshal(body, &out)
}

// byPassword are tokens of a user, through a client (direct grant).
func (s *server) byPassword(t *testing.T, client, user string) tokens {
	t.Helper()
	form := url.Values{
		"grant_type": {"password"}, "client_id": {client}, "username": {user}, "password": {password}, "scope": {"openid"},
	}
	if secret := secrets[client]; secret != "" {
		form.Set("client_secret", secret)
	}
	out, err := s.grant("shop", form)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// secrets of the clients that have one.
var secrets = map[string]string{"partner": "p4rtner", "nightly": "n1ghtly"}

// byCredentials is an access token of a client that logs in as itself.
func (s *server) byCredentials(t *testing.T, client string) string {
	t.Helper()
	out, err := s.tryCredentials(client)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *server) tryCredentials(client string) (string, error) {
	out, err := s.grant("shop", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {secrets[client]},
	})
	return out.Access, err
}

// adminToken is an access token of the realm master.
func (s *server) adminToken(t *testing.T) string {
	t.Helper()
	out, err := s.grant("master", url.Values{
		"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {adminName}, "password": {adminName},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Access
}

// admin sends a request to the admin API of the realm; body is sent as JSON unless it is nil, and the answer read into
// out unless that is nil.
func (s *server) admin(t *testing.T, method, path string, body, out any) {
	t.Helper()
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/admin/realms/shop"+path, content)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.adminToken(t))
	req.Header.Set("Content-Type", "application/json")
	answer, err := s.ask(req)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			t.Fatal(err)
		}
	}
}

// object is one of the admin API.
type object = map[string]any

// one is the only object that path lists.
func (s *server) one(t *testing.T, path string) object {
	t.Helper()
	var all []object
	s.admin(t, http.MethodGet, path, nil, &all)
	if len(all) != 1 {
		t.Fatalf("%s lists %d objects", path, len(all))
	}
	return all[0]
}

// addClient adds a public client for direct grants to the realm, for this test.
func (s *server) addClient(t *testing.T, id string, more object) {
	t.Helper()
	client := object{"clientId": id, "publicClient": true, "standardFlowEnabled": false, "directAccessGrantsEnabled": true}
	for name, value := range more {
		client[name] = value
	}
	s.admin(t, http.MethodPost, "/clients", client, nil)
	uuid := s.one(t, "/clients?clientId="+id)["id"].(string)
	t.Cleanup(func() {
		req, err := http.NewRequest(http.MethodDelete, s.url+"/admin/realms/shop/clients/"+uuid, nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+s.adminToken(t))
		if _, err := s.ask(req); err != nil {
			t.Error(err)
		}
	})
}

// audience is the mapper of the page that puts orders-api into access tokens.
func audience() []object {
	return []object{{
		"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
		"config": object{"included.client.audience": "orders-api", "access.token.claim": "true"},
	}}
}

// endSessions ends every session of a user, as an administrator does.
func (s *server) endSessions(t *testing.T, user string) {
	t.Helper()
	id := s.one(t, "/users?exact=true&username="+user)["id"].(string)
	s.admin(t, http.MethodPost, "/users/"+id+"/logout", nil, nil)
}
