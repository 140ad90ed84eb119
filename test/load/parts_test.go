package main

import (
	"bytes"
	"context"
	"crypto/rsa"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/proto"
)

// decode is the CheckRequest of a gRPC message.
func decode(t *testing.T, payload []byte) *authv3.CheckRequest {
	t.Helper()
	in := new(authv3.CheckRequest)
	if err := proto.Unmarshal(payload[5:], in); err != nil {
		t.Fatal(err)
	}
	return in
}

func headers(t *testing.T, payload []byte) map[string]string {
	return decode(t, payload).GetAttributes().GetRequest().GetHttp().GetHeaders()
}

// TestRequestIsOfTheSizeThatIsClaimed: docs/performance.md says what is measured.
func TestRequestIsOfTheSizeThatIsClaimed(t *testing.T) {
	m, err := newMinter()
	if err != nil {
		t.Fatal(err)
	}
	work, err := newWorkload(m, estate{hosts: 3}.complete(), 5, false)
	if err != nil {
		t.Fatal(err)
	}
	payload, want, _ := work.render(nil, 1, true)
	in := decode(t, payload).GetAttributes().GetRequest().GetHttp()
	if len(payload) < 1900 || len(payload) > 2200 || len(in.GetHeaders()) != 15 || len(work.tokens[1]) < 850 || len(work.tokens[1]) > 950 {
		t.Errorf("%d bytes, %d headers, a token of %d bytes", len(payload), len(in.GetHeaders()), len(work.tokens[1]))
	}
	const path = "/v1/users/u0000001/orders/0000017?expand=items"
	if want != allowed || in.GetHost() != host(1) || in.GetHeaders()[":authority"] != host(1) || in.GetPath() != path ||
		in.GetHeaders()[":path"] != path || in.GetHeaders()["authorization"] != "Bearer "+work.tokens[1] {
		t.Errorf("request: %v", in)
	}
	for _, mark := range []string{"@@", "&&", "##", tokenPad + tokenPad} {
		if bytes.Contains(payload, []byte(mark)) {
			t.Errorf("%q is left in %q", mark, payload)
		}
	}
}

// TestTokensVerify holds the key of many primes against a verifier that knows two.
func TestTokensVerify(t *testing.T) {
	m, err := newMinter()
	if err != nil {
		t.Fatal(err)
	}
	key := func(*jwt.Token) (any, error) { return &rsa.PublicKey{N: m.modulus, E: exponent}, nil }
	tokens, err := m.tokens(3, 40, readScope)
	if err != nil {
		t.Fatal(err)
	}
	for i, raw := range tokens {
		claims := jwt.MapClaims{}
		if _, err := jwt.ParseWithClaims(raw, claims, key, jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(issuer), jwt.WithAudience(audience)); err != nil {
			t.Fatal(err)
		}
		if claims["sub"] != sub(3+i) {
			t.Errorf("token %d is of %v", i, claims["sub"])
		}
	}
	if _, err := jwt.Parse(forged(tokens[0]), key); err == nil {
		t.Error("a forged token verifies")
	}
}

func TestPower(t *testing.T) {
	for range 1000 {
		p := rand.Uint64()>>rand.IntN(40) + 2
		x, e := rand.Uint64()%p, rand.Uint64()
		want := new(big.Int).Exp(new(big.Int).SetUint64(x), new(big.Int).SetUint64(e), new(big.Int).SetUint64(p)).Uint64()
		if got := power(x, e, p); got != want {
			t.Errorf("%d^%d mod %d is %d, want %d", x, e, p, got, want)
		}
	}
}

func TestHistogram(t *testing.T) {
	var values []time.Duration
	var parts [2]histogram
	for i := range 20000 {
		d := time.Duration(rand.ExpFloat64() * float64(time.Millisecond))
		values = append(values, d)
		parts[i%2].add(d)
	}
	parts[0].merge(&parts[1])
	slices.Sort(values)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := values[min(int(q*float64(len(values))), len(values)-1)]
		if got := parts[0].quantile(q); got < exact || float64(got) > float64(exact)*(1+1.0/subBuckets)+1 {
			t.Errorf("quantile %v is %s, want %s to a 64th", q, got, exact)
		}
	}
}

