package policy

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
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
}
