package extauthz

import (
	"maps"
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// asGenerated is what the generated code reads of a CheckRequest.
func asGenerated(in *authv3.CheckRequest) message {
	attrs := in.GetAttributes()
	http := attrs.GetRequest().GetHttp()
	m := message{
		method: http.GetMethod(), scheme: http.GetScheme(), host: http.GetHost(), path: http.GetPath(), query: http.GetQuery(),
		size: http.GetSize(), headers: policy.FieldsOf(http.GetHeaders()), context: policy.FieldsOf(attrs.GetContextExtensions()),
		peer:   attrs.GetSource().GetAddress().GetSocketAddress().GetAddress(),
		source: attrs.GetSource().GetPrincipal(), destination: attrs.GetDestination().GetPrincipal(),
	}
	for _, h := range http.GetHeaderMap().GetHeaders() {
		m.raw = append(m.raw, rawField{h.GetKey(), h.GetValue(), string(h.GetRawValue())})
	}
	return m
}

// inOrder is m with maps in the order of their names, and without empty lists.
func (m message) inOrder() message {
	m.headers, m.context = sorted(m.headers), sorted(m.context)
	m.raw = append([]rawField(nil), m.raw...)
	return m
}

// readFields are the fields that are read, by message; of all other fields the bytes may be what they like.
var readFields = map[string]string{
	"CheckRequest": "attributes", "AttributeContext": "source destination request context_extensions", "ContextExtensionsEntry": "key value",
	"Peer": "address principal", "Address": "socket_address", "SocketAddress": "address", "Request": "http",
	"HttpRequest": "method headers path host scheme query size header_map", "HeadersEntry": "key value",
	"HeaderMap": "headers", "HeaderValue": "key value raw_value",
}

// narrow is the description of CheckRequest with nothing but readFields, so that the library itself says what is wrong with
// a message as far as it is read.
func narrow(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("narrow.proto"), Package: proto.String("narrow"), Syntax: proto.String("proto3")}
	seen := map[protoreflect.FullName]bool{}
	var describe func(m protoreflect.MessageDescriptor) *descriptorpb.DescriptorProto
	describe = func(m protoreflect.MessageDescriptor) *descriptorpb.DescriptorProto {
		out := &descriptorpb.DescriptorProto{Name: proto.String(string(m.Name()))}
		if m.IsMapEntry() {
			out.Options = &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)}
		}
		names := strings.Fields(readFields[string(m.Name())])
		for _, name := range names {
			f := m.Fields().ByName(protoreflect.Name(name))
			if f == nil {
				t.Fatalf("%s has no %s", m.FullName(), name)
			}
			d := protodesc.ToFieldDescriptorProto(f)
			d.OneofIndex, d.Options = nil, nil
			if f.Message() != nil {
				d.TypeName = proto.String(".narrow." + string(f.Message().Name()))
				if f.IsMap() {
					d.TypeName = proto.String(".narrow." + string(m.Name()) + "." + string(f.Message().Name()))
					out.NestedType = append(out.NestedType, describe(f.Message()))
				} else if !seen[f.Message().FullName()] {
					seen[f.Message().FullName()] = true
					file.MessageType = append(file.MessageType, describe(f.Message()))
				}
			}
			out.Field = append(out.Field, d)
		}
		return out
	}
	file.MessageType = append(file.MessageType, describe((&authv3.CheckRequest{}).ProtoReflect().Descriptor()))
	built, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return built.Messages().ByName("CheckRequest")
}

