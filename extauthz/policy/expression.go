package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

const (
	// maxExpressionCost is the most that an expression may cost, in CEL's own units, by its estimate for the largest
	// input: the limit that Kubernetes sets for one expression.
	maxExpressionCost = 10_000_000
	// maxInputLength is the size that the estimate takes for texts, and maxInputElements that for lists and maps: what fits
	// into a token of 16 KiB.
	maxInputLength   = 16 << 10
	maxInputElements = 4 << 10
)

// expression is a compiled CEL expression.
type expression struct {
	plan    interpreter.InterpretableV2
	message string
	// lookups that it reads, by name.
	lookups []string
}

// environment declares the variables of expressions. A nil dialect compiles nothing.
type environment struct {
	// request has all variables.
	request *dialect
	// provider has claims and now.
	provider *dialect
}

// dialect is what expressions with the same variables share: the variables, and what plans their evaluation. A cel.Program
// would have a planner of its own for each, with a table of all functions.
type dialect struct {
	*cel.Env
	planner interpreter.Interpreter
}

// newEnvironment declares them. Its declarations are constants, which a test shows to be sound; were they not, every
// expression would be refused.
func newEnvironment() *environment {
	env, err := providerEnv()
	if err != nil {
		return &environment{}
	}
	out := &environment{provider: newDialect(env)}
	if env, err = requestEnv(env); err == nil {
		out.request = newDialect(env)
	}
	return out
}

func newDialect(env *cel.Env) *dialect {
	dispatcher := interpreter.NewDispatcher()
	for _, f := range env.Functions() {
		overloads, err := f.Bindings()
		if err != nil || dispatcher.Add(overloads...) != nil {
			return nil
		}
	}
	attributes := interpreter.NewAttributeFactory(env.Container, env.CELTypeAdapter(), env.CELTypeProvider())
	return &dialect{env, interpreter.NewInterpreter(dispatcher, env.Container, env.CELTypeProvider(), env.CELTypeAdapter(), attributes)}
}

func providerEnv() (*cel.Env, error) {
	return cel.NewEnv(
		cel.CustomTypeAdapter(adapter{}),
		cel.CrossTypeNumericComparisons(true),
		cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("now", cel.TimestampType),
	)
}

func requestEnv(provider *cel.Env) (*cel.Env, error) {
	texts := cel.MapType(cel.StringType, cel.StringType)
	list := cel.ListType(cel.StringType)
	return provider.Extend(
		cel.Variable("identity.issuer", cel.StringType),
		cel.Variable("identity.subject", cel.StringType),
		cel.Variable("identity.scopes", list),
		cel.Variable("identity.roles", list),
		cel.Variable("identity.groups", list),
		cel.Variable("request.method", cel.StringType),
		cel.Variable("request.scheme", cel.StringType),
		cel.Variable("request.host", cel.StringType),
		cel.Variable("request.path", cel.StringType),
		cel.Variable("request.query", cel.StringType),
		cel.Variable("request.headers", texts),
		cel.Variable("request.size", cel.IntType),
		cel.Variable("params", texts),
		cel.Variable("source.address", cel.StringType),
		cel.Variable("source.principal", cel.StringType),
		cel.Variable("source.namespace", cel.StringType),
		cel.Variable("source.serviceAccount", cel.StringType),
		cel.Variable("context", texts),
		cel.Variable(lookupsVariable, cel.MapType(cel.StringType, cel.DynType)),
	)
}

// compileExpression compiles source with the words of v. Where wanted is not empty, the result must be of one of these types.
func compileExpression(v *vocabulary, source string, wanted ...*cel.Type) (*expression, error) {
	env := v.env
	if env == nil {
		return nil, errors.New("this build cannot compile expressions")
	}
	ast, issues := env.Compile(source)
	if err := issues.Err(); err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, errors.New(first)
	}
	if out := ast.OutputType(); len(wanted) > 0 && !isOneOf(out, wanted) {
		return nil, fmt.Errorf("must evaluate to %s, but is %s", wanted[0], out)
	}
	lookups, err := v.lookupsIn(ast)
	if err != nil {
		return nil, err
	}
	cost, err := env.EstimateCost(ast, estimator{})
	if err != nil {
		return nil, fmt.Errorf("estimating its cost: %w", err)
	}
	if cost.Max > maxExpressionCost {
		return nil, fmt.Errorf("may cost too much on a large token (%d, at most %d): avoid loops within loops", cost.Max, maxExpressionCost)
	}
	plan, err := env.planner.NewInterpretable(ast.NativeRep(), interpreter.Optimize(), interpreter.CompileRegexConstants(interpreter.MatchesRegexOptimization))
	if err != nil {
		return nil, err
	}
	return &expression{plan: plan, lookups: lookups}, nil
}

func isOneOf(t *cel.Type, wanted []*cel.Type) bool {
	for _, w := range wanted {
		if t.IsExactType(w) {
			return true
		}
	}
	return false
}

// compileExpressions compiles requirements, which must evaluate to bool.
func compileExpressions(v *vocabulary, in []v1alpha1.Expression, at *field.Path, p *problems) []*expression {
	var out []*expression
	for i := range in {
		e, err := compileExpression(v, in[i].Expression, cel.BoolType)
		if err != nil {
			p.invalid(at.Index(i).Child("expression"), in[i].Expression, err.Error())
			continue
		}
		e.message = in[i].Message
		out = append(out, e)
	}
	return out
}

// holds evaluates the expression; an error counts as false.
func (e *expression) holds(vars cel.Activation) bool {
	out, err := e.eval(vars)
	return err == nil && out == types.True
}

// eval evaluates the expression over an Activation, as a cel.Program does: a panic is an error.
func (e *expression) eval(vars cel.Activation) (out ref.Val, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			out, err = nil, fmt.Errorf("internal error: %v", fault)
		}
	}()
	frame, err := interpreter.NewExecutionFrame(vars)
	if err != nil {
		return nil, err
	}
	defer frame.Close()
	out = e.plan.Exec(frame)
	if fault, ok := out.(*types.Err); ok {
		return nil, fault
	}
	return out, nil
}

// value evaluates the expression; ok is false where it has no value: an error, or null.
func (e *expression) value(vars cel.Activation) (ref.Val, bool) {
	out, err := e.eval(vars)
	if err != nil || types.IsUnknownOrError(out) || out == types.NullValue {
		return nil, false
	}
	return out, true
}

// adapter turns claims into values of CEL without copying them.
type adapter struct{}

// NativeToValue implements types.Adapter.
func (a adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case map[string]any:
		return types.NewStringInterfaceMap(a, v)
	case map[string]string:
		return types.NewStringStringMap(a, v)
	case []any:
		return types.NewDynamicList(a, v)
	case []string:
		return types.NewStringList(a, v)
	case json.Number:
		return numberValue(string(v))
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}

// estimator bounds what the checker cannot know: the sizes of what a request brings.
type estimator struct{}

// EstimateSize implements checker.CostEstimator.
func (estimator) EstimateSize(n checker.AstNode) *checker.SizeEstimate {
	switch n.Type().Kind() {
	case types.ListKind, types.MapKind:
		return &checker.SizeEstimate{Max: maxInputElements}
	}
	return &checker.SizeEstimate{Max: maxInputLength}
}

// EstimateCallCost implements checker.CostEstimator: the standard costs stand.
func (estimator) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}
