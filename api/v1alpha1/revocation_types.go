package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TokenRevocation names tokens of an issuer that are refused from now on, though they are valid otherwise. In Sallyport's
// own namespace it speaks for every provider of the issuer; in another for the IdentityProviders of that namespace only.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=sallyport,shortName=trev
// +kubebuilder:printcolumn:name="Issuer",type=string,JSONPath=`.spec.issuer`
// +kubebuilder:printcolumn:name="Entries",type=integer,JSONPath=`.status.entries`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="InForce",type=string,JSONPath=`.status.conditions[?(@.type=="InForce")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type TokenRevocation struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the author wants.
	Spec TokenRevocationSpec `json:"spec"`

	// Status is what Sallyport made of it. It is never read for a decision.
	//
	// +optional
	Status TokenRevocationStatus `json:"status,omitempty"`
}

// TokenRevocationList is a list of TokenRevocation objects.
//
// +kubebuilder:object:root=true
type TokenRevocationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TokenRevocation `json:"items"`
}

// TokenRevocationSpec is the desired state of a TokenRevocation.
type TokenRevocationSpec struct {
	// Issuer of the tokens, byte for byte as in spec.issuer of its providers.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Issuer string `json:"issuer"`

	// ProviderNamespace limits the revocation to the IdentityProviders of one namespace. In Sallyport's own namespace it may
	// be any, and without it every provider of the issuer is meant. Elsewhere it is the object's own namespace, and need not
	// be said.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ProviderNamespace string `json:"providerNamespace,omitempty"`

	// Entries name tokens.
	//
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	Entries []RevokedTokens `json:"entries"`
}

// RevokedTokens names one token, or those of a session, of a subject, or of the whole issuer.
//
// +kubebuilder:validation:XValidation:rule="[has(self.jti), has(self.sid), has(self.sub)].filter(x, x).size() <= 1",message="say at most one of jti, sid and sub"
// +kubebuilder:validation:XValidation:rule="has(self.jti) || has(self.sid) || has(self.sub) || has(self.issuedBefore)",message="say jti, sid, sub or issuedBefore"
// +kubebuilder:validation:XValidation:rule="!has(self.issuedBefore) || !has(self.jti) && !has(self.sid)",fieldPath=".issuedBefore",message="goes with sub, or stands alone for every token of the issuer"
// +kubebuilder:validation:XValidation:rule="has(self.issuedBefore) || has(self.expires)",message="needs expires, unless issuedBefore says of what age the tokens are"
type RevokedTokens struct {
	// JTI names the one token that has this jti.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	JTI string `json:"jti,omitempty"`

	// SID names the tokens of the session that has this sid.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	SID string `json:"sid,omitempty"`

	// Sub names the tokens whose claim sub is this, whatever claim the provider maps to the subject.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Sub string `json:"sub,omitempty"`

	// IssuedBefore spares tokens that were issued (iat) at this time or later. With sub, or alone for every token of the
	// issuer. A token without iat is not spared.
	//
	// +optional
	IssuedBefore *metav1.Time `json:"issuedBefore,omitempty"`

	// Expires is when the entry ends: when the last token that it names has expired, or later. Without it an entry with
	// issuedBefore ends with the maxTokenAge of the issuer's providers, and where one has none it holds as long as it stands
	// here.
	//
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`
}

// TokenRevocationStatus is the observed state of a TokenRevocation.
type TokenRevocationStatus struct {
	// Conditions: Accepted and InForce.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Entries that are in force: those that have not ended.
	//
	// +optional
	Entries int32 `json:"entries,omitempty"`
}
