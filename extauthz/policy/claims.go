package policy

import (
	"reflect"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/sallyport/sallyport/extauthz/token"
)

// claimMap is the claims of an identity as a map of CEL, in which each member is found by itself: an expression such as
// claims.tenant == "acme" needs no other. Whatever looks at the map as a whole has all of them decoded.
type claimMap struct{ identity *token.Identity }

var _ traits.Mapper = (*claimMap)(nil)

func (m *claimMap) whole() traits.Mapper {
	return types.NewStringInterfaceMap(adapter{}, m.identity.Claims())
}

// Find implements traits.Mapper.
func (m *claimMap) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return m.whole().Find(key)
	}
	v, ok := m.identity.Member(string(name))
	if !ok {
		return nil, false
	}
	return adapter{}.NativeToValue(v), true
}

// Get implements traits.Indexer.
func (m *claimMap) Get(key ref.Val) ref.Val {
	v, ok := m.Find(key)
	if !ok {
		return types.ValOrErr(v, "no such key: %v", key)
	}
	return v
}

// Contains implements traits.Container.
func (m *claimMap) Contains(key ref.Val) ref.Val {
	_, ok := m.Find(key)
	return types.Bool(ok)
}

// ConvertToNative implements ref.Val.
func (m *claimMap) ConvertToNative(t reflect.Type) (any, error) { return m.whole().ConvertToNative(t) }

// ConvertToType implements ref.Val.
func (m *claimMap) ConvertToType(t ref.Type) ref.Val { return m.whole().ConvertToType(t) }

// Equal implements ref.Val.
func (m *claimMap) Equal(other ref.Val) ref.Val { return m.whole().Equal(other) }

// Type implements ref.Val.
func (m *claimMap) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (m *claimMap) Value() any { return m.whole().Value() }

// Iterator implements traits.Iterable.
func (m *claimMap) Iterator() traits.Iterator { return m.whole().Iterator() }

// Size implements traits.Sizer.
func (m *claimMap) Size() ref.Val { return m.whole().Size() }
