package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/controller"
	"github.com/sallyport/sallyport/extauthz/policy"
)

func explainCommand() *cobra.Command {
	var flags compileFlags
	var from []string
	var claims string
	cmd := &cobra.Command{
		Use: "explain --from DIR METHOD URL [key=value…]", Short: "Say what becomes of one request, and why", Args: atLeast(2, "a method and a URL"),
		Long: "Explain takes one request through the policies of a folder. The keys are those of stories: header.NAME,\n" +
			"lookup.NAME, from,\n" +
			"principal, certificate, proof, scope, context.NAME, issuer and now. Nothing is fetched or signed: --claims says what the token holds.",
		Example: `  sallyport explain --from policies GET https://orders.example.com/v1/orders --claims '{"scope":"orders.read"}'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.options()
			if err != nil {
				return err
			}
			if len(from) == 0 {
				return usagef("explain needs --from DIR: a folder of YAML files with the objects")
			}
			request, err := parseRequest(args, claims)
			if err != nil {
				return usageError{err}
			}
			return explain(cmd.Context(), cmd.OutOrStdout(), from, options, request)
		},
	}
	flags.register(cmd.Flags())
	cmd.Flags().StringArrayVar(&from, "from", nil, "folder of YAML files with the objects; may be given several times")
	cmd.Flags().StringVar(&claims, "claims", "", "claims of the token, a JSON object; without it no token is shown")
	return cmd
}

// parseRequest reads the arguments as a line of a story; its time is now unless it says another.
func parseRequest(args []string, claims string) (controller.Request, error) {
	if claims == "" {
		claims = "-"
	}
	words := []string{args[0], args[1], claims, "now=" + time.Now().UTC().Format(time.RFC3339)}
	for _, arg := range args[2:] {
		if key, value, ok := strings.Cut(arg, "="); ok && strings.ContainsAny(value, " \t\"") {
			arg = key + "=" + strconv.Quote(value)
		}
		words = append(words, arg)
	}
	return controller.ParseRequest(strings.Join(words, " "))
}

func explain(ctx context.Context, out io.Writer, from []string, options policy.Options, request controller.Request) error {
	listing, snapshot, problems, err := compile(ctx, from, options)
	if err != nil {
		return err
	}
	request.Revocations = controller.RevokedBy(&listing.Objects, options)
	d, err := request.Ask(snapshot)
	if err != nil {
		return usageError{err}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	line("answer", controller.Answer(d))
	line("why", why(d.Reason))
	line("policy", d.Policy)
	line("rule", rulePlace(listing, d.Verdict))
	line("message", d.Message)
	line("scopes", strings.Join(d.Scopes, " "))
	line("step-up", d.StepUp.String())
	if d.Document != nil {
		line("document", d.Document.Body)
	}
	for _, h := range d.Set {
		line("sets", h.Name+": "+h.Value)
	}
	line("removes", strings.Join(d.Remove, ", "))
	if d.DryRun != nil {
		line("dry run", controller.Answer(policy.Decision{Verdict: *d.DryRun}))
		line("", why(d.DryRun.Reason))
		line("", rulePlace(listing, *d.DryRun))
	}
	if len(problems) > 0 {
		line("note", count(len(problems), "problem")+" in these policies; see sallyport validate")
	}
	return errors.Join(w.Flush())
}

// rulePlace is a rule with where it stands.
func rulePlace(l *controller.Listing, v policy.Verdict) string {
	for _, p := range l.Objects.AuthPolicies {
		if p.Namespace+"/"+p.Name != v.Policy {
			continue
		}
		for i := range p.Spec.Rules {
			if p.Spec.Rules[i].Name == v.Rule {
				file, line := l.Locate(policy.ObjectRef{Kind: "AuthPolicy", Namespace: p.Namespace, Name: p.Name}, fmt.Sprintf("spec.rules[%d]", i))
				return fmt.Sprintf("%s (%s:%d)", v.Rule, file, line)
			}
		}
	}
	return v.Rule
}
