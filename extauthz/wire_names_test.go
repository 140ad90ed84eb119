package extauthz

import (
	"fmt"
	"maps"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// TestNamesStandOnce: of a name that is sent twice the last value counts.
func TestNamesStandOnce(t *testing.T) {
	for _, count := range []int{1, 2, 15, 64, 300} {
		var http []byte
		send := func(name, value string) {
			entry := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
			entry = protowire.AppendString(protowire.AppendTag(entry, 2, protowire.BytesType), value)
			http = protowire.AppendBytes(protowire.AppendTag(http, 3, protowire.BytesType), entry)
		}
		for i := range count {
			send(fmt.Sprintf("x-%d-name", i), "first")
		}
		for i := 0; i < count; i += 3 {
			send(fmt.Sprintf("x-%d-name", i), "second")
		}
		send("", "no name")
		data := http
		for _, number := range []protowire.Number{2, 4, 1} {
			data = protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), data)
		}
		var m message
		if err := m.read(data); err != nil {
			t.Fatal(err)
		}
		in := new(authv3.CheckRequest)
		if err := proto.Unmarshal(data, in); err != nil {
			t.Fatal(err)
		}
		got, want := map[string]string{}, in.GetAttributes().GetRequest().GetHttp().GetHeaders()
		for _, f := range m.headers {
			got[f.Name] = f.Value
		}
		if !maps.Equal(got, want) || len(m.headers) != len(want) {
			t.Errorf("%d names: %d fields, %d names of them, and the generated code has %d", count, len(m.headers), len(got), len(want))
		}
	}
}
