package token

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

func TestServiceAccounts(t *testing.T) {
	p := corp(t, func(p *Provider) { p.ServiceAccounts = true })
	const subject, said = `"system:serviceaccount:shop:cart"`, `{"namespace":"shop","serviceaccount":{"name":"cart","uid":"u"},"pod":{"name":"cart-1"}}`
	for _, tt := range []struct {
		name, sub, said string
		want            error
	}{
		{"a ServiceAccount", subject, said, nil},
		{"a user", `"alice"`, said, ErrSubject},
		{"a node", `"system:node:a"`, said, ErrSubject},
		{"no namespace", `"system:serviceaccount::cart"`, said, ErrSubject},
		{"no name", `"system:serviceaccount:shop:"`, said, ErrSubject},
		{"no name at all", `"system:serviceaccount:shop"`, said, ErrSubject},
		{"more than a name", `"system:serviceaccount:shop:cart:x"`, said, ErrSubject},
		{"another namespace elsewhere", subject, `{"namespace":"infra","serviceaccount":{"name":"cart"}}`, ErrSubject},
		{"another name elsewhere", subject, `{"namespace":"shop","serviceaccount":{"name":"stock"}}`, ErrSubject},
		{"nothing elsewhere", subject, "", ErrSubject},
		{"a text elsewhere", subject, `"shop"`, ErrSubject},
		{"no account elsewhere", subject, `{"namespace":"shop"}`, ErrSubject},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := sign(t, RS256, "rsa", rs256Header, claims(map[string]string{
				"sub": tt.sub, "kubernetes.io": tt.said, "groups": `["system:masters"]`,
			}))
			id, err := verifier(t, Config{}).Verify(context.Background(), Credential{raw, bearer}, []*Provider{p})
			if wraps(t, err, tt.want); err != nil {
				if id != nil {
					t.Error("an identity beside an error")
				}
				return
			}
			if want := []string{"system:serviceaccounts", "system:serviceaccounts:shop"}; !slices.Equal(id.Groups, want) {
				t.Errorf("groups %q: those of a token's own claim must not count", id.Groups)
			}
		})
	}
	name, value := ServiceAccountClaims("shop", "cart")
	id, err := NewIdentity(p, Claims{"iss": p.Issuer, "aud": "orders-api", "sub": "system:serviceaccount:shop:cart", "exp": json.Number(fmt.Sprint(testNow.Unix() + 9)), name: value}, testNow)
	if err != nil || id.Subject != "system:serviceaccount:shop:cart" {
		t.Errorf("the claims of a ServiceAccount: %v, %v", id, err)
	}
}
