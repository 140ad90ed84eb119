{{/* The arguments of sallyport serve. */}}
{{- define "sallyport.args" -}}
- serve
- --grpc-address=:9001
- --admin-address=:9002
- --log-level={{ .Values.log.level }}
- --log-format={{ .Values.log.format }}
- --drain-delay={{ .Values.drainDelaySeconds }}s
- --drain-timeout={{ .Values.drainSeconds }}s
- --max-in-flight={{ .Values.maxInFlight | int64 }}
- --token-cache-bytes={{ .Values.tokenCacheBytes | int64 }}
- --host-grants={{ .Values.hostGrants }}
- --scope-from-principal={{ .Values.scopeFromPrincipal }}
{{- if .Values.tracing.enabled }}
- --tracing
{{- end }}
{{- if .Values.dryRun }}
- --dry-run
{{- end }}
{{- if .Values.requireScope }}
- --require-scope
{{- end }}
{{- if .Values.allowLoopbackProviders }}
- --allow-loopback-providers
{{- end }}
{{- with .Values.clientAddress }}
- --client-address={{ . }}
{{- end }}
{{- if .Values.xffTrustedHops }}
- --xff-trusted-hops={{ .Values.xffTrustedHops | int64 }}
{{- end }}
{{- with .Values.clientCertificate }}
- --client-certificate={{ . }}
{{- end }}
{{- if .Values.xfccTrustedHops }}
- --xfcc-trusted-hops={{ .Values.xfccTrustedHops | int64 }}
{{- end }}
{{- with .Values.publicScheme }}
- --public-scheme={{ . }}
{{- end }}
{{- with .Values.sharedStore }}
{{- if .url }}
- {{ printf "--shared-store=%s" .url | quote }}
- --shared-store-timeout={{ .timeout }}
{{- if .password.secretName }}
- --shared-store-password-file=/etc/sallyport/shared-store/{{ .password.key }}
{{- end }}
{{- if .ca.secretName }}
- --shared-store-ca-file=/etc/sallyport/shared-store-ca/{{ .ca.key }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.dpopNonceKey }}
{{- if .secretName }}
- --dpop-nonce-key-file=/etc/sallyport/dpop/{{ .key }}
{{- end }}
{{- end }}
{{- with .Values.clusterDomain }}
- --cluster-domain={{ . }}
{{- end }}
{{- with .Values.trustDomain }}
- --trust-domain={{ . }}
{{- end }}
{{- with .Values.gatewayPrincipals }}
- {{ printf "--gateway-principals=%s" (join "," .) | quote }}
{{- end }}
{{- with .Values.referenceNamespaces }}
- {{ printf "--reference-namespaces=%s" (join "," .) | quote }}
{{- end }}
{{- if .Values.tls.secretName }}
- --tls-cert-file=/etc/sallyport/tls/tls.crt
- --tls-key-file=/etc/sallyport/tls/tls.key
{{- end }}
{{- with .Values.tls.clientCA }}
{{- if .secretName }}
- --client-ca-file=/etc/sallyport/client-ca/{{ .key }}
{{- end }}
{{- end }}
{{- if .Values.backChannelLogout.enabled }}
- --backchannel-logout-address=:9003
{{- if .Values.backChannelLogout.tls.secretName }}
- --backchannel-logout-tls-cert-file=/etc/sallyport/logout/tls.crt
- --backchannel-logout-tls-key-file=/etc/sallyport/logout/tls.key
{{- end }}
{{- end }}
{{- if .Values.webhook.enabled }}
- --webhook-address=:9443
- --webhook-configuration={{ include "sallyport.webhook" . }}
- --webhook-service={{ include "sallyport.webhook" . }}
{{- if .Values.webhook.certManager.enabled }}
- --webhook-cert-dir=/etc/sallyport/webhook
{{- end }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* What one value says of another, which a schema says less well. */}}
{{- define "sallyport.check" -}}
{{- if and .Values.tls.clientCA.secretName (not .Values.tls.secretName) }}
{{- fail "tls.clientCA.secretName needs tls.secretName: without TLS on the gRPC port no client certificate is asked for" }}
{{- end }}
{{- if and .Values.xffTrustedHops (ne .Values.clientAddress "xff") }}
{{- fail "xffTrustedHops needs clientAddress: xff" }}
{{- end }}
{{- if and .Values.xfccTrustedHops (ne .Values.clientCertificate "xfcc") }}
{{- fail "xfccTrustedHops needs clientCertificate: xfcc" }}
{{- end }}
{{- if and .Values.tracing.endpoint (not .Values.tracing.enabled) }}
{{- fail "tracing.endpoint needs tracing.enabled" }}
{{- end }}
{{- if and (or .Values.sharedStore.password.secretName .Values.sharedStore.ca.secretName) (not .Values.sharedStore.url) }}
{{- fail "sharedStore.password and sharedStore.ca need sharedStore.url" }}
{{- end }}
{{- if and (has "*" .Values.referenceNamespaces) (gt (len .Values.referenceNamespaces) 1) }}
{{- fail "referenceNamespaces: \"*\" is all namespaces, and stands alone" }}
{{- end }}
{{- if ge (.Values.drainDelaySeconds | int) (.Values.drainSeconds | int) }}
{{- fail "drainDelaySeconds must be under drainSeconds, of which it is a part" }}
{{- end }}
{{- if gt (.Values.autoscaling.minReplicas | int) (.Values.autoscaling.maxReplicas | int) }}
{{- fail "autoscaling.minReplicas is over autoscaling.maxReplicas" }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
{{- if and .enabled (eq (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable)) }}
{{- fail "podDisruptionBudget needs exactly one of minAvailable and maxUnavailable; set the other to null" }}
{{- end }}
{{- end }}
{{- if and .Values.webhook.certManager.issuerRef (not .Values.webhook.certManager.issuerRef.name) }}
{{- fail "webhook.certManager.issuerRef needs a name" }}
{{- end }}
{{- end }}
