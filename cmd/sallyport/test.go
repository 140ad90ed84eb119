package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/controller"
)

func testCommand() *cobra.Command {
	var update bool
	cmd := &cobra.Command{
		Use: "test FILE.txtar…", Short: "Run stories: policies with requests and the answers that are right", Args: atLeast(1, "a file with a story"),
		Long: "Test runs stories. A story is a txtar archive of files with objects and of a file called checks, in which each\n" +
			"line is a request and the answer that it must get. docs/stories.md has the format. Nothing is fetched or signed.",
		RunE: func(cmd *cobra.Command, args []string) error { return test(cmd.OutOrStdout(), args, update) },
	}
	cmd.Flags().BoolVarP(&update, "update", "u", false, "write the answers that the requests get into the files")
	return cmd
}

func test(out io.Writer, files []string, update bool) error {
	failed := 0
	for _, name := range files {
		ok, err := testOne(out, name, update)
		if err != nil {
			fmt.Fprintf(out, "FAIL %s\n%v\n", name, err)
		}
		if !ok || err != nil {
			failed++
		}
	}
	if failed > 0 {
		fmt.Fprintf(out, "%d of %d failed\n", failed, len(files))
		return errProblems
	}
	return nil
}

// testOne runs one story. With update it ends well, with the answers written.
func testOne(out io.Writer, name string, update bool) (ok bool, err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	story, err := controller.ParseStory(name, data)
	if err != nil {
		return false, err
	}
	diffs := story.Run()
	switch {
	case len(diffs) == 0:
		fmt.Fprintf(out, "ok   %s (%s)\n", name, count(story.Checks(), "check"))
		return true, nil
	case update:
		fmt.Fprintf(out, "new  %s (%s)\n", name, count(len(diffs), "answer"))
		return true, replaceFile(name, story.Format())
	}
	fmt.Fprintf(out, "FAIL %s\n", name)
	for _, d := range diffs {
		fmt.Fprintln(out, d)
	}
	return false, nil
}

// replaceFile writes a file that is there already, and keeps its mode.
func replaceFile(name string, data []byte) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, data, info.Mode().Perm())
}
