package paths

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	tomcatServer = `<Server port="-1"><Service name="Catalina">
  <Connector address="127.0.0.1" port="PORT0" maxKeepAliveRequests="-1"/>
  <Connector address="127.0.0.1" port="PORT1" maxKeepAliveRequests="-1" encodedSolidusHandling="passthrough"/>
  <Connector address="127.0.0.1" port="PORT2" maxKeepAliveRequests="-1" encodedSolidusHandling="decode"/>
  <Engine name="Catalina" defaultHost="any">
    <Host name="any" appBase="apps" autoDeploy="false" deployOnStartup="false"><Context path="" docBase="app"><JarScanner scanClassPath="false"/></Context></Host>
  </Engine>
</Service></Server>
`
	// tomcatServlets maps one page under the name of each resource.
	tomcatServlets = `<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0" metadata-complete="true">
  <servlet><servlet-name>jsp</servlet-name><servlet-class>org.apache.jasper.servlet.JspServlet</servlet-class></servlet>
  SERVLETS
</web-app>
`
	tomcatPage = `<%@ page session="false" trimDirectiveWhitespaces="true" %><%
String info = request.getPathInfo();
String path = request.getServletPath() + (info == null ? "" : info);
String name = config.getServletName();
if (name.equals("user")) {
  String user = info == null ? "" : info.split("/", 3)[1];
  name = user.isEmpty() ? "root" : "user:" + user;
}
response.setHeader("X-Resource", new String(name.getBytes("UTF-8"), "ISO-8859-1"));
response.setHeader("X-Path", new String(path.getBytes("UTF-8"), "ISO-8859-1"));
%>
`
)

// startTomcat runs Tomcat of root with each way to take an encoded slash.
func startTomcat(t *testing.T, root string) map[string]string {
	t.Helper()
	dir := folder(t)
	ports := freePorts(t, 3)
	for _, name := range []string{"conf", "temp", "work", "logs", "apps/app/WEB-INF"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var servlets strings.Builder
	for name, pattern := range map[string]string{
		"root": "/", "admin": "/admin/*", "public": "/admin/public/*", "shop": "/shop/*", "cart": "/shop/cart",
		"dir": "/shop/dir/", "user": "/users/*",
	} {
		servlets.WriteString("<servlet><servlet-name>" + name + "</servlet-name><jsp-file>/answer.jsp</jsp-file></servlet>\n" +
			"<servlet-mapping><servlet-name>" + name + "</servlet-name><url-pattern>" + pattern + "</url-pattern></servlet-mapping>\n")
	}
	write(t, filepath.Join(dir, "conf/server.xml"), strings.NewReplacer("PORT0", ports[0], "PORT1", ports[1], "PORT2", ports[2]).Replace(tomcatServer))
	write(t, filepath.Join(dir, "apps/app/WEB-INF/web.xml"), strings.Replace(tomcatServlets, "SERVLETS", servlets.String(), 1))
	write(t, filepath.Join(dir, "apps/app/answer.jsp"), tomcatPage)
	if os.Getuid() == 0 {
		for _, name := range []string{"temp", "work", "logs"} {
			if err := os.Chown(filepath.Join(dir, name), nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
	}
	share := filepath.Join(root, "usr/share")
	cmd := javaOf(root, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(share, "tomcat10/bin/bootstrap.jar")+":"+filepath.Join(share, "java/tomcat10-juli.jar"),
		"-Dcatalina.home="+filepath.Join(share, "tomcat10"), "-Dcatalina.base="+dir, "-Djava.io.tmpdir="+filepath.Join(dir, "temp"),
		"org.apache.catalina.startup.Bootstrap", "start")
	return awaitAll(t, start(t, "Tomcat", cmd), []string{"tomcat", "tomcatpass", "tomcatdecode"}, ports)
}

// javaOf runs the JVM of root.
func javaOf(root string, args ...string) *exec.Cmd {
	all, _ := filepath.Glob(filepath.Join(root, "usr/lib/jvm/java-*-openjdk-*/bin/java"))
	if len(all) == 0 {
		return unprivileged(exec.Command("java", args...))
	}
	return unprivileged(exec.Command(all[0], args...))
}
