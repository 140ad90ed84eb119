package token

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// vectors reads one of the published files of test vectors.
func vectors(t *testing.T, name string, into any) {
	t.Helper()
	dir := os.Getenv("SALLYPORT_VECTORS")
	if dir == "" {
		t.Skip("SALLYPORT_VECTORS names no folder")
	}
	b, err := os.ReadFile(filepath.Join(dir, "rfc", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// TestThumbprintVectors: the keys of RFC 7638, RFC 8037 and RFC 9449, whose other members change nothing.
func TestThumbprintVectors(t *testing.T) {
	var rows []struct {
		ID         string
		JWK        json.RawMessage
		Thumbprint string
	}
	vectors(t, "rfc7638_thumbprints.json", &rows)
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		object, err := parseObject(string(row.JWK))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := importKey(object, false); err != nil {
			t.Errorf("%s: %v", row.ID, err)
		}
		if sum := keyThumbprint(object); b64(sum[:]) != row.Thumbprint {
			t.Errorf("%s: %s, want %s", row.ID, b64(sum[:]), row.Thumbprint)
		}
	}
}

// TestDPoPVectors has the proofs of RFC 9449. Only that of §7.1 is for a resource server; the others lack ath.
func TestDPoPVectors(t *testing.T) {
	var rows []struct {
		ID, Method, URL, Proof, JKT string
		AccessToken                 string         `json:"access_token"`
		InTime                      int64          `json:"in_time_at"`
		Claims                      map[string]any `json:"claims"`
	}
	vectors(t, "rfc9449_dpop.json", &rows)
	good, refused := 0, 0
	for _, row := range rows {
		if row.Proof == "" {
			continue
		}
		u, err := url.Parse(row.URL)
		if err != nil {
			t.Fatal(err)
		}
		target := Target{Method: row.Method, Scheme: u.Scheme, Host: u.Host, Path: u.Path, Token: row.AccessToken}
		p, now := dpopProvider(t, nil), time.Unix(row.InTime, 0)
		got, err := p.CheckProof(shown{row.Proof}, target, nil, now)
		if row.ID != "rfc9449-7.1" {
			refused++
			wraps(t, err, ErrProof)
			continue
		}
		good++
		if err != nil || b64(got.Key[:]) != row.JKT {
			t.Fatalf("%s: key %s, %v", row.ID, b64(got.Key[:]), err)
		}
		for name, change := range map[string]func(*Target){
			"another method": func(t *Target) { t.Method = "POST" }, "another path": func(t *Target) { t.Path = "/other" },
			"another token": func(t *Target) { t.Token += "x" },
		} {
			other := target
			change(&other)
			if _, err := p.CheckProof(shown{row.Proof}, other, nil, now); !errors.Is(err, ErrProof) {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err = p.CheckProof(shown{row.Proof}, target, nil, testNow)
		wraps(t, err, ErrProof)
	}
	if good != 1 || refused != 2 {
		t.Errorf("%d good proofs, %d refused", good, refused)
	}
}

// TestConfirmationVectors: what RFC 8705 and RFC 9449 show as cnf. That of RFC 8705 §3.1 is not canonical base64url, so no
// certificate fits it.
func TestConfirmationVectors(t *testing.T) {
	var certificates []struct {
		ID     string
		CNF    map[string]any
		Claims map[string]any
	}
	vectors(t, "rfc8705_x5t_s256.json", &certificates)
	for _, row := range certificates {
		if row.CNF == nil {
			row.CNF, _ = row.Claims["cnf"].(map[string]any)
		}
		c := readConfirmation(Claims{"cnf": row.CNF})
		if usable := row.ID == "rfc8705-A"; c.unusable == usable || (c.certificate != nil) != usable {
			t.Errorf("%s: %+v", row.ID, c)
		}
	}
	var proofs []struct {
		ID, JKT string
		Claims  map[string]any
	}
	vectors(t, "rfc9449_dpop.json", &proofs)
	for _, row := range proofs {
		if _, bound := row.Claims["cnf"]; !bound {
			continue
		}
		if c := readConfirmation(row.Claims); c.unusable || c.key == nil || b64(c.key[:]) != row.JKT {
			t.Errorf("%s: %+v", row.ID, c)
		}
	}
}
