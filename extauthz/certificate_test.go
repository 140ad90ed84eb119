package extauthz

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/golang-jwt/jwt/v5"
)

// clientCert is a certificate of a client: its DER, and how Envoy writes it.
type clientCert struct {
	der     []byte
	encoded string
}

func newClientCert(t testing.TB) clientCert {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return clientCert{der, encodedPEM(der)}
}

// encodedPEM writes a certificate as Envoy does.
func encodedPEM(der []byte) string {
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

func (c clientCert) sum() [sha256.Size]byte { return sha256.Sum256(c.der) }

func (c clientCert) x5t() string { return x5tOf(c.sum()) }

// x5tOf writes a digest as cnf has it.
func x5tOf(sum [sha256.Size]byte) string { return base64.RawURLEncoding.EncodeToString(sum[:]) }

func (c clientCert) hex() string {
	sum := c.sum()
	return hex.EncodeToString(sum[:])
}

func TestThumbprint(t *testing.T) {
	c := newClientCert(t)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.der}))
	for _, tc := range []struct {
		name, encoded string
		ok            bool
	}{
		{"as Envoy writes it", c.encoded, true},
		{"with small hexadecimal digits", strings.ReplaceAll(c.encoded, "%2B", "%2b"), true},
		{"not encoded at all", text, true}, // a "+" stands for itself
		{"nothing", "", false},
		{"two certificates", c.encoded + c.encoded, false},
		{"text behind it", c.encoded + "x", false},
		{"text before it", "x%0A" + c.encoded, false},
		{"a key", strings.ReplaceAll(c.encoded, "CERTIFICATE", "PUBLIC%20KEY"), false},
		{"cut off", c.encoded[:len(c.encoded)-9], false},
		{"a broken escape", strings.Replace(c.encoded, "%0A", "%0G", 1), false},
		{"half an escape", c.encoded + "%0", false},
		{"too long", strings.Repeat("%0A", maxCertificateBytes) + c.encoded, false},
		{"an empty one", "-----BEGIN CERTIFICATE-----%0A-----END CERTIFICATE-----%0A", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sum, ok := thumbprint(tc.encoded)
			if ok != tc.ok || ok && sum != c.sum() {
				t.Errorf("%x, %t", sum, ok)
			}
		})
	}
}

func TestForwardedCertificate(t *testing.T) {
	c, other := newClientCert(t), newClientCert(t)
	mine, others := "Hash="+c.hex(), "Hash="+other.hex()
	for _, tc := range []struct {
		name, header string
		hops         int
		ok           bool
	}{
		{"a hash", mine, 0, true},
		{"in capital letters", "Hash=" + strings.ToUpper(c.hex()), 0, true},
		{"the key in other case", "hash=" + c.hex(), 0, true},
		{"a certificate", `Cert="` + c.encoded + `"`, 0, true},
		{"both", mine + `;Cert="` + c.encoded + `"`, 0, true},
		{"as Envoy writes it", `By=spiffe://a/b;` + mine + `;Subject="CN=a\"b,O=c;d";URI=spiffe://a/c;DNS=x.example`, 0, true},
		{"the last of two", others + "," + mine, 0, true},
		{"the one before the last", mine + ", " + others, 1, true},
		{"a comma in quotes", `Subject="a,` + others + `";` + mine, 0, true},
		{"the first of two, with no hop", mine + "," + others, 0, false},
		{"more hops than elements", mine, 1, false},
		{"nothing", "", 0, false},
		{"neither hash nor certificate", "By=spiffe://a", 0, false},
		{"two hashes", mine + ";" + others, 0, false},
		{"the same hash twice", mine + ";" + mine, 0, false},
		{"two certificates", `Cert="` + c.encoded + `";Cert="` + c.encoded + `"`, 0, false},
		{"a hash and another certificate", others + `;Cert="` + c.encoded + `"`, 0, false},
		{"a hash cut off", mine[:len(mine)-2], 0, false},
		{"a hash that is none", "Hash=" + strings.Repeat("zz", 32), 0, false},
		{"an open quote", `Subject="a;` + mine, 0, false},
		{"an open quote behind it", mine + `;Subject="a`, 0, false},
		{"text behind a quote", `Subject="a"b;` + mine, 0, false},
		{"a quote in a value", `URI=a"b;` + mine, 0, false},
		{"no value", "Hash;" + mine, 0, false},
		{"an empty element in front", "," + mine, 0, false},
		{"an empty element behind", mine + ",", 0, false},
		{"something unreadable in front", "x," + mine, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sum, ok := forwardedCertificate(tc.header, tc.hops)
			if (ok && sum == c.sum()) != tc.ok {
				t.Errorf("%x, %t", sum, ok)
			}
		})
	}
}

