package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sallyport/sallyport/api/v1alpha1"
	"github.com/sallyport/sallyport/extauthz/token"
)

// provider is one compiled IdentityProvider or ClusterIdentityProvider.
type provider struct {
	ref ObjectRef
	// token is nil where the provider does not compile.
	token *token.Provider
	// fetching is how anything of the provider is fetched; nil where nobody could read that.
	fetching *token.Remote
	// rules of claim validation.
	rules []*expression
	// serves selects the namespaces whose policies may refer to the provider, by their labels; nil for all.
	serves labels.Selector
	// reads are what the provider was compiled of, beside its object.
	reads []keyRead
	// accounts is what it was compiled of, too; nil where that makes no difference.
	accounts *ServiceAccounts
	problems problems
}

// providerSource is what the two kinds of provider have in common.
type providerSource struct {
	ref ObjectRef
	uid types.UID
	// namespace of the Secrets and ConfigMaps that it refers to.
	namespace string
	spec      *v1alpha1.IdentityProviderSpec
	allowed   *v1alpha1.AllowedNamespaces
}

// name of the provider for token.Provider.Name.
func (s *providerSource) name() string {
	if s.ref.Namespace == "" {
		return s.ref.Kind + "/" + s.ref.Name
	}
	return s.ref.Kind + "/" + s.ref.Namespace + "/" + s.ref.Name
}

// fingerprint names everything that a provider is a function of.
type fingerprint struct{ h hash.Hash }

func newFingerprint(s *providerSource) *fingerprint {
	f := &fingerprint{h: sha256.New()}
	f.add([]byte(s.name()))
	f.add([]byte(s.uid))
	spec, _ := json.Marshal(s.spec) // texts, numbers and lists of them: cannot fail
	f.add(spec)
	return f
}

// add puts b in, with its length, so that no two sequences look alike.
func (f *fingerprint) add(b []byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(b)))
	f.h.Write(n[:])
	f.h.Write(b)
}

// addAll puts all data of an object in.
func (f *fingerprint) addAll(kind string, data map[string][]byte) {
	f.add([]byte(kind))
	for _, name := range slices.Sorted(maps.Keys(data)) {
		f.add([]byte(name))
		f.add(data[name])
	}
}

func (f *fingerprint) sum() (out [32]byte) {
	copy(out[:], f.h.Sum(nil))
	return out
}
