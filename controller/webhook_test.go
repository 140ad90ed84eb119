package controller

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

const (
	corpProvider = `
apiVersion: sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: corp, namespace: shop}
spec: {issuer: https://id.example.com, audiences: [a, b]}
`
	shopNamespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {sallyport.dev/hosts: orders.example.com}}\n"
)

// ordersWith is an AuthPolicy shop/orders with this spec.
func ordersWith(spec string) string {
	return "apiVersion: sallyport.dev/v1alpha1\nkind: AuthPolicy\nmetadata: {name: orders, namespace: shop}\nspec: " + spec
}

// corpWith is an IdentityProvider shop/corp with this spec.
func corpWith(spec string) string {
	return "apiVersion: sallyport.dev/v1alpha1\nkind: IdentityProvider\nmetadata: {name: corp, namespace: shop}\nspec: " + spec
}

// objectsOf are the objects of a text, as the webhook gets them.
func objectsOf(t testing.TB, text string, opts policy.Options) func() (policy.Objects, policy.Options, bool) {
	t.Helper()
	decoded, errs := decode("cluster.yaml", []byte(text), fieldIndex{})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var objects policy.Objects
	for _, o := range decoded {
		add(&objects, o.Object)
	}
	return func() (policy.Objects, policy.Options, bool) { return objects, opts, true }
}

// reviewOf is the request of an API server about an object; old is empty for one that is created.
func reviewOf(t testing.TB, old, object string) admission.Request {
	t.Helper()
	raw := func(text string) []byte {
		out, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	var meta metav1.PartialObjectMetadata
	if err := json.Unmarshal(raw(object), &meta); err != nil {
		t.Fatal(err)
	}
	r := admissionv1.AdmissionRequest{
		UID: types.UID("1"), Kind: metav1.GroupVersionKind(meta.GroupVersionKind()), Name: meta.Name, Namespace: meta.Namespace,
		Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: raw(object)},
	}
	if old != "" {
		r.Operation, r.OldObject = admissionv1.Update, runtime.RawExtension{Raw: raw(old)}
	}
	return admission.Request{AdmissionRequest: r}
}

