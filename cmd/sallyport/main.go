// Command sallyport decides, for Envoy, which requests may pass: a token and a policy make a decision.
//
//	sallyport serve --from policies
//
// It is the wiring and the commands; "sallyport help" lists them. Exit codes: 0 fine, 1 a problem that the output names,
// 2 a mistake in how it was called.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
)

// version of the build; the linker fills it in.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends at once
	os.Exit(execute(ctx, os.Args[1:]))
}

// execute runs one command and returns the exit code.
func execute(ctx context.Context, args []string) int {
	root := &cobra.Command{
		Use: "sallyport", Short: "A token and a policy make a decision; Envoy asks for it", Version: version,
		SilenceErrors: true, SilenceUsage: true, Args: cobra.ArbitraryArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd.Flags(), os.LookupEnv) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("name a command\n\n%s", cmd.UsageString())
			}
			return usagef("%q is no command; see sallyport help", args[0])
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(serveCommand(), validateCommand(), testCommand(), explainCommand(), demoCommand())
	if i := slices.Index(args, "-update"); i >= 0 {
		args[i] = "--update" // as go test spells it
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errProblems) {
		fmt.Fprintf(os.Stderr, "sallyport: %v\n", err)
	}
	switch {
	case err == nil:
		return 0
	case errors.As(err, new(usageError)):
		return 2
	}
	return 1
}
