package paths

import (
	"path/filepath"
	"strings"
	"testing"
)

const httpdConfig = `
ServerName localhost
ServerRoot DIR
DefaultRuntimeDir DIR
PidFile DIR/pid
Mutex file:DIR default
ErrorLog DIR/error.log
LogLevel crit
LoadModule mpm_event_module MODULES/mod_mpm_event.so
LoadModule authz_core_module MODULES/mod_authz_core.so
LoadModule alias_module MODULES/mod_alias.so
LoadModule headers_module MODULES/mod_headers.so
MaxKeepAliveRequests 0
Listen 127.0.0.1:PORT0
Listen 127.0.0.1:PORT1
Listen 127.0.0.1:PORT2
AliasMatch "^" "DIR/answer.txt"
Header set X-Path "expr=%{REQUEST_URI}"
Header set X-Resource root
<Location "/admin">
  Header set X-Resource admin
</Location>
<Location "/admin/public">
  Header set X-Resource public
</Location>
<Location "/shop">
  Header set X-Resource shop
</Location>
<LocationMatch "^/shop/cart$">
  Header set X-Resource cart
</LocationMatch>
<LocationMatch "^/shop/dir/$">
  Header set X-Resource dir
</LocationMatch>
<LocationMatch "^/users/(?<user>[^/]+)">
  Header set X-Resource "user:%{MATCH_USER}e"
</LocationMatch>
<VirtualHost 127.0.0.1:PORT0>
  AliasMatch "^" "DIR/answer.txt"
</VirtualHost>
<VirtualHost 127.0.0.1:PORT1>
  AliasMatch "^" "DIR/answer.txt"
  AllowEncodedSlashes NoDecode
</VirtualHost>
<VirtualHost 127.0.0.1:PORT2>
  AliasMatch "^" "DIR/answer.txt"
  AllowEncodedSlashes On
</VirtualHost>
`

// startHttpd runs Apache httpd of root with each way to take an encoded slash.
func startHttpd(t *testing.T, root string) map[string]string {
	t.Helper()
	dir := folder(t)
	ports := freePorts(t, 3)
	write(t, filepath.Join(dir, "answer.txt"), "")
	file := filepath.Join(dir, "httpd.conf")
	write(t, file, strings.NewReplacer("DIR", dir, "MODULES", filepath.Join(root, "usr/lib/apache2/modules"),
		"PORT0", ports[0], "PORT1", ports[1], "PORT2", ports[2]).Replace(httpdConfig))
	p := start(t, "httpd", unpacked(root, "usr/sbin/apache2", "-d", dir, "-f", file, "-DFOREGROUND"))
	return awaitAll(t, p, []string{"httpd", "httpdnodecode", "httpddecode"}, ports)
}
