package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/sallyport/sallyport/extauthz/token"
)

// number is a claim that no number of CEL holds: an integer of more than 64 bits, which as a double would equal its
// neighbours, or one beyond all doubles. It equals only what has the same digits, cannot be ordered or reckoned with, and
// stands in headers as it is. It is no error, since lists and maps that hold an error compare as equal to others.
type number string

var numberType = types.NewOpaqueType("number")

// numberValue is a claim's number for CEL: an int or, where only that fits, an uint if it is written as an integer, else
// a double.
func numberValue(digits string) ref.Val {
	if i, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return types.Int(i)
	}
	if u, err := strconv.ParseUint(digits, 10, 64); err == nil {
		return types.Uint(u)
	}
	if f, err := strconv.ParseFloat(digits, 64); err == nil && !isInteger(digits) {
		return types.Double(f)
	}
	return number(digits)
}

// isInteger tells whether a number is written as an integer.
func isInteger(digits string) bool {
	_, ok := token.Text(json.Number(digits))
	return ok
}

// ConvertToNative implements ref.Val.
func (n number) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a number of so many digits cannot become a %s", t)
}

// ConvertToType implements ref.Val.
func (n number) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.StringType:
		return types.String(n)
	case types.TypeType:
		return numberType
	}
	return types.NewErr("a number of so many digits cannot become a %s", t.TypeName())
}

// Equal implements ref.Val.
func (n number) Equal(other ref.Val) ref.Val {
	o, ok := other.(number)
	return types.Bool(ok && n == o)
}

// Type implements ref.Val.
func (n number) Type() ref.Type { return numberType }

// Value implements ref.Val.
func (n number) Value() any { return string(n) }