func testWebhook(t testing.TB, config WebhookConfig) *Webhook {
	t.Helper()
	if config.Timeout == 0 {
		config.Timeout = time.Minute // a loaded machine is no fault of the webhook's
	}
	w, err := NewWebhook(config)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// webhookSaid is what of a response the author of an object sees: "field: message" of each cause, and the warnings.
func webhookSaid(t testing.TB, r admission.Response) (causes, warnings []string) {
	t.Helper()
	if r.Allowed != (r.Result == nil || r.Result.Reason == "") {
		t.Errorf("allowed is %v, with result %v", r.Allowed, r.Result)
	}
	if !r.Allowed {
		if r.Result.Reason != metav1.StatusReasonInvalid || r.Result.Code != 422 || r.Result.Details == nil {
			t.Fatalf("got %+v, want a status as the API server's own validation has", r.Result)
		}
		for _, c := range r.Result.Details.Causes {
			causes = append(causes, c.Field+": "+c.Message)
		}
	}
	return causes, r.Warnings
}

// wantPrefixes compares texts with wanted beginnings.
func wantPrefixes(t testing.TB, what string, got, want []string) {
	t.Helper()
	short := make([]string, len(got))
	for i, g := range got {
		short[i] = g
		if i < len(want) && strings.HasPrefix(g, want[i]) {
			short[i] = want[i]
		}
	}
	if diff := cmp.Diff(append([]string{}, want...), short); diff != "" {
		t.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

func TestWebhookCreate(t *testing.T) {
	const sound = "{hosts: [orders.example.com], rules: [{name: all, access: Public}]}"
	for _, tt := range []struct {
		name, cluster, object string
		opts                  policy.Options
		refused, warned       []string
	}{
		{name: "a sound policy passes in silence", object: ordersWith(sound)},
		{name: "a field that is not known is named", object: ordersWith("{hosts: [a.example.com], rules: [{name: all, requires: {scopes: [x]}}]}"),
			refused: []string{`spec.rules[0].requires: Invalid value: unknown field, did you mean "require"?`}},
		{name: "a value of another type is named", object: ordersWith("{hosts: [a.example.com], rules: [{name: all, require: {scopes: orders}}]}"),
			refused: []string{"spec.rules[0].require.scopes: Invalid value: must be a list"}},
		{name: "an expression that is not CEL is named", object: ordersWith("{hosts: [orders.example.com], identityProviders: [{name: corp, audiences: [a]}], rules: [{name: all, require: {expressions: [{expression: 'claims.a =='}]}}]}"),
			cluster: corpProvider, refused: []string{`spec.rules[0].require.expressions[0].expression: Invalid value: "claims.a =="`}},
		{name: "every problem is told at once", object: ordersWith("{hosts: ['a b'], mode: Try, rules: [{name: A, access: Public}]}"),
			refused: []string{`spec.hosts[0]: Invalid value: "a b"`, `spec.mode: Invalid value: "Try"`, `spec.rules[0].name: Invalid value: "A"`}},
		{name: "cidrs need the operator's word", object: ordersWith("{hosts: [a.example.com], rules: [{name: all, access: Public, from: {cidrs: [10.0.0.0/8]}}]}"),
			refused: []string{`spec.rules[0].from.cidrs[0]: Invalid value: "10.0.0.0/8": nobody said whose address this is`}},
		{name: "with the operator's word they pass", opts: policy.Options{ClientAddress: policy.ClientAddressPeer},
			object: ordersWith("{hosts: [a.example.com], rules: [{name: all, access: Public, from: {cidrs: [10.0.0.0/8]}}]}")},
		{name: "a provider may come later", object: ordersWith("{hosts: [a.example.com], identityProviders: [{name: corp}], rules: [{name: all, access: Authenticated}]}"),
			warned: []string{"spec.identityProviders[0].name: there is no IdentityProvider shop/corp"}},
		{name: "what another object says may change", cluster: corpProvider, object: ordersWith("{hosts: [a.example.com], identityProviders: [{name: corp, audiences: [c]}], rules: [{name: all, access: Authenticated}]}"),
			warned: []string{`spec.identityProviders[0].audiences[0]: "c"`}},
		{name: "a host without a grant is a warning with the command", opts: policy.Options{HostGrants: true}, object: ordersWith(sound),
			warned: []string{`spec.hosts[0]: "orders.example.com": is not granted to namespace "shop"`}},
		{name: "a granted host passes in silence", opts: policy.Options{HostGrants: true}, cluster: shopNamespace, object: ordersWith(sound)},
		{name: "a host that an older policy has is a warning", object: ordersWith("{hosts: ['*.example.com'], rules: [{name: all, access: Public}]}"),
			cluster: strings.ReplaceAll(ordersWith(sound), "namespace: shop", "namespace: attic"), warned: []string{`spec.hosts[0]: "*.example.com": namespace "attic"`}},
		{name: "a warning of the compile is a warning", object: ordersWith("{hosts: [a.example.com], rules: [{name: all, access: Public, matches: [{methods: [GET]}]}]}"),
			warned: []string{"spec.rules[0]: rule \"all\" takes GET on /** and no rule there takes HEAD"}},
		{name: "a policy of the same host that reads paths in another way", object: ordersWith(sound),
			cluster: strings.Replace(ordersWith("{hosts: [ORDERS.example.com.], paths: {semicolon: Strip}, rules: [{name: all, access: Denied}]}"), "name: orders", "name: other", 1),
			warned:  []string{`spec.paths`}},
		{name: "its own stored self is no rival", cluster: ordersWith(sound), object: ordersWith(sound)},
		{name: "a provider with an http URL", object: corpWith("{issuer: http://id.example.com, audiences: [a]}"),
			refused: []string{"spec.issuer: Invalid value: \"http://id.example.com\": must be https"}},
		{name: "a provider without audiences", object: corpWith("{issuer: https://id.example.com}"), refused: []string{"spec.audiences: Invalid value: is missing"}},
		{name: "a Secret may come later", object: corpWith("{issuer: x, audiences: [a], algorithms: [HS256], keys: {secretKeyRef: {name: hmac, key: k}}}"),
			warned: []string{"spec.keys.secretKeyRef.name: there is no Secret shop/hmac"}},
		{name: "cluster kind, field of a selector", object: "apiVersion: sallyport.dev/v1alpha1\nkind: ClusterIdentityProvider\nmetadata: {name: corp}\nspec: {issuer: https://id.example.com, audiences: [a], allowedNamespaces: {from: Selector}}",
			refused: []string{"spec.allowedNamespaces.selector: Invalid value: is missing"}},
		{name: "cluster kind reads Sallyport's own namespace", opts: policy.Options{OwnNamespace: "sallyport"},
			object: "apiVersion: sallyport.dev/v1alpha1\nkind: ClusterIdentityProvider\nmetadata: {name: corp}\nspec: {issuer: https://id.example.com, audiences: [a], tls: {caConfigMapKeyRef: {name: ca, key: ca.crt}}}",
			warned: []string{"spec.tls.caConfigMapKeyRef.name: there is no ConfigMap sallyport/ca"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := testWebhook(t, WebhookConfig{Objects: objectsOf(t, tt.cluster, tt.opts)})
			causes, warned := webhookSaid(t, w.Handle(t.Context(), reviewOf(t, "", tt.object)))
			wantPrefixes(t, "causes", causes, tt.refused)
			wantPrefixes(t, "warnings", warned, tt.warned)
		})
	}
}

func TestWebhookUpdate(t *testing.T) {
	const (
		sound  = "{hosts: [orders.example.com], rules: [{name: all, access: Public}]}"
		broken = "{hosts: [orders.example.com], rules: [{name: odd, access: Public, mode: Try}]}"
	)
	for _, tt := range []struct {
		name, old, object string
		refused, warned   []string
	}{
		{name: "a change that brings an error", old: ordersWith(sound), object: ordersWith(broken), refused: []string{`spec.rules[0].mode: Invalid value: "Try"`}},
		{name: "the same spec passes, whatever it is", old: ordersWith(broken),
			object: "status: {rules: 1}\n" + strings.Replace(ordersWith(broken), "name: orders,", "name: orders, finalizers: [], labels: {a: b},", 1)},
		{name: "an error that was there stays a warning, also at another place", old: ordersWith(broken),
			object: ordersWith("{hosts: [orders.example.com], rules: [{name: all, matches: [{path: {type: Exact, value: /a}}], access: Public}, {name: odd, access: Public, mode: Try}]}"),
			warned: []string{`spec.rules[1].mode: "Try"`}},
		{name: "one more of the same is new", old: ordersWith(broken),
			object:  ordersWith("{hosts: [orders.example.com], rules: [{name: odd, access: Public, mode: Try}, {name: more, access: Public, mode: Try}]}"),
			refused: []string{`spec.rules[1].mode: Invalid value: "Try"`}},
		{name: "an unknown field that was there stays a warning", old: ordersWith("{hosts: [a.example.com], rules: [{name: all, access: Public, later: 1}]}"),
			object: ordersWith("{hosts: [b.example.com], rules: [{name: all, access: Public, later: 1}]}"), warned: []string{"spec.rules[0].later: unknown field"}},
		{name: "what a newer replica and API server wrote elsewhere is not read", old: ordersWith(sound),
			object: "status: {novel: [1]}\n" + strings.Replace(ordersWith("{hosts: [b.example.com], rules: [{name: all, access: Public}]}"), "name: orders,", "name: orders, novel: 1, managedFields: [{manager: m, fieldsV1: {'f:spec': {}}}],", 1)},
		{name: "an error mended passes", old: ordersWith(broken), object: ordersWith(sound)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := testWebhook(t, WebhookConfig{Objects: objectsOf(t, "", policy.Options{})})
			causes, warned := webhookSaid(t, w.Handle(t.Context(), reviewOf(t, tt.old, tt.object)))
			wantPrefixes(t, "causes", causes, tt.refused)
			wantPrefixes(t, "warnings", warned, tt.warned)
		})
	}
}

func TestWebhookSaysNothingOfASecret(t *testing.T) {
	const canary = "canary-7f3a"
	for _, tt := range []struct{ name, secret, algorithm string }{
		{"key set with a bad key", `{"keys":[{"kty":"oct","kid":"` + canary + `","k":"` + base64.RawURLEncoding.EncodeToString([]byte(canary)) + `"}]}`, "HS256"},
		{"short secret", canary, "HS256"},
		{"no PEM", canary, "RS256"},
		{"no JSON", "{" + canary, "RS256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\ndata: {k: " + base64.StdEncoding.EncodeToString([]byte(tt.secret)) + "}"
			w := testWebhook(t, WebhookConfig{Objects: objectsOf(t, secret, policy.Options{})})
			r := w.Handle(t.Context(), reviewOf(t, "", corpWith("{issuer: x, audiences: [a], algorithms: ["+tt.algorithm+"], keys: {secretKeyRef: {name: s, key: k}}}")))
			causes, warned := webhookSaid(t, r)
			wantPrefixes(t, "causes", causes, nil)
			wantPrefixes(t, "warnings", warned, []string{"spec.keys.secretKeyRef: what the Secret holds cannot be used"})
			if text := strings.Join(warned, ""); strings.Contains(text, canary) {
				t.Errorf("%q tells what the Secret holds", text)
			}
		})
	}
}

func TestWebhookLetsOthersPass(t *testing.T) {
	broken := ordersWith("{hosts: [], rules: []}")
	for _, tt := range []struct {
		name   string
		change func(*admission.Request)
	}{
		{"another operation", func(r *admission.Request) { r.Operation = admissionv1.Delete }},
		{"a subresource", func(r *admission.Request) { r.SubResource = "status" }},
		{"another group", func(r *admission.Request) { r.Kind.Group = "kuadrant.io" }},
		{"another version", func(r *admission.Request) { r.Kind.Version = "v1" }},
		{"another kind", func(r *admission.Request) { r.Kind.Kind = "Secret" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := testWebhook(t, WebhookConfig{Objects: func() (policy.Objects, policy.Options, bool) {
				t.Error("asked for objects")
				return policy.Objects{}, policy.Options{}, true
			}})
			r := reviewOf(t, "", broken)
			tt.change(&r)
			causes, warned := webhookSaid(t, w.Handle(t.Context(), r))
			wantPrefixes(t, "causes", causes, nil)
			wantPrefixes(t, "warnings", warned, nil)
		})
	}
}

func TestWebhookAdmitsWhatItCannotCheck(t *testing.T) {
	broken := reviewOf(t, "", ordersWith("{hosts: [], rules: []}"))
	t.Run("no objects yet", func(t *testing.T) {
		w := testWebhook(t, WebhookConfig{Objects: func() (policy.Objects, policy.Options, bool) { return policy.Objects{}, policy.Options{}, false }})
		causes, warned := webhookSaid(t, w.Handle(t.Context(), broken))
		wantPrefixes(t, "causes", causes, nil)
		wantPrefixes(t, "warnings", warned, []string{"admitted unchecked, since Sallyport has not read"})
	})
	t.Run("a fault", func(t *testing.T) {
		w := testWebhook(t, WebhookConfig{Objects: func() (policy.Objects, policy.Options, bool) { panic("x") }})
		for range 2 { // the slot is free again
			causes, warned := webhookSaid(t, w.Handle(t.Context(), broken))
			wantPrefixes(t, "causes", causes, nil)
			wantPrefixes(t, "warnings", warned, []string{"admitted unchecked, since checking it met a fault"})
		}
	})
	t.Run("one that hangs, and those behind it", func(t *testing.T) {
		hang, reached := make(chan struct{}), make(chan struct{})
		w := testWebhook(t, WebhookConfig{Objects: func() (policy.Objects, policy.Options, bool) {
			close(reached)
			<-hang
			return policy.Objects{}, policy.Options{}, false
		}})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-reached; cancel() }()
		_, warned := webhookSaid(t, w.Handle(ctx, broken))
		wantPrefixes(t, "warnings", warned, []string{"admitted unchecked, since checking it takes too long"})
		_, warned = webhookSaid(t, w.Handle(ctx, broken))
		wantPrefixes(t, "warnings", warned, []string{"admitted unchecked, since too many objects"})
		close(hang)
		w.slot <- struct{}{} // until the first is through
	})
}