// FuzzForwardedCertificate: a header says the same with any element in front of it, and an element that is added behind
// takes its place.
func FuzzForwardedCertificate(f *testing.F) {
	f.Add("Hash=" + strings.Repeat("ab", 32))
	f.Add(`By=a;Hash=` + strings.Repeat("ab", 32) + `;Subject="a\"b,c"`)
	f.Add(`Cert="` + newClientCert(f).encoded + `",Hash=00`)
	f.Add(`Subject="a\`)
	const last = "Hash=0000000000000000000000000000000000000000000000000000000000000001"
	f.Fuzz(func(t *testing.T, header string) {
		sum, ok := forwardedCertificate(header, 0)
		if longer, still := forwardedCertificate(last+","+header, 0); ok != still || ok && longer != sum {
			t.Errorf("%x %t, with another in front %x %t", sum, ok, longer, still)
		}
		if before, still := forwardedCertificate(header+","+last, 1); ok && (!still || before != sum) {
			t.Errorf("%x, as the one before the last %x %t", sum, before, still)
		}
		if behind, readable := forwardedCertificate(header+","+last, 0); readable && behind[len(behind)-1] != 1 {
			t.Errorf("the element behind says %x", behind)
		}
	})
}

// TestTokensBoundToACertificate asks the server with the certificate where Envoy, or a proxy in front of it, puts it.
func TestTokensBoundToACertificate(t *testing.T) {
	c, other := newClientCert(t), newClientCert(t)
	bound := mint(t, jwt.MapClaims{"scope": "orders.read audit", "cnf": map[string]any{"x5t#S256": c.x5t()}})
	free := mint(t, jwt.MapClaims{"scope": "orders.read audit"})
	with := func(raw, certificate, xfcc string) *authv3.CheckRequest {
		headers := []string{"authorization: Bearer " + raw}
		if xfcc != "" {
			headers = append(headers, "x-forwarded-client-cert: "+xfcc)
		}
		in := ask("GET", "https://orders.example.com/v1", headers...)
		in.Attributes.Source.Certificate = certificate
		return in
	}
	peer := newWorld(t, nil)
	xfcc := newWorld(t, func(c *Config) { c.ClientCertificate = CertificateXFCC })
	appended := newWorld(t, func(c *Config) { c.ClientCertificate, c.XFCCTrustedHops = CertificateXFCC, 1 })
	for _, tc := range []struct {
		name   string
		server *world
		in     *authv3.CheckRequest
		want   string
	}{
		{"with the certificate", peer, with(bound, c.encoded, ""), "Allowed"},
		{"again, from the cache", peer, with(bound, c.encoded, ""), "Allowed"},
		{"from the cache, with another", peer, with(bound, other.encoded, ""), "SenderNotProven"},
		{"from the cache, without one", peer, with(bound, "", ""), "SenderNotProven"},
		{"with one that cannot be read", peer, with(bound, c.encoded[3:], ""), "SenderNotProven"},
		{"a header that nobody was told to trust", peer, with(bound, "", "Hash="+c.hex()), "SenderNotProven"},
		{"not bound", peer, with(free, "", ""), "Allowed"},
		{"in the header of a trusted proxy", xfcc, with(bound, other.encoded, "Hash="+c.hex()), "Allowed"},
		{"in the certificate of that proxy", xfcc, with(bound, c.encoded, "Hash="+other.hex()), "SenderNotProven"},
		{"no header", xfcc, with(bound, c.encoded, ""), "SenderNotProven"},
		{"the client's own word in front", xfcc, with(bound, "", "Hash="+c.hex()+",Hash="+other.hex()), "SenderNotProven"},
		{"before what Envoy has appended", appended, with(bound, "", "Hash="+c.hex()+",Hash="+other.hex()), "Allowed"},
		{"only what Envoy has appended", appended, with(bound, "", "Hash="+c.hex()), "SenderNotProven"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := tc.server.check(t, tc.in)
			if got := meta(out, "reason"); got != tc.want {
				t.Fatalf("%s, want %s", got, tc.want)
			}
			if tc.want == "SenderNotProven" {
				challenge := headersOf(t, out.GetDeniedResponse().GetHeaders())["www-authenticate"]
				if out.GetDeniedResponse().GetStatus().GetCode() != 401 || challenge != `Bearer realm="shop", error="invalid_token"` {
					t.Errorf("%v %q", out.GetDeniedResponse().GetStatus(), challenge)
				}
			}
		})
	}
}

func TestConfigOfTheClientCertificate(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.ClientCertificate = "header" },
		func(c *Config) { c.XFCCTrustedHops = 1 },
		func(c *Config) { c.ClientCertificate, c.XFCCTrustedHops = CertificateXFCC, -1 },
	} {
		cfg := newWorld(t, nil).cfg
		cfg.Registerer = nil
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%q with %d hops is taken", cfg.ClientCertificate, cfg.XFCCTrustedHops)
		}
	}
}

// TestWhoShowsNoBoundTokenPaysNothing: a certificate costs nothing where no token asks for it.
func TestWhoShowsNoBoundTokenPaysNothing(t *testing.T) {
	w := newWorld(t, nil)
	plain := usualRequest(t, w)
	certified := usualRequest(t, w)
	certified.Attributes.Source.Certificate = newClientCert(t).encoded
	allocations := func(in *authv3.CheckRequest) float64 {
		return testing.AllocsPerRun(200, func() {
			if _, err := w.Check(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		})
	}
	// The race detector has pools forget at random, which moves the mean by one; to decode a certificate takes more than three.
	if without, with := allocations(plain), allocations(certified); with > without+3 {
		t.Errorf("%v allocations with a certificate, %v without", with, without)
	}
}
