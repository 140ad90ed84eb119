package v1alpha1

// Tenants of an issuer that is a different one for each of them, such as Entra's, or the realms of a Keycloak. What stands
// for {tenant} in the issuer of a token must be a tenant that is believed, byte for byte.
//
// Where keys.discovery has no url, each tenant has the keys that its own issuer names, and they verify its tokens only.
// Every other source of keys is one that all tenants share; then claim must name the tenant too.
//
// +kubebuilder:validation:XValidation:rule="(has(self.from) && self.from == 'Any') != has(self.values)",message="say either values, or from: Any"
type Tenants struct {
	// From: Values, the tenants that values lists, or Any. With Any, whoever opens an account at the issuer is let in,
	// unless the rules of policies ask for more.
	//
	// +optional
	// +kubebuilder:default=Values
	From *TenantsFrom `json:"from,omitempty"`

	// Values are the tenants, as they stand in iss: letters, digits and ._~- and no dot in front.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9_~-][A-Za-z0-9._~-]*$`
	Values []string `json:"values,omitempty"`

	// Claim that must be there, and be equal to the tenant in iss, such as tid. Required where tenants share their keys.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Claim string `json:"claim,omitempty"`
}

// TenantsFrom is which tenants of an issuer are believed.
//
// +kubebuilder:validation:Enum=Values;Any
type TenantsFrom string

const (
	// TenantsFromValues believes those that are listed.
	TenantsFromValues TenantsFrom = "Values"
	// TenantsFromAny believes every tenant.
	TenantsFromAny TenantsFrom = "Any"
)