func TestVerdict(t *testing.T) {
	denied := func(code typev3.StatusCode) *authv3.CheckResponse_DeniedResponse {
		return &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: code}}}
	}
	ok := &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}}
	const bad = -1
	for name, test := range map[string]struct {
		reply *authv3.CheckResponse
		want  int
	}{
		"ok":                        {&authv3.CheckResponse{Status: &status.Status{}, HttpResponse: ok}, allowed},
		"nothing at all":            {&authv3.CheckResponse{}, allowed},
		"refused":                   {&authv3.CheckResponse{Status: &status.Status{Code: 16}, HttpResponse: denied(401)}, http.StatusUnauthorized},
		"refused without more":      {&authv3.CheckResponse{Status: &status.Status{Code: 7}}, http.StatusForbidden},
		"ok with a refusal":         {&authv3.CheckResponse{HttpResponse: denied(403)}, bad},
		"a refusal with OkResponse": {&authv3.CheckResponse{Status: &status.Status{Code: 7}, HttpResponse: ok}, bad},
		"an error": {&authv3.CheckResponse{Status: &status.Status{Code: 7}, HttpResponse: &authv3.CheckResponse_ErrorResponse{
			ErrorResponse: &authv3.DeniedHttpResponse{},
		}}, bad},
	} {
		t.Run(name, func(t *testing.T) {
			message, err := proto.Marshal(test.reply)
			if err != nil {
				t.Fatal(err)
			}
			got, err := verdict(append([]byte{0, 0, 0, 0, byte(len(message))}, message...))
			if err != nil {
				got = bad
			}
			if got != test.want {
				t.Errorf("%d (%v), want %d", got, err, test.want)
			}
		})
	}
	if _, err := verdict([]byte{0, 0, 0, 0, 9, 1}); err == nil {
		t.Error("half a message is an answer")
	}
}

// counter allows everything, and counts the Checks at a time and the connections.
type counter struct {
	authv3.UnimplementedAuthorizationServer
	now, most, connections atomic.Int64
	seen                   sync.Map // ids of requests
}

// Check implements the authorization service.
func (c *counter) Check(_ context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	now := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
	c.seen.Store(in.GetAttributes().GetRequest().GetHttp().GetHeaders()["x-request-id"], true)
	return &authv3.CheckResponse{Status: &status.Status{}}, nil
}

func (c *counter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (c *counter) HandleRPC(context.Context, stats.RPCStats)                         {}
func (c *counter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (c *counter) HandleConn(_ context.Context, s stats.ConnStats) {
	if _, ok := s.(*stats.ConnBegin); ok {
		c.connections.Add(1)
	}
}

// TestClientKeepsTheServersRules: far more is in flight than the window of a connection and its bound of streams let
// through, and connections are taken away; still each Check arrives once.
func TestClientKeepsTheServersRules(t *testing.T) {
	for name, test := range map[string]struct {
		streams uint32
		options []grpc.ServerOption
		closed  bool // connections are taken away
	}{
		"window of 64 KiB":   {streams: 1000, options: []grpc.ServerOption{grpc.StaticConnWindowSize(65535), grpc.StaticStreamWindowSize(65535)}},
		"three streams":      {streams: 3},
		"short connections":  {streams: 1000, options: []grpc.ServerOption{grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: time.Millisecond})}, closed: true},
		"few and short ones": {streams: 3, options: []grpc.ServerOption{grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: time.Millisecond})}, closed: true},
	} {
		t.Run(name, func(t *testing.T) {
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			c := &counter{}
			s := grpc.NewServer(append(test.options, grpc.MaxConcurrentStreams(test.streams), grpc.StatsHandler(c))...)
			authv3.RegisterAuthorizationServer(s, c)
			go func() { _ = s.Serve(lis) }()
			defer s.Stop()
			m, err := newMinter()
			if err != nil {
				t.Fatal(err)
			}
			work, err := newWorkload(m, estate{}.complete(), 10, false)
			if err != nil {
				t.Fatal(err)
			}
			d, err := newDriver(&server{name: "counter", address: lis.Addr().String()}, work, 2, time.Minute, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer d.close()
			sent := int64(0)
			for sent == 0 || test.closed && c.connections.Load() < 6 {
				res, err := d.drive(&round{inFlight: 300, checks: 2000})
				if err != nil {
					t.Fatal(err)
				}
				sent += res.checks
			}
			arrived := int64(0)
			c.seen.Range(func(any, any) bool { arrived++; return true })
			if arrived != sent || sent%2000 != 0 {
				t.Errorf("%d arrived of %d", arrived, sent)
			}
			if most := c.most.Load(); most > 2*int64(test.streams) {
				t.Errorf("%d Checks at a time, where %d streams are allowed on each of two connections", most, test.streams)
			}
		})
	}
}

func TestRatios(t *testing.T) {
	ratios := adjacent([]float64{2, 3, 9, 4}, []float64{1, 2, 3, 1})
	if want := []float64{2, 3, 1.5, 4.5, 3, 4.0 / 3, 4}; !slices.Equal(ratios, want) {
		t.Errorf("ratios %v, want %v", ratios, want)
	}
	if got := median(ratios); got != 3 {
		t.Errorf("median %v, want 3", got)
	}
	if low, high := middleHalf(ratios); low != 1.5 || high != 4 {
		t.Errorf("middle half from %v to %v, want 1.5 to 4", low, high)
	}
	if low, high := middleHalf([]float64{7}); low != 7 || high != 7 {
		t.Errorf("middle half of 7 alone from %v to %v", low, high)
	}
}
