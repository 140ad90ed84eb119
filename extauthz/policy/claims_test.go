package policy

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/sallyport/sallyport/extauthz/token"
)

// ofProgram is what a program of cel-go makes of an expression.
func ofProgram(t *testing.T, env *cel.Env, source string, vars map[string]any) (ref.Val, error) {
	t.Helper()
	ast, issues := env.Compile(source)
	if issues.Err() != nil {
		t.Fatal(issues.Err())
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := program.Eval(vars)
	return out, err
}

// TestClaimMap: expressions see the claims that are found one by one as they would see them all at once, and as
// programs of cel-go do.
func TestClaimMap(t *testing.T) {
	p := &token.Provider{Issuer: "https://id.example.com", Audiences: []string{"a"}, TokenTypes: []string{"jwt"}}
	id, err := token.NewIdentity(p, token.Claims{
		"iss": p.Issuer, "aud": "a", "sub": "alice", "exp": json.Number("1800000300"), "n": json.Number("7"), "none": nil, "list": []any{"x", json.Number("1")},
		"object": map[string]any{"a.b": true, "c": map[string]any{"d": "e"}},
	}, time.Unix(1_800_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	vocabulary := &vocabulary{env: newEnvironment().provider}
	for _, source := range []string{
		`claims.sub`, `claims.n + 1`, `claims.none`, `claims.list[1]`, `claims.object.c.d`, `claims.object["a.b"]`, `claims.missing`, `claims["sub"]`,
		`has(claims.sub)`, `has(claims.missing)`, `has(claims.none)`, `has(claims.object.c)`, `has(claims.missing.x)`, `"sub" in claims`, `"x" in claims`,
		`!("x" in claims) && "none" in claims`, `size(claims)`, `claims == claims`, `claims == {"sub": "alice"}`, `claims.all(k, k != "x")`, `claims.exists(k, claims[k] == 7)`,
		`claims.filter(k, k.startsWith("s"))`, `claims.map(k, k).size()`, `type(claims) == map`, `dyn(claims)[1]`, `dyn(1) in claims`, `claims[claims.list[0]]`,
		`[claims].size()`, `{"c": claims}.c.sub`, `(now > timestamp(0) ? claims : {}).sub`,
	} {
		e, err := compileExpression(vocabulary, source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		one, oneErr := e.eval(&variables{identity: id, now: time.Unix(1_800_000_000, 0)})
		all, allErr := ofProgram(t, vocabulary.env.Env, source, map[string]any{"claims": map[string]any(id.Claims()), "now": time.Unix(1_800_000_000, 0)})
		if (oneErr == nil) != (allErr == nil) || oneErr != nil && oneErr.Error() != allErr.Error() {
			t.Errorf("%s: error %v, at once %v", source, oneErr, allErr)
			continue
		}
		if oneErr == nil && one.Equal(all) != types.True && fmt.Sprint(one.Value()) != fmt.Sprint(all.Value()) {
			t.Errorf("%s: %v, at once %v", source, one, all)
		}
	}
}