// FuzzWire holds the reading of a CheckRequest against the library for protobuf. Its laws: bytes that the library cannot
// decode, as far as they are read, are an error, and no others are; and what is read is what the generated code reads.
// More than maxRawFields header fields are an error of our own. The certificate of the source, which is read apart, is that
// of the generated code too, or none.
func FuzzWire(f *testing.F) {
	seeds := wireSeeds(f, "token")
	for _, name := range slices.Sorted(maps.Keys(seeds)) {
		f.Add(seeds[name])
	}
	for _, seed := range oddSeeds() {
		f.Add(seed)
	}
	descriptor := narrow(f)
	m := new(message) // used again, as in the server
	f.Fuzz(func(t *testing.T, data []byte) {
		got := m.read(data)
		certificate := peerCertificate(data)
		if len(m.raw)+len(m.headers) > maxRawFields {
			t.Fatalf("%d header fields", len(m.raw)+len(m.headers))
		}
		want := proto.Unmarshal(data, dynamicpb.NewMessage(descriptor))
		if (got == nil) != (want == nil) && len(data) < maxRawFields {
			t.Fatalf("%v, and the library says %v", got, want)
		}
		if got != nil {
			if d := cmp.Diff(message{}, m.inOrder(), cmp.AllowUnexported(message{}, rawField{})); d != "" {
				t.Errorf("left over: %s", d)
			}
			return
		}
		in := new(authv3.CheckRequest)
		if proto.Unmarshal(data, in) != nil {
			return // something that is not read
		}
		if want := in.GetAttributes().GetSource().GetCertificate(); certificate != want {
			t.Errorf("the generated code reads the certificate %q, we %q", want, certificate)
		}
		if d := cmp.Diff(asGenerated(in).inOrder(), m.inOrder(), cmp.AllowUnexported(message{}, rawField{})); d != "" {
			t.Errorf("the generated code reads -, we read +:\n%s", d)
		}
	})
}

// oddSeeds are messages that writers do not write, and that protobuf allows or forbids.
func oddSeeds() [][]byte {
	field := func(b []byte, numbers ...protowire.Number) []byte {
		for _, n := range numbers {
			b = append(protowire.AppendTag(nil, n, protowire.BytesType), protowire.AppendBytes(nil, b)...)
		}
		return b
	}
	text := func(n protowire.Number, s string) []byte { return field([]byte(s), n) }
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	http := func(b []byte) []byte { return field(b, 2, 4, 1) }
	source := func(b []byte) []byte { return field(b, 1, 1) }
	return [][]byte{
		http(join(text(4, "/a"), text(4, ""))),
		join(http(text(4, "/a")), http(text(5, "h"))),
		http(field(join(text(1, "a"), text(2, "1")), 3)), http(field(text(2, "1"), 3)), http(field(text(1, "a"), 3)),
		http(field(join(text(1, "a"), text(1, "b"), text(2, "1"), text(2, "2"), text(3, "?")), 3)),
		http(join(field(join(text(1, "a"), text(2, "1")), 3), field(join(text(1, "a"), text(2, "2")), 3))),
		http(field(join(text(1, "a"), text(2, "\xff")), 3)), http(field(field(join(text(1, "a"), text(3, "\xff")), 1), 13)),
		http(field(field(join(text(1, "a"), text(2, "1"), text(3, "2")), 1), 13)),
		http(protowire.AppendVarint(protowire.AppendTag(nil, 9, protowire.VarintType), 1<<63)),
		http(protowire.AppendFixed32(protowire.AppendTag(nil, 4, protowire.Fixed32Type), 7)),
		source(field(field(text(2, "10.0.0.1"), 1), 1)), source(join(field(field(text(2, "10.0.0.1"), 1), 1), field(field(text(1, "/pipe"), 2), 1))),
		source(join(field(field(text(1, "/pipe"), 2), 1), field(field(text(2, "10.0.0.1"), 1), 1))),
		source(field(join(field(text(2, "10.0.0.1"), 1), field(text(2, ""), 1), field(nil, 3)), 1)),
		source(join(text(4, "spiffe://a"), text(5, "\xff"))), source(text(5, "one")), source(join(text(5, "one"), text(5, "two"))),
		join(source(text(5, "one")), source(text(4, "spiffe://a"))), field(text(5, "of the destination"), 2, 1),
		field(join(field(text(5, "one"), 1), field(nil, 1)), 1), field(text(4, "spiffe://b"), 2, 1),
		field(field(join(text(1, "sallyport-scope"), text(2, "namespace/a")), 10), 1),
		{0x08}, {0x0a, 0x05, 0x01}, {0x0b}, {0x0b, 0x0c}, {0x0c}, {0x00, 0x00}, {0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, {0x0e, 0x00}, {0x82, 0x00, 0x00},
		protowire.AppendVarint(nil, uint64(protowire.MaxValidNumber+1)<<3),
	}
}
