package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// errProblems ends a command with exit code 1 when its output has said all there is to say.
var errProblems = errors.New("there are problems")

// usageError is a mistake in how a command was called: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// atLeast is an Args of cobra: n arguments or more, which are a what.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return usagef("%s: name %s; see %s --help", cmd.Name(), what, cmd.CommandPath())
		}
		return nil
	}
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument such as %q; see %s --help", cmd.Name(), args[0], cmd.CommandPath())
	}
	return nil
}

// environmentOf is the environment variable of a flag.
func environmentOf(flag string) string {
	return "SALLYPORT_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment fills in each flag that was not given from its environment variable, where that is not empty.
func fromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		value, ok := lookup(environmentOf(f.Name))
		if f.Changed || !ok || value == "" || f.Name == "help" || f.Name == "version" {
			return
		}
		var err error
		if list, isList := f.Value.(pflag.SliceValue); isList {
			err = list.Replace(strings.Split(value, ","))
		} else {
			err = f.Value.Set(value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", environmentOf(f.Name), err))
		}
		f.Changed = true
	})
	if len(errs) > 0 {
		return usageError{errors.Join(errs...)}
	}
	return nil
}

// compileFlags are those on which the result of a compile depends.
type compileFlags struct {
	clientAddress string
	clusterDomain string
	trustDomain   string
	namespace     string
	dryRun        bool
}

func (c *compileFlags) register(f *pflag.FlagSet) {
	f.StringVar(&c.clientAddress, "client-address", "", "whose address rules with cidrs judge: peer, that of the connection to Envoy, or xff, one of X-Forwarded-For; without it such rules do not compile")
	f.StringVar(&c.clusterDomain, "cluster-domain", "cluster.local", "DNS domain of the cluster's Services, behind NAME.NAMESPACE.svc")
	f.StringVar(&c.trustDomain, "trust-domain", "", "SPIFFE trust domain of the mesh, often cluster.local; without it rules with serviceAccounts do not compile")
	f.StringVar(&c.namespace, "namespace", "default", "Sallyport's own namespace, in which ClusterIdentityProviders find their Secrets and ConfigMaps; in a cluster that of its ServiceAccount, else sallyport, unless it is set")
	f.BoolVar(&c.dryRun, "dry-run", false, "refuse nothing: report what would be refused")
}

func (c *compileFlags) options() (policy.Options, error) {
	address := policy.ClientAddress(c.clientAddress)
	switch address {
	case policy.ClientAddressUnknown, policy.ClientAddressPeer, policy.ClientAddressXFF:
	default:
		return policy.Options{}, usagef("--client-address %q: must be peer or xff", c.clientAddress)
	}
	if problems := validation.IsDNS1123Subdomain(c.clusterDomain); len(problems) > 0 {
		return policy.Options{}, usagef("--cluster-domain %q: must be a DNS domain in lower case, such as cluster.local", c.clusterDomain)
	}
	return policy.Options{
		OwnNamespace: c.namespace, DryRun: c.dryRun, ClientAddress: address, TrustDomain: c.trustDomain, ClusterDomain: c.clusterDomain,
	}, nil
}
