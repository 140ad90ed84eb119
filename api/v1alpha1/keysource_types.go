package v1alpha1

// KeySource is where keys come from: exactly one of its fields.
//
// +kubebuilder:validation:ExactlyOneOf=discovery;remote;inline;configMapKeyRef;secretKeyRef;pem;kubernetes
type KeySource struct {
	// Discovery from the issuer: OpenID Connect Discovery first, then RFC 8414. The issuer of the document must equal the
	// provider's.
	//
	// +optional
	Discovery *Discovery `json:"discovery,omitempty"`

	// Remote is a key set (RFC 7517) at a URL.
	//
	// +optional
	Remote *RemoteKeys `json:"remote,omitempty"`

	// Inline is a key set (RFC 7517), as JSON.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	Inline string `json:"inline,omitempty"`

	// ConfigMapKeyRef is a key set, or public keys in PEM, in a ConfigMap.
	//
	// +optional
	ConfigMapKeyRef *KeyReference `json:"configMapKeyRef,omitempty"`

	// SecretKeyRef is a key set, public keys in PEM, or, with HS algorithms, a key set of type oct or the secret itself
	// (32 bytes or more), in a Secret.
	//
	// +optional
	SecretKeyRef *KeyReference `json:"secretKeyRef,omitempty"`

	// PEM are public keys or certificates, one or more in each entry.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=16384
	PEM []string `json:"pem,omitempty"`

	// Kubernetes takes the issuer and the keys of the ServiceAccount tokens of this cluster from its API server. The
	// groups of such a token are those that Kubernetes gives its ServiceAccount: system:serviceaccounts and
	// system:serviceaccounts:NAMESPACE.
	//
	// +optional
	Kubernetes *KubernetesKeys `json:"kubernetes,omitempty"`
}

// Discovery takes the keys from where the issuer's own metadata says.
type Discovery struct {
	// URL below which the metadata is, where that is not the issuer: as an issuer, without /.well-known/. The issuer that
	// the metadata names must still be the provider's. With tenants their keys are then one set for all.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^ \\t\\r\\n]+$')",message="must be a URL that begins with https:// or http://"
	URL string `json:"url,omitempty"`
}

// KubernetesKeys are those with which the API server signs the tokens of ServiceAccounts. It has no settings.
type KubernetesKeys struct{}

// RemoteKeys is a key set at a URL.
type RemoteKeys struct {
	// URL of the key set; https, unless the provider says allowHTTP.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^ \\t\\r\\n]+$')",message="must be a URL that begins with https:// or http://"
	URL string `json:"url"`
}

// Refresh says how fetched keys are kept fresh.
type Refresh struct {
	// Interval between two fetches, give or take a tenth; at least 10s.
	//
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+(h|ms|m|s))+$') || duration(self) >= duration('10s')",message="must be at least 10s"
	Interval *Duration `json:"interval,omitempty"`

	// MinInterval between two fetches that tokens with an unknown key cause; at least 1s.
	//
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+(h|ms|m|s))+$') || duration(self) >= duration('1s')",message="must be at least 1s"
	MinInterval *Duration `json:"minInterval,omitempty"`

	// StaleFor is how long keys serve after the last fetch that succeeded.
	//
	// +optional
	// +kubebuilder:default="24h"
	StaleFor *Duration `json:"staleFor,omitempty"`
}

// ProviderTLS is the TLS of connections to a provider.
type ProviderTLS struct {
	// CAConfigMapKeyRef holds the certificate authorities, in PEM, that are trusted instead of the system's.
	CAConfigMapKeyRef KeyReference `json:"caConfigMapKeyRef"`
}
