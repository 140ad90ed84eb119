package controller

import "time"

const (
	// mostCredit is how long publishing may go on without a rest: some hundred edits one after the other, among ten thousand
	// policies.
	mostCredit = 10 * time.Second
	// longestRest bounds how long a change waits because of those before it.
	longestRest = time.Second
)

// dutyCycle sees to it that whoever edits in a loop takes half of a core, and not all that there is. Work takes from a
// credit what idle time has put there; without credit it is followed by a rest as long as itself. So edits that are
// edits by people and by rollouts wait for nothing.
type dutyCycle struct {
	credit time.Duration
	ended  time.Time // of the last work
}

func newDutyCycle(now time.Time) *dutyCycle { return &dutyCycle{mostCredit, now} }

// rest is told of work, and returns how long to wait before the next.
func (d *dutyCycle) rest(begin, end time.Time) time.Duration {
	d.credit = min(d.credit+begin.Sub(d.ended), mostCredit) - end.Sub(begin)
	d.credit, d.ended = max(d.credit, -longestRest), end
	return max(-d.credit, 0)
}
