package token

import (
	"net/textproto"
	"strings"
	"testing"
)

// request is a Carrier made of raw fields, one a line.
type request struct {
	fields []string // "name: value"
	query  string
}

func (r request) Header(name string) (string, bool) {
	var values []string
	for _, field := range r.fields {
		key, value, _ := strings.Cut(field, ":")
		if strings.EqualFold(key, name) {
			values = append(values, textproto.TrimString(value))
		}
	}
	return strings.Join(values, ","), values != nil
}

func (r request) Query() string { return r.query }

func TestExtract(t *testing.T) {
	all := []Source{bearer, {Header: "authorization", Scheme: "DPoP"}, {Header: "x-token"}, {Cookie: "sid"}, {QueryParameter: "access_token"}}
	fields := func(f ...string) []string { return f }
	tests := []struct {
		name  string
		r     request
		want  string
		place Source
		err   error
	}{
		{"nothing", request{}, "", Source{}, nil},
		{"bearer", request{fields: fields("Authorization: Bearer abc")}, "abc", bearer, nil},
		{"scheme in another case", request{fields: fields("Authorization: bEARER abc")}, "abc", bearer, nil},
		{"several blanks", request{fields: fields("Authorization: Bearer   abc")}, "abc", bearer, nil},
		{"a tab is no blank", request{fields: fields("Authorization: Bearer\tabc")}, "\tabc", bearer, nil},
		{"other scheme of the provider", request{fields: fields("Authorization: DPoP abc")}, "abc", Source{Header: "authorization", Scheme: "DPoP"}, nil},
		{"another scheme", request{fields: fields("Authorization: Basic abc")}, "", Source{}, nil},
		{"a scheme with parameters", request{fields: fields(`Authorization: Digest a="b", c="d"`)}, "", Source{}, nil},
		{"longer scheme", request{fields: fields("Authorization: BearerX abc")}, "", Source{}, nil},
		{"look-alike of a letter in the scheme", request{fields: fields("Authorization: Bea\u0280er abc")}, "", Source{}, nil},
		{"nothing behind the scheme", request{fields: fields("Authorization: Bearer")}, "", Source{}, ErrMalformed},
		{"blanks behind the scheme", request{fields: fields("Authorization: Bearer   ")}, "", Source{}, ErrMalformed},
		{"two fields", request{fields: fields("Authorization: Bearer a", "Authorization: Bearer b")}, "", Source{}, ErrAmbiguousCredential},
		{"the same field twice", request{fields: fields("Authorization: Bearer a", "Authorization: Bearer a")}, "", Source{}, ErrAmbiguousCredential},
		{"two fields, other scheme first", request{fields: fields("Authorization: Basic a", "Authorization: Bearer b")}, "", Source{}, ErrAmbiguousCredential},
		{"two fields, other scheme last", request{fields: fields("Authorization: Bearer b", "Authorization: Basic a")}, "", Source{}, ErrAmbiguousCredential},
		{"two fields, one empty", request{fields: fields("Authorization: Bearer b", "Authorization:")}, "", Source{}, ErrAmbiguousCredential},
		{"two schemes of the provider", request{fields: fields("Authorization: Bearer a", "Authorization: DPoP b")}, "", Source{}, ErrAmbiguousCredential},
		{"comma in the token", request{fields: fields("Authorization: Bearer a,b")}, "", Source{}, ErrAmbiguousCredential},
		{"plain header", request{fields: fields("X-Token: abc")}, "abc", Source{Header: "x-token"}, nil},
		{"plain header, empty", request{fields: fields("X-Token:  ")}, "", Source{}, nil},
		{"plain header twice", request{fields: fields("X-Token: a", "X-Token: b")}, "", Source{}, ErrAmbiguousCredential},
		{"plain header twice, one empty", request{fields: fields("X-Token: a", "X-Token:")}, "", Source{}, ErrAmbiguousCredential},
		{"plain header twice, the first empty", request{fields: fields("X-Token:", "X-Token: a")}, "", Source{}, ErrAmbiguousCredential},
		{"cookie behind an empty pair", request{fields: fields("Cookie: ; sid=abc")}, "abc", Source{Cookie: "sid"}, nil},
		{"cookie", request{fields: fields("Cookie: a=b; sid=abc; c=d")}, "abc", Source{Cookie: "sid"}, nil},
		{"cookie among joined fields", request{fields: fields("Cookie: a=b", "Cookie: sid=abc")}, "abc", Source{Cookie: "sid"}, nil},
		{"cookie without blanks", request{fields: fields("Cookie: a=b;sid=abc")}, "abc", Source{Cookie: "sid"}, nil},
		{"cookie of another case", request{fields: fields("Cookie: SID=abc")}, "", Source{}, nil},
		{"cookie with a longer name", request{fields: fields("Cookie: xsid=abc; sidx=abc")}, "", Source{}, nil},
		{"cookie empty", request{fields: fields("Cookie: sid=")}, "", Source{}, nil},
		{"cookie without a value", request{fields: fields("Cookie: sid")}, "", Source{}, nil},
		{"cookie with = in its value", request{fields: fields("Cookie: sid=a=b")}, "a=b", Source{Cookie: "sid"}, nil},
		{"cookie in quotes", request{fields: fields(`Cookie: sid="abc"`)}, `"abc"`, Source{Cookie: "sid"}, nil},
		{"cookie twice", request{fields: fields("Cookie: sid=a; sid=b")}, "", Source{}, ErrAmbiguousCredential},
		{"cookie twice, one empty", request{fields: fields("Cookie: sid=; sid=b")}, "", Source{}, ErrAmbiguousCredential},
		{"cookie twice, in two fields", request{fields: fields("Cookie: sid=a", "Cookie: sid=b")}, "", Source{}, ErrAmbiguousCredential},
		{"cookie with a blank behind its name", request{fields: fields("Cookie: sid =a")}, "", Source{}, ErrAmbiguousCredential},
		{"query", request{query: "a=b&access_token=abc&c=d"}, "abc", Source{QueryParameter: "access_token"}, nil},
		{"query, empty", request{query: "access_token="}, "", Source{}, nil},
		{"query, name alone", request{query: "access_token"}, "", Source{}, nil},
		{"query, another case", request{query: "Access_Token=abc"}, "", Source{}, nil},
		{"query, value encoded", request{query: "access_token=%61"}, "%61", Source{QueryParameter: "access_token"}, nil},
		{"query twice", request{query: "access_token=a&access_token=b"}, "", Source{}, ErrAmbiguousCredential},
		{"query twice, one empty", request{query: "access_token&access_token=b"}, "", Source{}, ErrAmbiguousCredential},
		{"query, name encoded", request{query: "access%5Ftoken=a"}, "", Source{}, ErrAmbiguousCredential},
		{"query, name encoded in small letters", request{query: "%61ccess_toke%6e=a"}, "", Source{}, ErrAmbiguousCredential},
		{"query, name encoded twice", request{query: "access%255Ftoken=a"}, "", Source{}, nil},
		{"query, name with a bad escape", request{query: "access%5token=a&%=b&%zz=c"}, "", Source{}, nil},
		{"query, name ends in half an escape", request{query: "access_toke%6=a&access_toke%=a"}, "", Source{}, nil},
		{"query, longer name", request{query: "access_tokens=a"}, "", Source{}, nil},
		{"header and cookie", request{fields: fields("Authorization: Bearer a", "Cookie: sid=b")}, "", Source{}, ErrAmbiguousCredential},
		{"the same token in header and query", request{fields: fields("Authorization: Bearer a"), query: "access_token=a"}, "", Source{}, ErrAmbiguousCredential},
		{"header and empty cookie", request{fields: fields("Authorization: Bearer a", "Cookie: sid=")}, "a", bearer, nil},
	}
	// Spread over two providers, one place named by both: the union counts, each place once.
	providers := []*Provider{
		{Sources: all[:3]},
		{Sources: append([]Source{{Header: "authorization", Scheme: "bearer"}, all[3]}, all[3:]...)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Extract(test.r, providers)
			wraps(t, err, test.err)
			if want := (Credential{test.want, test.place}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestExtractLooksNowhereElse(t *testing.T) {
	r := request{fields: []string{"Authorization: Bearer a", "Cookie: sid=b"}, query: "access_token=c"}
	for _, source := range []Source{bearer, {Cookie: "sid"}, {QueryParameter: "access_token"}} {
		got, err := Extract(r, []*Provider{{Sources: []Source{source}}})
		if err != nil || got.Raw == "" || got.Source != source {
			t.Errorf("%+v: got %+v, error %v", source, got, err)
		}
	}
	if got, err := Extract(r, []*Provider{{Sources: []Source{{}}}, {}}); err != nil || got != (Credential{}) {
		t.Errorf("without a place: got %+v, error %v", got, err)
	}
}

// Places of one kind that differ in one word are different places.
func TestExtractTellsPlacesApart(t *testing.T) {
	places := []Source{
		bearer, {Header: "x-forwarded", Scheme: "Bearer"}, {Header: "authorization", Scheme: "DPoP"}, {Header: "x-a"}, {Header: "x-b"},
		{Cookie: "a"}, {Cookie: "b"}, {QueryParameter: "a"}, {QueryParameter: "b"},
	}
	for i, place := range places {
		r := request{}
		switch {
		case place.Header != "":
			r.fields = []string{place.Header + ":" + place.Scheme + " abc"}
		case place.Cookie != "":
			r.fields = []string{"cookie:" + place.Cookie + "=abc"}
		default:
			r.query = place.QueryParameter + "=abc"
		}
		got, err := Extract(r, []*Provider{{Sources: places}})
		if want := (Credential{"abc", place}); got != want || err != nil {
			t.Errorf("got %+v, want %+v, error %v", got, want, err)
		}
		for j, other := range places {
			if place.same(other) != (i == j) {
				t.Errorf("%+v and %+v are the same: %v", place, other, i != j)
			}
		}
	}
}

func TestExtractEncodedParameterName(t *testing.T) {
	p := []*Provider{{Sources: []Source{{QueryParameter: "my token"}}}}
	for _, query := range []string{"my+token=a", "my%20token=a"} {
		_, err := Extract(request{query: query}, p)
		wraps(t, err, ErrAmbiguousCredential)
	}
}

// An escape that is none stands for itself.
func TestEqualDecoded(t *testing.T) {
	tests := []struct {
		encoded, name string
		want          bool
	}{
		{"a%20b+c", "a b c", true}, {"a%2", "a%2", true}, {"a%5+b", "a%5 b", true}, {"a%+5b", "a% 5b", true}, {"+%", " %", true},
		{"%g5", "\xf5", false}, {"%5g", "\xff", false}, {"a", "ab", false}, {"%61b", "a", false}, {"", "", true},
	}
	for _, test := range tests {
		if got := equalDecoded(test.encoded, test.name); got != test.want {
			t.Errorf("%q for %q: %v", test.encoded, test.name, got)
		}
	}
}

func TestExtractDoesNotAllocate(t *testing.T) {
	p := []*Provider{{Sources: []Source{bearer, {Cookie: "sid"}}}, {Sources: []Source{bearer, {QueryParameter: "access_token"}}}}
	var r Carrier = fixed{}
	if n := testing.AllocsPerRun(100, func() {
		if got, err := Extract(r, p); err != nil || got.Raw != "abc" {
			t.Fatal(got, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type fixed struct{}

func (fixed) Header(name string) (string, bool) {
	switch name {
	case "authorization":
		return "Bearer abc", true
	case "cookie":
		return "a=b; c=d", true
	}
	return "", false
}

func (fixed) Query() string { return "a=b&c=d" }
