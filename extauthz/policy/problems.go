package policy

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sallyport/sallyport/api/v1alpha1"
)

// problems collects what is wrong with one object.
type problems struct {
	list []Problem
	// errors counts the problems that make something refuse.
	errors int
}

// shared are the same problems, to which more can be added without a trace in p.
func (p *problems) shared() problems {
	return problems{list: slices.Clip(p.list), errors: p.errors}
}

// take adds problems that were collected elsewhere.
func (p *problems) take(list []Problem) {
	p.list = append(p.list, list...)
	for i := range list {
		if list[i].Severity == SeverityError {
			p.errors++
		}
	}
}

// since are the problems that were added to p, which is before with more.
func (p *problems) since(before *problems) []Problem { return slices.Clip(p.list[len(before.list):]) }

func (p *problems) add(at *field.Path, severity Severity, reason, message string) {
	where := ""
	if at != nil {
		where = at.String()
	}
	p.list = append(p.list, Problem{Field: where, Severity: severity, Reason: reason, Message: message})
	if severity == SeverityError {
		p.errors++
	}
}

// invalid says that the value at a field cannot stay as it is. An empty value is not quoted.
func (p *problems) invalid(at *field.Path, value, message string) {
	if value == "" {
		p.add(at, SeverityError, v1alpha1.ReasonInvalid, message)
		return
	}
	const most = 120
	if len(value) > most {
		value = value[:most] + "…"
	}
	p.add(at, SeverityError, v1alpha1.ReasonInvalid, fmt.Sprintf("%q: %s", value, message))
}

// required says that a field is missing.
func (p *problems) required(at *field.Path, message string) {
	p.add(at, SeverityError, v1alpha1.ReasonInvalid, "is missing: "+message)
}

// undecoded says that a field could not be decoded.
func (p *problems) undecoded(f UndecodedField) {
	p.list = append(p.list, Problem{Field: f.Path, Severity: SeverityError, Reason: v1alpha1.ReasonInvalid, Message: f.Message})
	p.errors++
}

// warn says that something compiles, but may not mean what its author thinks.
func (p *problems) warn(at *field.Path, reason, message string) {
	p.add(at, SeverityWarning, reason, message)
}
