package extauthz

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

// mintSame signs as mint does, but the same bytes each time (RFC 6979), so that every fuzz worker knows the token.
func mintSame(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(`{"alg":"ES256","kid":"k1"}`)) + "." + b64(payload)
	digest := sha256.Sum256([]byte(input))
	der, err := worldKey().Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	var point struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &point); err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(append(point.R.FillBytes(make([]byte, 32)), point.S.FillBytes(make([]byte, 32))...))
}

// wireSeeds are CheckRequests as bytes: as Envoy sends them, and as protobuf allows them too.
func wireSeeds(t testing.TB, tok string) map[string][]byte {
	t.Helper()
	encode := func(in *authv3.CheckRequest) []byte {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	public := encode(ask("GET", "https://orders.example.com/healthz"))
	good := encode(ask("GET", "https://orders.example.com/v1?a=b", "authorization: Bearer "+tok))
	raw := ask("GET", "https://orders.example.com/v1")
	raw.Attributes.Request.Http.Headers = nil
	raw.Attributes.Request.Http.HeaderMap = asHeaderMap([]field{{"authorization", "Bearer " + tok}, {"cookie", "a=1\xe9"}})
	scoped := ask("GET", "https://orders.example.com/healthz")
	scoped.Attributes.ContextExtensions = map[string]string{"sallyport-scope": "namespace/other"}
	// http wraps a field of the HTTP request in the messages around it.
	http := func(b []byte) []byte {
		for _, f := range []protowire.Number{2, 4, 1} {
			b = append(protowire.AppendTag(nil, f, protowire.BytesType), protowire.AppendBytes(nil, b)...)
		}
		return b
	}
	path := http(protowire.AppendString(protowire.AppendTag(nil, 4, protowire.BytesType), "/v1"))
	return map[string][]byte{
		"public": public, "with a token": good, "as raw headers": encode(raw), "in a scope": encode(scoped), "empty": {},
		"the token in a cookie":  encode(ask("GET", "https://orders.example.com/v1", "cookie: a=1; access_token="+tok)),
		"the token in the query": encode(ask("GET", "https://orders.example.com/v1?access_token="+tok)),
		"two tokens":             encode(ask("GET", "https://orders.example.com/v1?access_token="+tok, "authorization: Bearer "+tok)),
		"a redirect":             encode(ask("GET", "https://web.example.com/a?b", "accept: text/html")),
		"dry run":                encode(ask("GET", "https://dry.example.com/%2e%2e/")), "keys away": encode(ask("GET", "https://far.example.com/", "authorization: Bearer "+tok)),
		"the path twice, the last closed": append(bytes.Clone(public), path...),
		"the path twice, the last open":   append(http(protowire.AppendString(protowire.AppendTag(nil, 4, protowire.BytesType), "/v1")), public...),
		"an unknown field":                append(protowire.AppendString(protowire.AppendTag(nil, 900, protowire.BytesType), "x"), public...),
		"a group":                         append(protowire.AppendTag(protowire.AppendTag(nil, 901, protowire.StartGroupType), 901, protowire.EndGroupType), public...),
		"the path as a number":            append(bytes.Clone(public), http(protowire.AppendVarint(protowire.AppendTag(nil, 4, protowire.VarintType), 7))...),
		"invalid UTF-8":                   append(bytes.Clone(public), http(protowire.AppendString(protowire.AppendTag(nil, 4, protowire.BytesType), "/\xff"))...),
		"cut off":                         good[:len(good)-3],
		"headers and header_map": encode(func() *authv3.CheckRequest {
			in := proto.Clone(raw).(*authv3.CheckRequest)
			in.Attributes.Request.Http.Headers = map[string]string{"authorization": "Bearer other"}
			return in
		}()),
		"many headers": encode(ask("GET", "https://orders.example.com/healthz", manyHeaders(300)...)),
		"commas":       encode(ask("GET", "https://orders.example.com/v1", "authorization: "+strings.Repeat("Bearer ,", 2000), "cookie: "+strings.Repeat("access_token=;", 2000))),
	}
}

// bare is an answer without what is drawn by lot.
func bare(out *authv3.CheckResponse) *authv3.CheckResponse {
	id := meta(out, "decisionID")
	delete(out.GetDynamicMetadata().GetFields(), "decisionID")
	if d := out.GetDeniedResponse(); d != nil {
		d.Body = strings.ReplaceAll(d.Body, id, "")
		for _, h := range d.Headers {
			h.Header.Value = strings.ReplaceAll(h.Header.Value, id, "")
		}
	}
	return out
}

// wellFormed wants an answer that Envoy can carry out, and that says in its metadata what it does.
func wellFormed(t *testing.T, out *authv3.CheckResponse) {
	t.Helper()
	allowed := out.GetOkResponse() != nil
	if allowed == (out.GetDeniedResponse() != nil) || allowed != (out.GetStatus().GetCode() == 0) || out.GetErrorResponse() != nil ||
		(meta(out, "decision") == "Allow") != allowed || meta(out, "reason") == "" || meta(out, "decisionID") == "" {
		t.Fatalf("half an answer: %v", out)
	}
	for _, list := range [][]*corev3.HeaderValueOption{out.GetOkResponse().GetHeaders(), out.GetDeniedResponse().GetHeaders()} {
		for _, h := range list {
			if strings.ContainsAny(h.GetHeader().GetKey()+h.GetHeader().GetValue(), "\r\n\x00") || h.GetHeader().GetKey() == "" {
				t.Errorf("a header that is none: %v", h)
			}
		}
	}
}

// FuzzCheckWire sends bytes as a CheckRequest through a real gRPC server. Its laws: while ready there is an answer, never
// a gRPC error; the answer is the one to what the library for protobuf reads of these bytes, and what it cannot decode, as
// far as it is read, is an invalid request; reading, writing and reading again changes nothing; a token of which not every byte
// stands in the message opens nothing that wants one; and no message takes more than 100 times the memory of a typical
// one, by its length.
func FuzzCheckWire(f *testing.F) {
	w := newWorld(f, func(c *Config) { c.Log = logr.Discard() })
	conn, _ := w.serve(f)
	tok := mintSame(f, jwt.MapClaims{"iss": "https://id.example.com", "aud": "orders-api", "sub": "alice", "scope": "orders.read audit", "exp": worldNow.Unix() + 600})
	send := func(ctx context.Context, data []byte) (*authv3.CheckResponse, error) {
		out := new(authv3.CheckResponse)
		return out, conn.Invoke(ctx, authv3.Authorization_Check_FullMethodName, data, out, grpc.ForceCodecV2(rawCodec{}))
	}
	seeds := wireSeeds(f, tok)
	for _, name := range slices.Sorted(maps.Keys(seeds)) {
		f.Add(seeds[name])
	}
	usual, descriptor := seeds["with a token"], narrow(f)
	measured := func(ctx context.Context, data []byte) (out *authv3.CheckResponse, cost uint64, err error) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, err = send(ctx, data)
		runtime.ReadMemStats(&after)
		return out, after.TotalAlloc - before.TotalAlloc, err
	}
	if _, _, err := measured(context.Background(), usual); err != nil {
		f.Fatal(err)
	}
	_, typical, _ := measured(context.Background(), usual)
	f.Fuzz(func(t *testing.T, data []byte) {
		out, cost, err := measured(t.Context(), data)
		if err != nil {
			t.Fatalf("an error instead of an answer: %v", err)
		}
		if cost > 100*typical*uint64(1+len(data)/len(usual)) {
			t.Errorf("%d bytes for a message of %d, of which a typical one of %d takes %d", cost, len(data), len(usual), typical)
		}
		wellFormed(t, out)
		if meta(out, "reason") == "Allowed" && !bytes.Contains(data, []byte(tok)) {
			t.Errorf("allowed without the token: %v", out)
		}
		if err := proto.Unmarshal(data, dynamicpb.NewMessage(descriptor)); err != nil {
			if out.GetDeniedResponse().GetStatus().GetCode() != 400 || meta(out, "reason") != "InvalidRequest" {
				t.Errorf("protobuf refuses it (%v), and the answer is %v", err, out)
			}
			return
		}
		in := new(authv3.CheckRequest)
		if proto.Unmarshal(data, in) != nil {
			return // something that is not read
		}
		standard, err := w.Check(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if bare(out); !proto.Equal(out, bare(standard)) {
			t.Errorf("the wire says %v\nand protobuf %v", out, standard)
		}
		printed, err := proto.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := send(t.Context(), printed); err != nil || !proto.Equal(out, bare(again)) {
			t.Errorf("first %v\nwritten again %v %v", out, again, err)
		}
	})
}
