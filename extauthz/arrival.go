package extauthz

import (
	"context"
	"time"

	"google.golang.org/grpc/tap"
)

// arrival is the context of a request that remembers when its first bytes were read: handlers wait for a processor, and
// nothing else tells for how long.
type arrival struct {
	context.Context
	at time.Time
}

type arrivalKey struct{}

// Value implements context.Context.
func (a *arrival) Value(key any) any {
	if key == (arrivalKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// arrived notes the time of each request, in the goroutine that reads the connection.
func (s *Server) arrived(ctx context.Context, _ *tap.Info) (context.Context, error) {
	return &arrival{ctx, s.cfg.Now()}, nil
}

// late tells whether a request has waited so long that its answer would come too late: to work on it would only make the
// ones behind it late too.
func (s *Server) late(ctx context.Context, now time.Time) bool {
	a, ok := ctx.Value(arrivalKey{}).(*arrival)
	return ok && now.Sub(a.at) > s.cfg.MaxQueueTime
}
