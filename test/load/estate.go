package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

const (
	// hostsPerPolicy and rulesPerPolicy are within the bounds of the API.
	hostsPerPolicy, rulesPerPolicy = 64, 200
	// fileBytes is where a file ends, and a further one begins: several can be read at a time.
	fileBytes = 256 << 10
)

// estate is what a server's folder of policies holds.
type estate struct {
	hosts    int
	policies int // at least what the hosts need; each has a host of its own, so that more policies mean more hosts
	rules    int // of the first host, beside the usual ones

	upstream, metadata, cel bool
}

// complete fills in what follows from the rest.
func (e estate) complete() estate {
	e.hosts = max(e.hosts, e.policies, 1)
	e.policies = max(e.policies, (e.hosts+hostsPerPolicy-1)/hostsPerPolicy)
	return e
}

// write makes dir with the objects.
func (e estate) write(dir, jwks string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing policies: %w", err)
	}
	var text bytes.Buffer
	files := 0
	flush := func() error {
		name := filepath.Join(dir, fmt.Sprintf("load-%d.yaml", files))
		if err := os.WriteFile(name, text.Bytes(), 0o644); err != nil {
			return fmt.Errorf("writing policies: %w", err)
		}
		files++
		text.Reset()
		return nil
	}
	fmt.Fprintf(&text, providerObject, issuer, audience, jwks)
	for p, from := 0, 0; p < e.policies; p++ {
		to := from + (e.hosts-from)/(e.policies-p)
		e.policy(&text, p, from, to)
		if from = to; text.Len() > fileBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	for from := 0; from < e.rules; from += rulesPerPolicy {
		moreRules(&text, from, min(from+rulesPerPolicy, e.rules))
	}
	return flush()
}

const providerObject = `apiVersion: sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: load, namespace: load}
spec:
  issuer: %s
  audiences: [%s]
  keys: {inline: '%s'}
`

const policyObject = `---
apiVersion: sallyport.dev/v1alpha1
kind: AuthPolicy
metadata: {name: %s, namespace: load}
spec:
  hosts: [%s]
  identityProviders: [{kind: IdentityProvider, name: load}]
`

const usualRuleObjects = `  rules:
  - name: liveness
    matches: [{path: {type: Exact, value: /healthz}, methods: [GET, HEAD]}]
    access: Public
  - name: read-items
    matches: [{path: {type: PathPrefix, value: /v1/items}, methods: [GET, HEAD]}]
    require: {scopes: [orders.read]}
  - name: own
    matches: [{path: {type: Template, value: "/v1/users/{user}/**"}, methods: [GET, HEAD]}]
    require: {scopes: [orders.read], claims: [{claim: sub, operator: In, values: ["{user}"]}]}
  - name: admin
    matches: [{path: {type: PathPrefix, value: /admin}}]
    require: {groups: [admins]}
`

// policy writes the one with number p, for the hosts from up to before to.
func (e estate) policy(text *bytes.Buffer, p, from, to int) {
	var hosts bytes.Buffer
	for h := from; h < to; h++ {
		if h > from {
			hosts.WriteString(", ")
		}
		hosts.WriteString(host(h))
	}
	fmt.Fprintf(text, policyObject, fmt.Sprintf("shop-%d", p), hosts.String())
	if e.cel {
		text.WriteString("  require: {expressions: [{expression: \"claims.tenant == 'acme' && request.method == 'GET'\", message: not of this tenant}]}\n")
	}
	text.WriteString(usualRuleObjects)
	if !e.upstream && !e.metadata {
		return
	}
	text.WriteString("  upstream:\n")
	if e.upstream {
		text.WriteString("    headers: [{name: x-user, claim: sub}, {name: x-groups, claim: groups}]\n")
	}
	if e.metadata {
		text.WriteString("    metadata: [{key: sub, claim: sub}, {key: tenant, claim: tenant}]\n")
	}
}

// moreRules writes a further policy of the first host, with rules from up to before to.
func moreRules(text *bytes.Buffer, from, to int) {
	fmt.Fprintf(text, policyObject, fmt.Sprintf("rules-%d", from), host(0))
	text.WriteString("  rules:\n")
	for r := from; r < to; r++ {
		fmt.Fprintf(text, "  - name: item-%d\n    matches: [{path: {type: PathPrefix, value: /v2/items/r%07d}, methods: [GET, HEAD]}]\n", r, r)
		text.WriteString("    require: {scopes: [orders.read]}\n")
	}
}
