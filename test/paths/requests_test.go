package paths

import "strings"

// request is one as a client writes it. In place of tokens stand USER and ADMIN.
type request struct {
	name string
	raw  string
	may  string // the rule that may let it in; empty where nothing may
}

// get is a request to shop.test, with more lines of headers.
func get(target string, lines ...string) string {
	return raw("GET "+target, append([]string{"Host: shop.test"}, lines...)...)
}

// raw is a request whose first line lacks the version.
func raw(first string, lines ...string) string {
	return first + " HTTP/1.1\r\n" + strings.Join(append(lines, "", ""), "\r\n")
}

const (
	asUser  = "Authorization: Bearer USER"
	asAdmin = "Authorization: Bearer ADMIN"
)

// requests are what clients send. What may let one in is said from its meaning: by the HTTP standard the fields of one
// name are one list, and what two readers could take for two things opens nothing.
var requests = []request{
	{"the right token", get("/admin", asAdmin), "admin"},
	{"no token", get("/admin"), ""},
	{"a token without the role", get("/admin", asUser), ""},
	{"a scheme in lower case", get("/admin", "authorization: bearer ADMIN"), "admin"},
	{"blanks around a token", get("/admin", "Authorization:\t Bearer   ADMIN \t"), "admin"},
	{"a tab behind the scheme", get("/admin", "Authorization: Bearer\tADMIN"), ""},
	{"two Authorization fields, the right one first", get("/admin", asAdmin, asUser), ""},
	{"two Authorization fields, the right one last", get("/admin", asUser, asAdmin), ""},
	{"one Authorization field twice", get("/admin", asAdmin, asAdmin), ""},
	{"two schemes in two fields", get("/admin", "Authorization: Basic eDp5", asAdmin), ""},
	{"two tokens joined by the client", get("/admin", "Authorization: Bearer ADMIN,Bearer USER"), ""},
	{"an empty Authorization in front of one", get("/admin", "Authorization:", asAdmin), "admin"}, // Envoy drops it, for the application too
	{"an empty Authorization behind one", get("/admin", asAdmin, "Authorization:"), "admin"},
	{"a token with a byte that is not UTF-8", get("/admin", asAdmin+"\xff"), ""},
	{"a token behind a byte that is not UTF-8", get("/admin", "Authorization: \xa0Bearer ADMIN"), ""},
	{"a folded Authorization", get("/admin", "Authorization: Bearer\r\n ADMIN"), "admin"},
	{"a second token in a folded line", get("/admin", asUser+"\r\n ,Bearer ADMIN"), ""},
	{"Proxy-Authorization", get("/admin", "Proxy-Authorization: Bearer ADMIN"), ""},
	{"a name with an underscore", get("/admin", "Authorization_: Bearer ADMIN", asUser), ""},

	{"a cookie", get("/admin", "Cookie: access_token=ADMIN"), "admin"},
	{"a cookie among others", get("/admin", "Cookie: a=b; access_token=ADMIN; c=d"), "admin"},
	{"two Cookie fields, one with a token", get("/admin", "Cookie: a=b", "Cookie: access_token=ADMIN"), "admin"},
	{"two Cookie fields with tokens", get("/admin", "Cookie: access_token=USER", "Cookie: access_token=ADMIN"), ""},
	{"two Cookie fields with tokens, the other way", get("/admin", "Cookie: access_token=ADMIN", "Cookie: access_token=USER"), ""},
	{"a cookie twice", get("/admin", "Cookie: access_token=ADMIN; access_token=USER"), ""},
	{"a cookie with blanks in its name", get("/admin", "Cookie: access_token =ADMIN"), ""},
	{"a cookie whose name has another case", get("/admin", "Cookie: Access_Token=ADMIN"), ""},
	{"a quoted cookie", get("/admin", `Cookie: access_token="ADMIN"`), ""},
	{"a token in a cookie and in Authorization", get("/admin", asUser, "Cookie: access_token=ADMIN"), ""},
	{"a cookie with a byte that is not UTF-8", get("/admin", "Cookie: access_token=ADMIN\xfe"), ""},
	{"a folded Cookie", get("/admin", "Cookie: access_token=USER;\r\n access_token=ADMIN"), ""},

	{"a header that opens", get("/gold", "X-Tier: gold"), "gold"},
	{"without it", get("/gold"), ""},
	{"the header in another case", get("/gold", "x-TIER: gold"), "gold"},
	{"its value in another case", get("/gold", "X-Tier: Gold"), ""},
	{"blanks around its value", get("/gold", "X-Tier: \t gold\t "), "gold"},
	{"the header twice", get("/gold", "X-Tier: gold", "X-Tier: gold"), ""},
	{"the header with two values", get("/gold", "X-Tier: silver", "X-Tier: gold"), ""},
	{"the header with two values, the other way", get("/gold", "X-Tier: gold", "X-Tier: silver"), ""},
	{"the header, and an empty one", get("/gold", "X-Tier: gold", "X-Tier:"), ""},
	{"the header with an underscore", get("/gold", "X_Tier: gold"), ""},
	{"both spellings", get("/gold", "X_Tier: gold", "X-Tier: silver"), ""},
	{"a blank in front of the colon", get("/gold", "X-Tier : gold"), ""},
	{"its value on a folded line", get("/gold", "X-Tier:\r\n gold"), "gold"},
	{"its value over two lines", get("/gold", "X-Tier: go\r\n ld"), ""},
	{"a folded line behind another header", get("/gold", "X-Other: x\r\n X-Tier: gold"), ""},
	{"its value with a NUL", get("/gold", "X-Tier: gold\x00"), ""},
	{"its value with a byte that is not UTF-8", get("/gold", "X-Tier: gold\xc0"), ""},
	{"a header that Connection names", get("/gold", "X-Tier: gold", "Connection: x-tier"), ""}, // it goes no further than Envoy
	{"a header that Connection names, which closes", get("/outside", asUser, "X-Blocked: yes", "Connection: x-blocked"), "outside"},
	{"a value that is not ASCII", get("/text", "X-Tier: caf\xc3\xa9"), "text"},
	{"the same in Latin-1", get("/text", "X-Tier: caf\xe9"), ""},
	{"the same in another form of Unicode", get("/text", "X-Tier: cafe\xcc\x81"), ""},
	{"the same with a byte too many", get("/text", "X-Tier: caf\xc3\xa9\xa9"), ""},
	{"an expression on a header", get("/inside", asUser, "X-Tier: gold"), "inside"},
	{"an expression on a header that came twice", get("/inside", asUser, "X-Tier: gold", "X-Tier: gold"), ""},
	{"an expression on a header that is not ASCII", get("/inside", asUser, "X-Tier: g\xf6ld"), ""},
	{"a header that closes", get("/outside", asUser, "X-Blocked: yes"), ""},
	{"without the header that closes", get("/outside", asUser), "outside"},
	{"the header that closes, twice", get("/outside", asUser, "X-Blocked: no", "X-Blocked: yes"), ""},
	{"the header that closes, empty", get("/outside", asUser, "X-Blocked:"), ""},
	{"the header that closes, not UTF-8", get("/outside", asUser, "X-Blocked: n\xf6"), ""},
	{"the header that closes, folded", get("/outside", asUser, "X-Blocked: no\r\n yes"), ""},

	{"a host in upper case", raw("GET /", "Host: OPEN.Test"), "open"},
	{"a host with a port", raw("GET /", "Host: open.test:8080"), "open"},
	{"a host with a final dot", raw("GET /", "Host: open.test."), "open"},
	{"a host with dot and port", raw("GET /", "Host: open.test.:80"), "open"},
	{"a host with two dots", raw("GET /", "Host: open.test.."), ""},
	{"a host with an empty port", raw("GET /", "Host: open.test:"), ""},
	{"a host with a word for a port", raw("GET /", "Host: open.test:shop.test"), ""},
	{"a user in the host", raw("GET /", "Host: shop.test@open.test"), ""},
	{"a user in the host, the other way", raw("GET /", "Host: open.test@shop.test"), ""},
	{"two hosts", raw("GET /", "Host: open.test", "Host: shop.test"), ""},
	{"two hosts, the other way", raw("GET /", "Host: shop.test", "Host: open.test"), ""},
	{"the same host twice", raw("GET /", "Host: open.test", "Host: open.test"), ""},
	{"two hosts in one", raw("GET /", "Host: shop.test,open.test"), ""},
	{"an empty host", raw("GET /", "Host:"), ""},
	{"no host", raw("GET /"), ""},
	{"a folded host", raw("GET /", "Host: open.test\r\n shop.test"), ""},
	{"a host with an escape", raw("GET /", "Host: open%2etest"), ""},
	{"a host that is not ASCII", raw("GET /", "Host: open.test\xe2\x80\xa4"), ""},
	{"a host with a path", raw("GET /", "Host: open.test/x"), ""},
	{"a host with a wide dot", raw("GET /", "Host: open\xef\xbc\x8etest"), ""},
	{"another host beside it", get("/", "X-Forwarded-Host: open.test", "Forwarded: host=open.test", "X-Host: open.test"), ""},
	{"an absolute target", raw("GET http://open.test/", "Host: shop.test"), "open"},
	{"an absolute target, the other way", raw("GET http://shop.test/", "Host: open.test"), ""},
	{"an absolute target without a host", raw("GET http://open.test/"), "open"},
	{"an absolute target with a user", raw("GET http://open.test@shop.test/", "Host: open.test"), ""},
	{"an absolute target with a port", raw("GET http://OPEN.test:80/x", "Host: shop.test"), "open"},
	{"an absolute target without a path", raw("GET http://open.test", "Host: shop.test"), "open"},
	{"an absolute target with only a query", raw("GET http://open.test?http://shop.test/", "Host: shop.test"), ""},
	{"a target with two slashes", raw("GET //open.test/", "Host: shop.test"), ""},
	{"a pseudo-header", get("/", ":authority: open.test"), ""},

	{"a method that opens", get("/read"), "read"},
	{"another method", raw("POST /read", "Host: shop.test", "Content-Length: 0"), ""},
	{"a method that is overridden", raw("POST /read", "Host: shop.test", "Content-Length: 0", "X-HTTP-Method-Override: GET", "X-Method-Override: GET"), ""},
	{"a method in lower case", raw("get /read", "Host: shop.test"), ""},
	{"another path beside it", get("/admin", asUser, "X-Original-URL: /read", "X-Rewrite-URL: /read", "X-Envoy-Original-Path: /read"), ""},
	{"a query that opens", get("/query?mode=safe"), "safe"},
	{"without it in the query", get("/query?x=mode=safe"), ""},
	{"a parameter twice", get("/query?mode=safe&mode=unsafe"), ""},
	{"a parameter twice, the other way", get("/query?mode=unsafe&mode=safe"), ""},
	{"a parameter behind a semicolon", get("/query?x;mode=safe"), ""},
	{"a parameter cut by a semicolon", get("/query?mode=safe;mode=unsafe"), ""},
	{"a parameter with an escape", get("/query?m%6fde=saf%65"), "safe"},
	{"a second question mark", get("/query?x?mode=safe"), ""},
	{"an escaped question mark", get("/query%3fmode=safe"), ""},
}
