package docs_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/idp"
)

// TestEveryFieldIsOnThePageOfItsKind looks for each JSON name of each API type, as code, on the page of the kind.
func TestEveryFieldIsOnThePageOfItsKind(t *testing.T) {
	for _, tt := range []struct {
		page string
		of   reflect.Type
	}{
		{"docs/authpolicy.md", reflect.TypeFor[v1alpha1.AuthPolicyList]()},
		{"docs/identityprovider.md", reflect.TypeFor[v1alpha1.IdentityProviderList]()},
		{"docs/identityprovider.md", reflect.TypeFor[v1alpha1.ClusterIdentityProviderList]()},
		{"docs/revocation.md", reflect.TypeFor[v1alpha1.TokenRevocationList]()},
	} {
		text := readPage(t, tt.page)
		names := map[string]bool{}
		collectFields(tt.of, names, map[reflect.Type]bool{})
		if len(names) < 12 {
			t.Errorf("%s: only the fields %v were found", tt.of, names)
		}
		for name := range names {
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("%s does not mention `%s` of %s", tt.page, name, tt.of.Name())
			}
		}
	}
}

// collectFields adds the JSON names of the fields of t, and of those below it that are of the API.
func collectFields(t reflect.Type, names map[string]bool, seen map[reflect.Type]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] || t.PkgPath() != reflect.TypeFor[v1alpha1.AuthPolicy]().PkgPath() {
		return
	}
	seen[t] = true
	for i := range t.NumField() {
		f := t.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			names[name] = true
		}
		collectFields(f.Type, names, seen)
	}
}

// TestEnumsOfThePages looks for the words that a field may hold on the page of its kind.
func TestEnumsOfThePages(t *testing.T) {
	for page, words := range map[string][]any{
		"docs/authpolicy.md": {
			v1alpha1.ModeEnforce, v1alpha1.ModeDryRun, v1alpha1.PreflightRefuse, v1alpha1.PreflightAllow,
			v1alpha1.EncodedSlashRefuse, v1alpha1.EncodedSlashKeep, v1alpha1.SemicolonRefuse, v1alpha1.SemicolonStrip,
			v1alpha1.AccessPublic, v1alpha1.AccessOptional, v1alpha1.AccessAuthenticated, v1alpha1.AccessDenied,
			v1alpha1.PathMatchExact, v1alpha1.PathMatchPathPrefix, v1alpha1.PathMatchTemplate,
			v1alpha1.ValueMatchExact, v1alpha1.ValueMatchRegularExpression,
			v1alpha1.ClaimIn, v1alpha1.ClaimNotIn, v1alpha1.ClaimHasAll, v1alpha1.ClaimExists,
			v1alpha1.ClaimDoesNotExist, v1alpha1.ClaimMatches,
			v1alpha1.TokenForward, v1alpha1.TokenRemove, v1alpha1.DeniedBodyProblemJSON, v1alpha1.DeniedBodyText,
			v1alpha1.DeniedBodyEmpty, v1alpha1.RedirectForHTML, v1alpha1.RedirectForAny,
			v1alpha1.StepUpRefuse, v1alpha1.StepUpRedirectToLogin,
			v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs, v1alpha1.ConditionProgrammed, v1alpha1.ConditionOverlap,
			v1alpha1.ReasonInvalid, v1alpha1.ReasonHostConflict, v1alpha1.ReasonRefNotFound, v1alpha1.ReasonRefNotPermitted,
			v1alpha1.ReasonRefInvalid, v1alpha1.ReasonRulesClosed, v1alpha1.ReasonNotAccepted,
		},
		"docs/identityprovider.md": {
			v1alpha1.NamespacesFromAll, v1alpha1.NamespacesFromSelector, v1alpha1.ConditionKeysReady,
			v1alpha1.ReasonKeysUnavailable, v1alpha1.ReasonKeysStale,
			idp.InvalidURL, idp.InvalidCABundle, idp.AddressRefused, idp.ConnectionFailed, idp.TLSFailed, idp.Timeout,
			idp.BadStatus, idp.RedirectRefused, idp.TooLarge, idp.InvalidDocument, idp.IssuerMismatch, idp.NoUsableKeys,
			v1alpha1.ClientSecretBasic, v1alpha1.ClientSecretPost, v1alpha1.PrivateKeyJWT,
			v1alpha1.SenderConstraintNone, v1alpha1.SenderConstraintIfBound, v1alpha1.SenderConstraintRequired,
			v1alpha1.DPoPNonceNone, v1alpha1.DPoPNonceRequired,
		},
		"docs/opaque-tokens.md": {
			idp.ResultActive, idp.ResultInactive, idp.ResultRefused, idp.EndpointUnknown, idp.Busy, idp.CircuitOpen, idp.AddressRefused,
			idp.ConnectionFailed, idp.TLSFailed, idp.Timeout, idp.BadStatus, idp.RedirectRefused, idp.TooLarge, idp.InvalidDocument,
		},
		"docs/lookups.md": {idp.ResultFound, idp.ResultNotFound},
	} {
		text := readPage(t, page)
		for _, w := range words {
			if word := reflect.ValueOf(w).String(); !strings.Contains(text, "`"+word+"`") {
				t.Errorf("%s does not mention `%s`", page, word)
			}
		}
	}
}
