package main

import (
	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/cmd/demo"
)

func demoCommand() *cobra.Command {
	var options demo.Options
	cmd := &cobra.Command{
		Use: "demo", Short: "Send requests through a real Envoy and show each verdict", Args: noArguments,
		Long: "Demo starts an issuer of tokens, an application, Sallyport and an Envoy between them, all on loopback, sends\n" +
			"requests and prints what became of each. Exit code 0 only where every verdict was the expected one.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo.Run(cmd.Context(), cmd.OutOrStdout(), options)
		},
	}
	cmd.Flags().StringVar(&options.Envoy, "envoy", "", "path of Envoy's binary; the one on the PATH by default")
	cmd.Flags().BoolVar(&options.Stay, "stay", false, "stay up afterwards and print curl lines with tokens")
	return cmd
}
