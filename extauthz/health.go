package extauthz

import (
	"context"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// watchInterval is how late a watcher may learn of a change.
const watchInterval = 250 * time.Millisecond

// health is the gRPC health service, for the whole server ("") and for the authorization service. It looks at the
// moment of the question, so that nobody has to tell it.
type health struct {
	healthv1.UnimplementedHealthServer

	ready   func() error
	leaving <-chan struct{}
}

func (h *health) known(service string) bool {
	return service == "" || service == authv3.Authorization_ServiceDesc.ServiceName
}

func (h *health) status() healthv1.HealthCheckResponse_ServingStatus {
	if h.ready() != nil {
		return healthv1.HealthCheckResponse_NOT_SERVING
	}
	return healthv1.HealthCheckResponse_SERVING
}

// Check implements the health service.
func (h *health) Check(_ context.Context, in *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	if !h.known(in.GetService()) {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return &healthv1.HealthCheckResponse{Status: h.status()}, nil
}

// Watch implements the health service. It ends when the server is leaving, which would otherwise wait for it.
func (h *health) Watch(in *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	last := healthv1.HealthCheckResponse_UNKNOWN
	for {
		now := healthv1.HealthCheckResponse_SERVICE_UNKNOWN
		if h.known(in.GetService()) {
			now = h.status()
		}
		if now != last {
			if err := stream.Send(&healthv1.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-h.leaving:
			if last == healthv1.HealthCheckResponse_SERVING {
				// The error of sending would be that of a watcher who is gone already.
				_ = stream.Send(&healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_NOT_SERVING})
			}
			return status.Error(codes.Unavailable, ErrDraining.Error())
		case <-tick.C:
		}
	}
}
