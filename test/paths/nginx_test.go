package paths

import (
	"path/filepath"
	"strings"
	"testing"
)

const nginxConfig = `
daemon off;
pid DIR/pid;
error_log stderr warn;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi;
  uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
  default_type text/plain;
  add_header X-Path $uri;
  add_header X-Resource $resource;
  map $uri $user { "~^/users/(?<named>[^/]+)" $named; }
  server { # segment by segment, as the rules are
    listen 127.0.0.1:PORT0;
    location / { set $resource root; return 200; }
    location = /admin { set $resource admin; return 200; }
    location /admin/ { set $resource admin; return 200; }
    location = /admin/public { set $resource public; return 200; }
    location /admin/public/ { set $resource public; return 200; }
    location = /shop { set $resource shop; return 200; }
    location /shop/ { set $resource shop; return 200; }
    location = /shop/cart { set $resource cart; return 200; }
    location = /shop/dir/ { set $resource dir; return 200; }
    location ~ ^/users/[^/] { set $resource user:$user; return 200; }
  }
  server { # by the beginning of the text
    listen 127.0.0.1:PORT1;
    location / { set $resource root; return 200; }
    location /admin { set $resource admin; return 200; }
    location /admin/public { set $resource public; return 200; }
    location /shop { set $resource shop; return 200; }
    location = /shop/cart { set $resource cart; return 200; }
    location = /shop/dir/ { set $resource dir; return 200; }
    location ~ ^/users/[^/] { set $resource user:$user; return 200; }
  }
  server { # without case
    listen 127.0.0.1:PORT2;
    location / { set $resource root; return 200; }
    location ~* ^/admin/public(/|$) { set $resource public; return 200; }
    location ~* ^/admin(/|$) { set $resource admin; return 200; }
    location ~* ^/shop/cart$ { set $resource cart; return 200; }
    location ~* ^/shop/dir/$ { set $resource dir; return 200; }
    location ~* ^/shop(/|$) { set $resource shop; return 200; }
    location ~ ^/users/[^/] { set $resource user:$user; return 200; }
  }
}
`

// startNginx runs nginx of root with three ways to write locations.
func startNginx(t *testing.T, root string) map[string]string {
	t.Helper()
	dir := folder(t)
	ports := freePorts(t, 3)
	config := strings.NewReplacer("DIR", dir, "PORT0", ports[0], "PORT1", ports[1], "PORT2", ports[2]).Replace(nginxConfig)
	file := filepath.Join(dir, "nginx.conf")
	write(t, file, config)
	p := start(t, "nginx", unpacked(root, "usr/sbin/nginx", "-p", dir, "-c", file, "-e", "stderr"))
	return awaitAll(t, p, []string{"nginx", "nginxprefix", "nginxnocase"}, ports)
}
