package controller

import (
	stdjson "encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/policy"
	"github.com/sallyport/sallyport/extauthz/token"
)

// ControllerName is the name by which Sallyport signs the ancestors of a policy.
const ControllerName = "sallyport.dev/sallyport"

// KeyStatus is what is known about the keys of a provider that are fetched.
type KeyStatus struct {
	// Ready: there are keys to verify with. Stale: they are older than they should be, since fetching fails.
	Ready, Stale bool
	// Problem says what kind of failure the last fetch was, and nothing of what was fetched. Empty: it succeeded.
	Problem string
	// KeyIDs of the keys in use.
	KeyIDs []string
	// LastSuccess is when keys were last fetched with success; zero: never.
	LastSuccess time.Time
}

// wantedStatus is what the status of an object should be, where it now is the one that is: the times of conditions that
// stay are kept. keys is nil for what is no provider.
func wantedStatus(is *observed, report *policy.ObjectReport, keys *KeyStatus, generation int64, now metav1.Time) observed {
	to := observed{Hosts: report.Hosts, Rules: report.Rules, Entries: report.Entries}
	want := report.Conditions
	if keys != nil {
		want = append(slices.Clone(want), keysCondition(*keys))
		to.KeyIDs = keys.KeyIDs
		if !keys.LastSuccess.IsZero() {
			last := metav1.NewTime(keys.LastSuccess.Truncate(time.Second))
			to.LastFetchTime = &last
		}
	}
	to.Conditions = conditions(is.Conditions, want, generation, now)
	for _, a := range report.Ancestors {
		a.ControllerName = ControllerName
		var before []metav1.Condition
		for i := range is.Ancestors {
			if equality.Semantic.DeepEqual(is.Ancestors[i].AncestorRef, a.AncestorRef) {
				before = is.Ancestors[i].Conditions
			}
		}
		a.Conditions = conditions(before, a.Conditions, generation, now)
		to.Ancestors = append(to.Ancestors, a)
	}
	return to
}

// conditions are want, with the times that those of before have where they say the same.
func conditions(before, want []metav1.Condition, generation int64, now metav1.Time) []metav1.Condition {
	out := slices.DeleteFunc(slices.Clone(before), func(c metav1.Condition) bool {
		return meta.FindStatusCondition(want, c.Type) == nil
	})
	for _, c := range want {
		c.ObservedGeneration, c.LastTransitionTime, c.Message = generation, now, shorten(c.Message)
		meta.SetStatusCondition(&out, c)
	}
	return out
}

// providersByName are the providers of a snapshot.
func providersByName(s *policy.Snapshot) map[string]*token.Provider {
	out := make(map[string]*token.Provider, len(s.Providers()))
	for _, p := range s.Providers() {
		out[p.Name] = p
	}
	return out
}

// providerName is what a snapshot calls a provider.
func providerName(ref policy.ObjectRef) string {
	if ref.Namespace == "" {
		return ref.Kind + "/" + ref.Name
	}
	return ref.Kind + "/" + ref.Namespace + "/" + ref.Name
}

// keysOf is what is known about the keys of a provider; p is nil where it does not compile, and the report says why. Keys
// to verify with are not enough where none is there to decrypt with.
func (c *Cluster) keysOf(p *token.Provider, report *policy.ObjectReport) *KeyStatus {
	keys := c.verificationKeysOf(p, report)
	if keys.Ready && p != nil && p.Decryption != nil && p.Decryption.Len() == 0 {
		keys.Ready, keys.Problem = false, "encrypted tokens are refused: "+firstError(report)
	}
	return keys
}

func (c *Cluster) verificationKeysOf(p *token.Provider, report *policy.ObjectReport) *KeyStatus {
	switch {
	case p == nil:
		return &KeyStatus{Problem: firstError(report)}
	case p.Static != nil:
		return &KeyStatus{Ready: true, KeyIDs: p.Static.KeyIDs()}
	case c.config.Keys != nil:
		keys := c.config.Keys(p)
		return &keys
	}
	return &KeyStatus{}
}

// firstError is what is wrong first with an object that does not compile.
func firstError(report *policy.ObjectReport) string {
	for _, p := range report.Problems {
		if p.Severity == policy.SeverityError {
			return p.Field + ": " + p.Message
		}
	}
	return "the provider does not compile"
}

func keysCondition(k KeyStatus) metav1.Condition {
	out := metav1.Condition{Type: v1alpha1.ConditionKeysReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonKeysReady, Message: "There are keys to verify with"}
	switch {
	case !k.Ready:
		out.Status, out.Reason, out.Message = metav1.ConditionFalse, v1alpha1.ReasonKeysUnavailable, "There are no keys yet"
		if k.Problem != "" {
			out.Message = "There are no keys: " + k.Problem
		}
	case k.Stale:
		out.Reason, out.Message = v1alpha1.ReasonKeysStale, "The keys are old, and still serve: "+k.Problem
	}
	return out
}

// fetchTimeGrain is how far lastFetchTime may lag behind: a write for each fetch would be one too many.
const fetchTimeGrain = time.Minute

// sameStatus tells whether there is nothing to write.
func sameStatus(is, to *observed) bool {
	a, b := *is, *to
	if a.LastFetchTime != nil && b.LastFetchTime != nil && b.LastFetchTime.Sub(a.LastFetchTime.Time).Abs() < fetchTimeGrain {
		a.LastFetchTime = b.LastFetchTime
	}
	return equality.Semantic.DeepEqual(a, b)
}

// statusPatch is a merge patch (RFC 7386) that makes the status of the object with that UID, and of no later one of the
// same name, what it should be.
func statusPatch(uid types.UID, kind string, to *observed) ([]byte, error) {
	all, err := stdjson.Marshal(to)
	if err != nil {
		return nil, fmt.Errorf("writing status: %w", err)
	}
	status := map[string]stdjson.RawMessage{}
	if err := stdjson.Unmarshal(all, &status); err != nil {
		return nil, fmt.Errorf("reading status: %w", err)
	}
	fields := []string{"conditions", "keyIDs", "lastFetchTime"}
	switch kind {
	case v1alpha1.KindAuthPolicy:
		fields = []string{"conditions", "ancestors", "hosts", "rules"}
	case v1alpha1.KindTokenRevocation:
		fields = []string{"conditions", "entries"}
	}
	maps.DeleteFunc(status, func(name string, _ stdjson.RawMessage) bool { return !slices.Contains(fields, name) })
	return stdjson.Marshal(map[string]any{"metadata": map[string]any{"uid": uid}, "status": status})
}
