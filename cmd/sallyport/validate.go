package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz/policy"
)

func validateCommand() *cobra.Command {
	var flags compileFlags
	cmd := &cobra.Command{
		Use: "validate DIR…", Short: "Say everything that is wrong with folders of policies", Args: atLeast(1, "a folder of YAML files"),
		Long: "Validate reads and compiles the objects as serve would with the same flags, and prints every problem as\n" +
			"file:line: field: what is wrong, what to do. Exit code 0 where there is no error (warnings allowed), else 1.",
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.options()
			if err != nil {
				return err
			}
			return validate(cmd.Context(), cmd.OutOrStdout(), args, options)
		},
	}
	flags.register(cmd.Flags())
	return cmd
}

func validate(ctx context.Context, out io.Writer, dirs []string, options policy.Options) error {
	listing, _, problems, err := compile(ctx, dirs, options)
	var files controller.FileErrors
	if errors.As(err, &files) {
		fmt.Fprintln(out, files)
		fmt.Fprintf(out, "%s; nothing was compiled\n", count(len(files), "error"))
		return errProblems
	}
	if err != nil {
		return err
	}
	errs := 0
	for _, p := range problems {
		fmt.Fprintln(out, strings.ReplaceAll(p.String(), "\n", " "))
		if p.Severity == policy.SeverityError {
			errs++
		}
	}
	if listing.Len() == 0 {
		fmt.Fprintf(out, "%s: warning: no object here; every request would be refused\n", strings.Join(dirs, ", "))
	}
	fmt.Fprintf(out, "%s in %s: %s, %s\n", count(listing.Len(), "object"), count(listing.Files, "file"),
		count(errs, "error"), count(len(problems)-errs, "warning"))
	if errs > 0 {
		return errProblems
	}
	return nil
}

// compile reads the objects of dirs and compiles them.
func compile(ctx context.Context, dirs []string, options policy.Options) (*controller.Listing, *policy.Snapshot, []controller.Problem, error) {
	defer hurryGC(ctx)()
	folder, err := controller.NewFolder(controller.FolderConfig{Dirs: dirs})
	if err != nil {
		return nil, nil, nil, usageError{err}
	}
	listing, err := folder.Load(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	snapshot, report := new(policy.Compiler).Compile(listing.Objects, options)
	return listing, snapshot, controller.Problems(listing, report), nil
}

// count is a number of things, in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
