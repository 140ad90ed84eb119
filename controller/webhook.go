package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
)

// WebhookPath is where the API server asks the admission webhook.
const WebhookPath = "/validate-sallyport-dev-v1alpha1"

// DefaultWebhookTimeout of one review: well within the five seconds that the API server waits.
const DefaultWebhookTimeout = 2 * time.Second

// WebhookConfig is what a Webhook needs. Objects must be there.
type WebhookConfig struct {
	// Objects are those of the cluster, as they were last compiled, and the options of the compile; false while there are
	// none yet. It is called from one goroutine at a time. What it returns is only read.
	Objects func() (policy.Objects, policy.Options, bool)
	// Referred reads the Secrets and ConfigMaps that the providers of objects name, as they are now, in the place of those
	// in it. An error says that it is not known what there is. Nil: Objects have all of them.
	Referred func(ctx context.Context, objects *policy.Objects) error
	// Timeout of one review, after which the object is admitted unchecked; 0: DefaultWebhookTimeout.
	Timeout time.Duration
	// Log gets what was refused, at level 1, and faults of the webhook. The zero Logger discards.
	Log logr.Logger
	// Metrics is where metrics are registered; nil: nowhere.
	Metrics prometheus.Registerer
}

// Webhook is the validating admission webhook: it decodes and compiles an object as the server would that has it in
// force, before it is stored. It is an admission.Handler, safe for concurrent use.
//
// An object is refused for what is wrong with it by itself, whatever other objects there are, and only where the change
// brings the error. What depends on other objects is a warning, since they may come in any order and change at any time:
// a reference to what is not there yet, an audience that its provider does not have, a host that another namespace owns.
// Such an object refuses requests in any case, and its status says why. What cannot be checked in time is admitted with a
// warning. Nothing of a Secret is in an answer, apart from whether there is one of the name that the object says.
type Webhook struct {
	config  WebhookConfig
	metrics *webhookMetrics
	// slot is held by the one review that runs: admission is rare, and the cores are for requests.
	slot chan struct{}
	// alone compiles an object by itself, among one with others, whose drafts it keeps for the next.
	alone, among policy.Compiler
}

// NewWebhook checks config. The error says what is missing or out of range.
func NewWebhook(config WebhookConfig) (*Webhook, error) {
	if config.Objects == nil {
		return nil, errors.New("a webhook needs Objects")
	}
	if config.Timeout < 0 {
		return nil, fmt.Errorf("timeout %s is negative", config.Timeout)
	}
	if config.Timeout == 0 {
		config.Timeout = DefaultWebhookTimeout
	}
	m, err := newWebhookMetrics(config.Metrics)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return &Webhook{config: config, metrics: m, slot: make(chan struct{}, 1)}, nil
}

// Handle reviews one object. It returns within the timeout; a compile that takes longer ends by itself, and until then
// later reviews wait for it in vain.
func (w *Webhook) Handle(ctx context.Context, req admission.Request) admission.Response {
	if !concerns(&req) {
		return admission.Allowed("")
	}
	begin := time.Now()
	v := w.inTime(ctx, &req)
	w.metrics.reviewed(req.Kind.Kind, v.result, time.Since(begin))
	return v.response
}

// reviewed is what becomes of an object.
type reviewed struct {
	response admission.Response
	result   string
}

func allowed(warnings ...string) reviewed {
	return reviewed{admission.Allowed("").WithWarnings(warnings...), reviewAllowed}
}

// inTime is guarded, or, when that takes too long, unchecked.
func (w *Webhook) inTime(ctx context.Context, req *admission.Request) reviewed {
	ctx, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	select {
	case w.slot <- struct{}{}:
	case <-ctx.Done():
		return unchecked("too many objects are being checked")
	}
	answer := make(chan reviewed, 1)
	go func() {
		defer func() { <-w.slot }()
		answer <- w.guarded(ctx, req)
	}()
	select {
	case v := <-answer:
		return v
	case <-ctx.Done():
		return unchecked("checking it takes too long")
	}
}

// concerns tells whether a request may bring an error: it creates an object of ours, or changes the spec of one.
func concerns(req *admission.Request) bool {
	if req.SubResource != "" || req.Kind.Group != v1alpha1.GroupVersion.Group || req.Kind.Version != v1alpha1.GroupVersion.Version {
		return false
	}
	switch req.Kind.Kind {
	case v1alpha1.KindAuthPolicy, v1alpha1.KindIdentityProvider, v1alpha1.KindClusterIdentityProvider, v1alpha1.KindTokenRevocation:
	default:
		return false
	}
	switch req.Operation {
	case admissionv1.Create:
		return true
	case admissionv1.Update:
		return !sameSpec(req.OldObject.Raw, req.Object.Raw)
	}
	return false
}

