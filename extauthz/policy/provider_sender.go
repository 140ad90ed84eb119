package policy

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// The bounds of a proof's age, which the schema names too.
const (
	defaultProofAge = time.Minute
	maxProofAge     = 10 * time.Minute
)

// senderConstraint says what is made of tokens that are bound to whoever may use them.
func (c *providerCompiler) senderConstraint(t *token.Provider, at *field.Path) {
	in := c.spec.SenderConstraint
	if in == nil {
		return
	}
	switch mode := valueOr(in.Mode, v1alpha1.SenderConstraintIfBound); mode {
	case v1alpha1.SenderConstraintIfBound:
		t.Sender = token.SenderIfBound
	case v1alpha1.SenderConstraintRequired:
		t.Sender = token.SenderRequired
	case v1alpha1.SenderConstraintNone:
		t.Sender = token.SenderAny
	default:
		c.p().invalid(at.Child("mode"), string(mode), "is not known: must be None, IfBound or Required")
	}
	if in.DPoP == nil {
		return
	}
	if t.Sender == token.SenderAny {
		c.p().invalid(at.Child("dpop"), "", "goes with mode IfBound or Required: None does not look at proofs")
	}
	t.DPoP = c.dpop(in.DPoP, at.Child("dpop"))
	t.Sources = append(t.Sources, token.ProofSource())
}

func (c *providerCompiler) dpop(in *v1alpha1.DPoP, at *field.Path) *token.DPoP {
	out := &token.DPoP{Algorithms: token.Asymmetric}
	if in.Algorithms != nil {
		out.Algorithms = 0
		for i, name := range in.Algorithms {
			a := token.NewAlgorithms(token.Algorithm(name))
			if a == 0 || a.Symmetric() {
				c.p().invalid(at.Child("algorithms").Index(i), name, fmt.Sprintf("must be one of %s", token.Asymmetric))
			}
			out.Algorithms |= a
		}
		if len(in.Algorithms) == 0 {
			c.p().required(at.Child("algorithms"), "name at least one, or leave algorithms out for every asymmetric one")
		}
	}
	out.MaxAge = c.duration(in.MaxProofAge, defaultProofAge, time.Second, maxProofAge, at.Child("maxProofAge"))
	switch nonce := valueOr(in.Nonce, v1alpha1.DPoPNonceNone); nonce {
	case v1alpha1.DPoPNonceNone:
	case v1alpha1.DPoPNonceRequired:
		out.NonceRequired = true
	default:
		c.p().invalid(at.Child("nonce"), string(nonce), "is not known: must be None or Required")
	}
	return out
}
