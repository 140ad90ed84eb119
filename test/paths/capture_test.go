package paths

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	gocmp "github.com/google/go-cmp/cmp"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport/cmd/demo"
)

var update = flag.Bool("update", false, "write testdata/captured.jsonl anew with what Envoy sends")

const (
	captured     = "testdata/captured.jsonl"
	capturedFrom = "/1.40.0/" // as --version says it
)

// asking are the ways in which Envoy describes a request: its headers as a map or raw, its path as sent or normalized.
var asking = []listener{
	{name: "map"},
	{name: "raw", raw: true},
	{name: "map, normalized", paths: normalized},
	{name: "raw, normalized", paths: normalized, raw: true},
}

var normalized = demo.PathConfig{Normalize: true, MergeSlashes: true, EscapedSlashes: "UNESCAPE_AND_FORWARD"}

// capture is what Envoy asks about one request; Check is nil where it answers by itself.
type capture struct {
	Request  string          `json:"request"`
	Listener string          `json:"listener"`
	Check    json.RawMessage `json:"check"`
}

func (c capture) line(t *testing.T) []byte {
	t.Helper()
	line, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// form is one description of a request.
type form struct {
	request string
	raw     bool
	check   string
}

// recorder keeps what it is asked, and refuses.
type recorder struct {
	authv3.UnimplementedAuthorizationServer
	mu   sync.Mutex
	seen []*authv3.CheckRequest
}

// Check keeps in.
func (r *recorder) Check(_ context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, proto.Clone(in).(*authv3.CheckRequest))
	return &authv3.CheckResponse{
		Status: &statuspb.Status{Code: int32(codes.PermissionDenied)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode_Forbidden},
		}},
	}, nil
}

func (r *recorder) take() []*authv3.CheckRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

// TestCapture sees that Envoy still asks as it is kept in testdata; with -update it writes that.
func TestCapture(t *testing.T) {
	version, err := exec.Command(envoyBinary(t), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(version), capturedFrom) && !*update {
		t.Skipf("%s is kept from another Envoy, %s: this one is%s", captured, capturedFrom, version)
	}
	r := &recorder{}
	addresses := startEnvoy(t, serveAny(t, r), asking, nil, nil)
	var got bytes.Buffer
	kept := map[form]bool{} // what normalization does not change is kept once
	for _, l := range asking {
		for _, req := range requests {
			exchange(t, addresses[l.name], req.raw)
			c := capture{Request: req.name, Listener: l.name}
			switch seen := r.take(); len(seen) {
			case 0:
			case 1:
				c.Check = plain(t, seen[0])
			default:
				t.Fatalf("%s: Envoy took it for %d requests", req.name, len(seen))
			}
			if form := (form{req.name, l.raw, string(c.Check)}); !kept[form] {
				kept[form] = true
				got.Write(append(c.line(t), '\n'))
			}
		}
	}
	if *update {
		write(t, captured, got.String())
	}
	want, err := os.ReadFile(captured)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("Envoy asks in another way than is kept in %s (-update writes it anew):\n%s", filepath.Base(captured), diff)
	}
}

// exchange sends text and waits for the end of the first answer, or of the connection.
func exchange(t *testing.T, address, text string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	var in [1]byte
	if _, err := conn.Read(in[:]); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

// plain is what says something of the request: all but addresses, times and ids, in one order.
func plain(t *testing.T, in *authv3.CheckRequest) json.RawMessage {
	t.Helper()
	http := proto.Clone(in.GetAttributes().GetRequest().GetHttp()).(*authv3.AttributeContext_HttpRequest)
	http.Id = ""
	delete(http.Headers, "x-request-id")
	if m := http.HeaderMap; m != nil {
		m.Headers = slices.DeleteFunc(m.Headers, func(h *corev3.HeaderValue) bool { return h.Key == "x-request-id" })
		slices.SortStableFunc(m.Headers, func(a, b *corev3.HeaderValue) int { return cmp.Compare(a.Key, b.Key) })
	}
	text, err := protojson.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: http},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		t.Fatal(err)
	}
	return compact.Bytes()
}
