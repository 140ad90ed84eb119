package demo

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

func startIssuer(t *testing.T) *Issuer {
	t.Helper()
	i, err := StartIssuer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// published returns the key set, found as a client finds it: through the discovery document.
func published(t *testing.T, i *Issuer) jose.JSONWebKeySet {
	t.Helper()
	body := get(t, http.DefaultClient, i.URL()+"/.well-known/openid-configuration", nil).body
	var document struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil || document.Issuer != i.URL() {
		t.Fatalf("discovery document is %s (%v)", body, err)
	}
	body = get(t, http.DefaultClient, document.JWKS, nil).body
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		t.Fatalf("key set is %s: %v", body, err)
	}
	return set
}

func TestTokensVerifyWithThePublishedKeys(t *testing.T) {
	i := startIssuer(t)
	set := published(t, i)
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			signed, err := i.Token(map[string]any{"sub": "alice", "iat": nil}, SignedWith(algorithm))
			if err != nil {
				t.Fatal(err)
			}
			jws, err := jose.ParseSignedCompact(signed, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
			if err != nil {
				t.Fatal(err)
			}
			payload, err := jws.Verify(set)
			if err != nil {
				t.Fatal(err)
			}
			var claims map[string]any
			if err := json.Unmarshal(payload, &claims); err != nil {
				t.Fatal(err)
			}
			if expiry, _ := claims["exp"].(float64); time.Until(time.Unix(int64(expiry), 0)) < 50*time.Minute {
				t.Errorf("exp is %v", claims["exp"])
			}
			delete(claims, "exp")
			if diff := cmp.Diff(map[string]any{"iss": i.URL(), "sub": "alice"}, claims); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRotateTakesTheOldKeysBack(t *testing.T) {
	i := startIssuer(t)
	old, err := i.Token(map[string]any{"sub": "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Rotate(); err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(old, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jws.Verify(published(t, i)); err == nil {
		t.Error("a token of before the rotation verifies with the keys of after it")
	}
}

func TestTokenHeaderIsAsAsked(t *testing.T) {
	i := startIssuer(t)
	signed, err := i.Token(nil, WithHeader("kid", nil), WithHeader("typ", "JWT"), WithHeader("b64", true))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(signed, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	header := jws.Signatures[0].Header
	if header.KeyID != "" || header.ExtraHeaders["typ"] != "JWT" || header.ExtraHeaders["b64"] != true {
		t.Errorf("header is %+v", header)
	}
	if _, err := i.Token(nil, SignedWith("HS256")); err == nil {
		t.Error("an algorithm without a key signs")
	}
}

func TestFaults(t *testing.T) {
	i := startIssuer(t)
	for _, test := range []struct {
		name       string
		fault      Fault
		wantStatus int
		wantBody   string
	}{
		{name: "a status", fault: Fault{Status: 500}, wantStatus: 500},
		{name: "another document", fault: Fault{Body: "{"}, wantStatus: 200, wantBody: "{"},
	} {
		t.Run(test.name, func(t *testing.T) {
			i.SetFault(test.fault)
			resp := get(t, http.DefaultClient, i.JWKSURL(), nil)
			if resp.status != test.wantStatus || resp.body != test.wantBody {
				t.Errorf("got %d %q, want %d %q", resp.status, resp.body, test.wantStatus, test.wantBody)
			}
		})
	}
	i.SetFault(Fault{})
	before := i.Fetches()
	if len(published(t, i).Keys) != 3 || i.Fetches() != before+1 {
		t.Errorf("without a fault: %d fetches, want %d", i.Fetches(), before+1)
	}
}

func TestHangingIssuerAnswersOnceTheFaultIsCleared(t *testing.T) {
	i := startIssuer(t)
	i.SetFault(Fault{Hang: true})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := answersOK(ctx, i.JWKSURL()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a hanging issuer: %v, want that the deadline passes", err)
	}
	answered := make(chan error, 1)
	asked := i.Fetches()
	go func() { answered <- answersOK(context.Background(), i.JWKSURL()) }()
	for range time.Tick(time.Millisecond) {
		if i.Fetches() > asked {
			break
		}
	}
	i.SetFault(Fault{})
	if err := <-answered; err != nil {
		t.Errorf("after the fault: %v", err)
	}
}