func TestWebhookAnswersAreBounded(t *testing.T) {
	var rules []string
	for i := range 200 {
		rules = append(rules, "{name: r"+strings.Repeat("x", i%50)+", access: Public, mode: "+strings.Repeat("é", 300)+"}")
	}
	w := testWebhook(t, WebhookConfig{Objects: objectsOf(t, "", policy.Options{})})
	object := ordersWith("{hosts: [a.example.com], rules: [" + strings.Join(rules, ", ") + "]}")
	causes, _ := webhookSaid(t, w.Handle(t.Context(), reviewOf(t, "", object)))
	if len(causes) != maxCauses+1 || !strings.Contains(causes[maxCauses], "more problems") {
		t.Errorf("got %d causes, the last %q", len(causes), causes[len(causes)-1])
	}
	_, warned := webhookSaid(t, w.Handle(t.Context(), reviewOf(t, object, strings.Replace(object, "a.example.com", "b.example.com", 1))))
	if len(warned) != maxWarnings+1 || !strings.Contains(warned[maxWarnings], "more; look at") {
		t.Errorf("got %d warnings, the last %q", len(warned), warned[len(warned)-1])
	}
	for _, text := range warned {
		if n := len([]rune(text)); n > maxWarningRunes || strings.ContainsAny(text, "\r\n") {
			t.Errorf("a warning of %d characters: %q", n, text)
		}
	}
}

