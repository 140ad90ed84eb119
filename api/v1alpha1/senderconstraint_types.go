package v1alpha1

// SenderConstraint says what is made of tokens that are bound to whoever may use them, by their claim cnf (RFC 7800): to a
// client certificate (RFC 8705, mutual TLS). A token that says another kind of binding is refused.
type SenderConstraint struct {
	// Mode: IfBound, the default, wants the proof from whoever shows a token that is bound, and takes others as they are.
	// Required refuses tokens that are not bound. None does not look at cnf: whoever gets hold of a token can use it.
	//
	// +optional
	// +kubebuilder:default=IfBound
	Mode *SenderConstraintMode `json:"mode,omitempty"`
}

// SenderConstraintMode is what is made of bound tokens, and of others.
//
// +kubebuilder:validation:Enum=None;IfBound;Required
type SenderConstraintMode string

const (
	// SenderConstraintNone does not look at cnf.
	SenderConstraintNone SenderConstraintMode = "None"
	// SenderConstraintIfBound wants the proof that a bound token asks for.
	SenderConstraintIfBound SenderConstraintMode = "IfBound"
	// SenderConstraintRequired refuses tokens that are not bound.
	SenderConstraintRequired SenderConstraintMode = "Required"
)