// guarded is review; a fault in it admits the object and does not end the server.
func (w *Webhook) guarded(ctx context.Context, req *admission.Request) (v reviewed) {
	defer func() {
		if fault := recover(); fault != nil {
			w.alone, w.among = policy.Compiler{}, policy.Compiler{}
			w.config.Log.Error(fmt.Errorf("%v", fault), "Reviewing an object panicked", "kind", req.Kind.Kind, "name", req.Name, "namespace", req.Namespace)
			v = unchecked("checking it met a fault of Sallyport's")
		}
	}()
	return w.review(ctx, req)
}

func (w *Webhook) review(ctx context.Context, req *admission.Request) reviewed {
	objects, opts, ready := w.config.Objects()
	if !ready {
		return unchecked("Sallyport has not read the cluster's objects yet")
	}
	now := w.inspect(req.Object.Raw, req.Kind.Kind, opts)
	brought := now.errors
	if len(brought) > 0 && req.Operation == admissionv1.Update {
		brought = without(brought, w.inspect(req.OldObject.Raw, req.Kind.Kind, opts).errors)
	}
	if len(brought) > 0 {
		w.config.Log.V(1).Info("Refused an object", "kind", req.Kind.Kind, "name", req.Name, "namespace", req.Namespace, "problems", len(brought))
		return reviewed{refused(req, brought), reviewRefused}
	}
	if now.object == nil { // it cannot be decoded, and could not be before
		return allowed(warnings(now.errors)...)
	}
	world, left := worldOf(&objects, now.object, now.ref, opts)
	unread := w.refer(ctx, &world, now.ref.Kind)
	_, report := w.among.Compile(world, opts)
	problems := slices.Clone(about(&report, now.ref))
	if unread != nil {
		w.config.Log.V(1).Info("What an object refers to cannot be read", "kind", req.Kind.Kind, "name", req.Name, "namespace", req.Namespace, "error", unread.Error())
		problems = slices.DeleteFunc(problems, func(p policy.Problem) bool { return p.Reason == v1alpha1.ReasonRefNotFound })
		problems = append(problems, policy.Problem{Severity: policy.SeverityWarning,
			Message: "the Secret or ConfigMap that it refers to could not be read, and was not checked; its status will say what is wrong"})
	}
	if left > 0 {
		problems = append(problems, policy.Problem{Severity: policy.SeverityWarning,
			Message: fmt.Sprintf("it was not compared with %d more policies of the same hosts or targets; its status will say what they bring", left)})
	}
	return allowed(warnings(problems)...)
}

// refer adds what a provider refers to. Objects have only what the stored ones do.
func (w *Webhook) refer(ctx context.Context, world *policy.Objects, kind string) error {
	if kind == v1alpha1.KindAuthPolicy || kind == v1alpha1.KindTokenRevocation || w.config.Referred == nil {
		return nil
	}
	return w.config.Referred(ctx, world)
}

// inspection is what an object is by itself.
type inspection struct {
	object metav1.Object // nil where it cannot be decoded
	ref    policy.ObjectRef
	// errors that it has whatever other objects there are.
	errors []policy.Problem
}

// inspect decodes an object, strictly, and compiles it by itself.
func (w *Webhook) inspect(raw []byte, kind string, opts policy.Options) inspection {
	o, ref, undecoded := decodeAdmitted(raw, kind)
	var out inspection
	for _, f := range undecoded {
		out.errors = append(out.errors, policy.Problem{Field: f.Path, Severity: policy.SeverityError, Reason: v1alpha1.ReasonInvalid, Message: f.Message})
	}
	if len(undecoded) > 0 {
		return out
	}
	out.object, out.ref = o, ref
	var objects policy.Objects
	add(&objects, o)
	_, report := w.alone.Compile(objects, opts)
	for _, p := range about(&report, ref) {
		// Every other reason is about what an object refers to, or who else there is.
		if p.Severity == policy.SeverityError && p.Reason == v1alpha1.ReasonInvalid {
			out.errors = append(out.errors, p)
		}
	}
	return out
}

// about are the problems of one object.
func about(report *policy.Report, ref policy.ObjectRef) []policy.Problem {
	for i := range report.Objects {
		if o := report.Objects[i]; o.ObjectRef == ref {
			return o.Problems
		}
	}
	return nil
}
