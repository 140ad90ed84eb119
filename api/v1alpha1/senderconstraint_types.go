package v1alpha1

// SenderConstraint says what is made of tokens that are bound to whoever may use them, by their claim cnf (RFC 7800): to a
// client certificate (RFC 8705, mutual TLS) or to a key (RFC 9449, DPoP). A token with another kind of binding is refused.
//
// +kubebuilder:validation:XValidation:rule="!has(self.dpop) || !has(self.mode) || self.mode != 'None'",fieldPath=".dpop",message="goes with mode IfBound or Required: None does not look at proofs"
type SenderConstraint struct {
	// Mode: IfBound, the default, wants the proof from whoever shows a token that is bound, and takes others as they are.
	// Required refuses tokens that are not bound. None does not look at cnf: whoever gets hold of a token can use it.
	//
	// +optional
	// +kubebuilder:default=IfBound
	Mode *SenderConstraintMode `json:"mode,omitempty"`

	// DPoP takes tokens that are shown with a proof of possession: "Authorization: DPoP", and the proof in the header DPoP.
	// Without it tokens that are bound to a key are refused.
	//
	// +optional
	DPoP *DPoP `json:"dpop,omitempty"`
}

// DPoP says which proofs of possession are taken (RFC 9449).
type DPoP struct {
	// Algorithms that may have signed a proof; every asymmetric one by default. The algorithms of the provider are those of
	// its own keys, which clients have no part in.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Enum=RS256;RS384;RS512;PS256;PS384;PS512;ES256;ES384;ES512;EdDSA
	Algorithms []string `json:"algorithms,omitempty"`

	// MaxProofAge is how long ago a proof may have been made, by its iat, beside clockSkew; from 1s to 10m. Proofs that were
	// used are remembered for that long.
	//
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+(h|ms|m|s))+$') || duration(self) >= duration('1s') && duration(self) <= duration('10m')",message="must be from 1s to 10m"
	MaxProofAge *Duration `json:"maxProofAge,omitempty"`

	// Nonce: Required refuses proofs without a fresh nonce of Sallyport, which the refusal tells, so that nobody can make
	// proofs for later. None by default.
	//
	// +optional
	// +kubebuilder:default=None
	Nonce *DPoPNonce `json:"nonce,omitempty"`
}

// DPoPNonce is whether proofs need a nonce.
//
// +kubebuilder:validation:Enum=None;Required
type DPoPNonce string

const (
	// DPoPNonceNone takes proofs without a nonce.
	DPoPNonceNone DPoPNonce = "None"
	// DPoPNonceRequired refuses proofs without a nonce of Sallyport.
	DPoPNonceRequired DPoPNonce = "Required"
)

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
