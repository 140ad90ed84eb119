# The image of Sallyport, for whoever builds with Docker: docker build --build-arg VERSION=v1.2.3 --tag sallyport .
# It has the files and settings of the one that make image builds without Docker.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY cmd cmd
COPY controller controller
COPY extauthz extauthz
ARG TARGETOS TARGETARCH VERSION=unknown
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /sallyport ./cmd/sallyport

# No shell, no package, no file but the binary, which brings its root certificates.
FROM scratch
ARG VERSION=unknown
LABEL org.opencontainers.image.title="sallyport" \
      org.opencontainers.image.description="Answers Envoy's external authorization: a token and a policy make a decision" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /sallyport /ko-app/sallyport
WORKDIR /
USER 65532:65532
EXPOSE 9001 9002 9443
ENTRYPOINT ["/ko-app/sallyport"]
