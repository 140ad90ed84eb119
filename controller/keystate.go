package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// KeyStateName is the ConfigMap that holds the public keys of providers, in Sallyport's own namespace. Whoever may
	// write it can sign tokens.
	KeyStateName = "sallyport-keys"
	// KeyStateLimit is how many bytes it holds: a ConfigMap takes 1 MiB, and some of that is left for what else is in it.
	KeyStateLimit = 900 << 10

	keyStateEntry   = "keys.json"
	keyStateTimeout = 5 * time.Second
)

// KeyState keeps bytes in the ConfigMap KeyStateName, so that public keys survive a restart while their provider is
// away. What the bytes mean is for their owner. Every replica may Load; only the leader should Save. Safe for
// concurrent use.
type KeyState struct {
	client    client.Client // not through a cache: what is not there yet must not be taken for absent
	namespace string
}

// NewKeyState returns the state in namespace, Sallyport's own, of the cluster that config reaches. It does not talk to
// the API server. Each of its requests takes at most five seconds. The error says what is missing.
func NewKeyState(config *rest.Config, namespace string) (*KeyState, error) {
	if config == nil || namespace == "" {
		return nil, errors.New("a state of keys needs a cluster and the namespace of Sallyport")
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering kinds: %w", err)
	}
	mapper := meta.NewDefaultRESTMapper(nil) // spares the discovery, and the right to it
	mapper.Add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	config = rest.CopyConfig(config)
	config.Timeout = keyStateTimeout
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return &KeyState{client: c, namespace: namespace}, nil
}

// Load returns what was saved last; nil where nothing was.
func (s *KeyState) Load(ctx context.Context) ([]byte, error) {
	held, err := s.get(ctx)
	if err != nil {
		return nil, err
	}
	return entryOf(held), nil
}

// Save puts what change makes of what was saved last, nil where nothing was, in its place, and creates the ConfigMap
// where it is missing. Labels, annotations and other entries stay. Where somebody else saves meanwhile, change is asked
// again. Nothing is written when its answer, of at most KeyStateLimit bytes, is there already; its error ends Save.
func (s *KeyState) Save(ctx context.Context, change func(held []byte) ([]byte, error)) error {
	// Two leaders may overlap for a moment: the one that comes second sees a conflict, and looks again.
	stale := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	err := retry.OnError(retry.DefaultRetry, stale, func() error { return s.replace(ctx, change) })
	if err != nil {
		return fmt.Errorf("writing ConfigMap %q: %w", KeyStateName, err)
	}
	return nil
}

func (s *KeyState) replace(ctx context.Context, change func([]byte) ([]byte, error)) error {
	held, err := s.get(ctx)
	if err != nil {
		return err
	}
	data, err := change(entryOf(held))
	if err != nil {
		return err
	}
	if len(data) > KeyStateLimit {
		return fmt.Errorf("%d bytes are more than it holds", len(data))
	}
	if held == nil {
		return s.client.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: s.namespace, Name: KeyStateName,
				Labels: map[string]string{"app.kubernetes.io/name": "sallyport", "app.kubernetes.io/component": "keys"},
			},
			Data: map[string]string{keyStateEntry: string(data)},
		})
	}
	if now, ok := held.Data[keyStateEntry]; ok && now == string(data) {
		return nil
	}
	if held.Data == nil {
		held.Data = make(map[string]string)
	}
	held.Data[keyStateEntry] = string(data)
	return s.client.Update(ctx, held)
}

// entryOf is what a ConfigMap holds; nil where it, or the entry, is missing.
func entryOf(held *corev1.ConfigMap) []byte {
	if held == nil {
		return nil
	}
	text, ok := held.Data[keyStateEntry]
	if !ok {
		return nil
	}
	return []byte(text)
}

// get returns the ConfigMap, or nil where it is missing.
func (s *KeyState) get(ctx context.Context) (*corev1.ConfigMap, error) {
	held := new(corev1.ConfigMap)
	err := s.client.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: KeyStateName}, held)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading ConfigMap %q: %w", KeyStateName, err)
	}
	return held, nil
}