func TestNewWebhookRefusesWhatIsMissing(t *testing.T) {
	for _, config := range []WebhookConfig{{}, {Objects: objectsOf(t, "", policy.Options{}), Timeout: -1}} {
		if _, err := NewWebhook(config); err == nil {
			t.Errorf("%+v is taken", config)
		}
	}
}

func TestWebhookKinds(t *testing.T) {
	for _, name := range []string{v1alpha1.KindAuthPolicy, v1alpha1.KindIdentityProvider, v1alpha1.KindClusterIdentityProvider} {
		o, ref, undecoded := decodeAdmitted([]byte(`{"metadata":{"name":"n","namespace":"ns","uid":"u","creationTimestamp":"2026-01-02T03:04:05Z"}}`), name)
		if len(undecoded) > 0 || o.GetName() != "n" || o.GetUID() != "u" || o.GetCreationTimestamp().Year() != 2026 || ref != (policy.ObjectRef{Kind: name, Namespace: "ns", Name: "n"}) {
			t.Errorf("%s: got %v, %v and %v", name, o, ref, undecoded)
		}
	}
}

// revocationWith is a TokenRevocation shop/stolen with this spec.
func revocationWith(spec string) string {
	return "apiVersion: sallyport.dev/v1alpha1\nkind: TokenRevocation\nmetadata: {name: stolen, namespace: shop}\nspec: " + spec
}

