package chart_test

import (
	"os"
	"os/exec"
	"testing"
)

// sallyport is the binary that make test has built.
func sallyport(t *testing.T) string {
	t.Helper()
	binary := os.Getenv("SALLYPORT_BIN")
	if binary == "" {
		t.Skip("SALLYPORT_BIN names no Sallyport; make test does")
	}
	return binary
}

// TestServeTakesTheArguments hands the arguments of the pods to the binary. With --help behind them it reads every flag and
// its value, refuses what it does not know, and starts nothing.
func TestServeTakesTheArguments(t *testing.T) {
	binary := sallyport(t)
	for name, set := range map[string][]string{
		"defaults": nil, "everything": everything, "webhook with its own certificate": {"webhook.enabled=true"},
		"references everywhere": {"referenceNamespaces={*}"}, "extra": {"extraArgs={--leader-election=false}"},
	} {
		t.Run(name, func(t *testing.T) {
			arguments := append(containerOf(t, template(t, set...)).Args, "--help")
			if out, err := exec.CommandContext(t.Context(), binary, arguments...).CombinedOutput(); err != nil {
				t.Errorf("%q: %v\n%s", arguments, err, out)
			}
		})
	}
}

// TestAnUnknownArgumentIsFound shows that the test above can fail.
func TestAnUnknownArgumentIsFound(t *testing.T) {
	if err := exec.CommandContext(t.Context(), sallyport(t), "serve", "--no-such-flag=1", "--help").Run(); err == nil {
		t.Error("--no-such-flag is taken")
	}
}
