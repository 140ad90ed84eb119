package controller

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Unanswered counts a watch of a resource, such as "authpolicies", that got no answer. Of a connection that is refused an
// informer tells nobody, it only tries again, so this is for the transport of ClusterConfig.REST. Safe for concurrent use.
func (c *Cluster) Unanswered(resource string) {
	c.metrics.watchFailures.WithLabelValues(kindOfPlural(c.kinds, resource)).Inc()
}

// answeredBadly tells whether an error is an answer of the API server: the transport sees all others.
func answeredBadly(err error) bool {
	return errors.As(err, new(apierrors.APIStatus))
}

// kindOfPlural is the kind of a resource; Reference for Secrets and ConfigMaps.
func kindOfPlural(kinds []clusterKind, plural string) string {
	for _, k := range kinds {
		if k.plural == plural {
			return k.Kind
		}
	}
	return kindReference
}
