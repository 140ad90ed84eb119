package v1alpha1

// StepUp is how, and how recently, a user must have signed in (RFC 9470). All that is given must hold.
//
// +kubebuilder:validation:MinProperties=1
type StepUp struct {
	// ACR are authentication context class references, most preferred first; the acr of the token must be one of them.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern="^[!-~]+$"
	ACR []string `json:"acr,omitempty"`

	// AMR are authentication methods (RFC 8176), such as otp or hwk; every one of them must be in the amr of the token.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern="^[!-~]+$"
	AMR []string `json:"amr,omitempty"`

	// MaxAge is how long ago the user may have signed in: auth_time is required then, and now - auth_time may not exceed
	// it by more than the clockSkew of the provider. In whole seconds, at least 1s.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+(h|ms|m|s))+$') || duration(self) >= duration('1s') && duration(self).getMilliseconds() % 1000 == 0",message="must be whole seconds, at least 1s"
	MaxAge *Duration `json:"maxAge,omitempty"`
}

// StepUpRedirect says what becomes of a browser whose user must sign in again, or better.
//
// +kubebuilder:validation:Enum=Refuse;Redirect
type StepUpRedirect string

const (
	// StepUpRefuse answers with the challenge, without a redirect.
	StepUpRefuse StepUpRedirect = "Refuse"
	// StepUpRedirectToLogin redirects to the login, which is told acr_values and max_age.
	StepUpRedirectToLogin StepUpRedirect = "Redirect"
)