func TestWebhookOfRevocations(t *testing.T) {
	const end = `expires: "2026-01-01T00:00:00Z"`
	w := testWebhook(t, WebhookConfig{Objects: objectsOf(t, corpProvider, policy.Options{OwnNamespace: "sallyport"})})
	for _, tt := range []struct {
		name, old, object string
		causes, warnings  []string
	}{
		{"sound", "", revocationWith(`{issuer: "https://id.example.com", entries: [{jti: a, ` + end + `}]}`), nil, nil},
		{"a misspelt field", "", revocationWith(`{issuer: "https://id.example.com", entries: [{jit: a, ` + end + `}]}`),
			[]string{`spec.entries[0].jit: `}, nil},
		{"for another namespace", "", revocationWith(`{issuer: "https://id.example.com", providerNamespace: bank, entries: [{jti: a, ` + end + `}]}`),
			[]string{`spec.providerNamespace: `}, nil},
		{"for ever", "", revocationWith(`{issuer: "https://id.example.com", entries: [{jti: a}]}`), []string{`spec.entries[0].expires: `}, nil},
		{"of nobody's issuer", "", revocationWith(`{issuer: "https://id.example.com/", entries: [{jti: a, ` + end + `}]}`), nil,
			[]string{"spec.issuer: no provider"}},
		{"without an end that the provider knows", "", revocationWith(`{issuer: "https://id.example.com", entries: [{sub: a, issuedBefore: "2026-01-01T00:00:00Z"}]}`), nil,
			[]string{"spec.entries[0].expires: IdentityProvider/shop/corp has no maxTokenAge"}},
		{"a mistake that it had", revocationWith(`{issuer: "https://id.example.com", entries: [{jti: a}]}`),
			revocationWith(`{issuer: "https://id.example.com", entries: [{jti: a}, {jti: b, ` + end + `}]}`), nil, []string{"spec.entries[0].expires: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			causes, warnings := webhookSaid(t, w.Handle(t.Context(), reviewOf(t, tt.old, tt.object)))
			wantPrefixes(t, "causes", causes, tt.causes)
			wantPrefixes(t, "warnings", warnings, tt.warnings)
		})
	}
}
