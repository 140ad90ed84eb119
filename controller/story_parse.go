package controller

import (
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// defaultAccountIssuer is the issuer of ServiceAccount tokens in most clusters.
const defaultAccountIssuer = "https://kubernetes.default.svc.cluster.local"

// parseChecks reads the checks: a request, "=>" and an answer a line. Lines that are empty or begin with # are kept as
// they are.
func (s *Story) parseChecks(part section) (errs FileErrors) {
	for i, line := range strings.Split(string(part.file.Data), "\n") {
		if text := strings.TrimSpace(line); text == "" || text[0] == '#' {
			continue
		}
		c := check{line: i, at: part.offset + i + 1}
		var arrow bool
		c.left, c.right, arrow = cutLast(line, "=>")
		if c.right = strings.TrimSpace(c.right); !arrow {
			c.left = strings.TrimRight(line, " \t") + " " // -update writes the answer
		}
		var err error
		if c.request, err = ParseRequest(strings.TrimSpace(c.left)); err != nil {
			errs = append(errs, FileError{File: s.Name, Line: c.at, Message: err.Error()})
			continue
		}
		s.checks = append(s.checks, c)
	}
	return errs
}

// cutLast is strings.Cut around the last separator: an answer holds none, a header may.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// parseOptions reads what else the operator says: name=value a line, named as the flags of serve.
func (s *Story) parseOptions(part section) (errs FileErrors) {
	for i, line := range strings.Split(string(part.file.Data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		if problem := s.option(name, value); problem != "" {
			errs = append(errs, FileError{File: s.Name, Line: part.offset + i + 1, Message: problem})
		}
	}
	s.proxies.TrustDomain = s.options.TrustDomain
	return errs
}

func (s *Story) option(name, value string) (problem string) {
	switch name {
	case "client-address":
		s.options.ClientAddress = policy.ClientAddress(value)
		if value != "" && value != string(policy.ClientAddressPeer) && value != string(policy.ClientAddressXFF) {
			return "client-address must be peer, xff or empty"
		}
	case "trust-domain":
		s.options.TrustDomain = value
	case "namespace":
		s.options.OwnNamespace = value
	case "cluster-domain":
		s.options.ClusterDomain = value
	case "service-account-issuer":
		s.accounts.Issuer = value
	case "gateway-principals":
		s.proxies.Gateways = strings.Split(value, ",")
	case "cluster", "host-grants", "require-scope", "dry-run":
		on, err := strconv.ParseBool(value)
		if err != nil {
			return name + " must be true or false"
		}
		s.turn(name, on)
	default:
		return shown(name) + " is no option; there are client-address, trust-domain, namespace, dry-run, require-scope, cluster, " +
			"and in a cluster host-grants, gateway-principals, cluster-domain and service-account-issuer"
	}
	return ""
}

// turn sets an option that is on or off. In a cluster hosts are granted, and proxies known by their principals, unless
// an option behind this one says otherwise.
func (s *Story) turn(name string, on bool) {
	switch name {
	case "dry-run":
		s.options.DryRun = on
	case "require-scope":
		s.proxies.RequireScope = on
	case "host-grants":
		s.options.HostGrants = on
	case "cluster":
		s.cluster, s.options.HostGrants, s.proxies.FromPrincipal = on, on, on
		if s.accounts.Issuer == "" {
			s.accounts.Issuer = defaultAccountIssuer
		}
	}
}
