{{/* A volume with one key of a Secret, where that is named: a list of the name of the volume, and secretName and key. */}}
{{- define "sallyport.secretVolume" -}}
{{- $name := index . 0 }}
{{- with index . 1 }}
{{- if .secretName }}
- name: {{ $name }}
  secret: {secretName: {{ .secretName }}, defaultMode: 0440, items: [{key: {{ .key }}, path: {{ .key }}}]}
{{- end }}
{{- end }}
{{- end }}

{{- define "sallyport.volumeMounts" -}}
{{- if .Values.tls.secretName }}
- {name: tls, mountPath: /etc/sallyport/tls, readOnly: true}
{{- end }}
{{- if .Values.tls.clientCA.secretName }}
- {name: client-ca, mountPath: /etc/sallyport/client-ca, readOnly: true}
{{- end }}
{{- if and .Values.backChannelLogout.enabled .Values.backChannelLogout.tls.secretName }}
- {name: logout, mountPath: /etc/sallyport/logout, readOnly: true}
{{- end }}
{{- if .Values.sharedStore.password.secretName }}
- {name: shared-store, mountPath: /etc/sallyport/shared-store, readOnly: true}
{{- end }}
{{- if .Values.sharedStore.ca.secretName }}
- {name: shared-store-ca, mountPath: /etc/sallyport/shared-store-ca, readOnly: true}
{{- end }}
{{- if .Values.dpopNonceKey.secretName }}
- {name: dpop, mountPath: /etc/sallyport/dpop, readOnly: true}
{{- end }}
{{- if and .Values.webhook.enabled .Values.webhook.certManager.enabled }}
- {name: webhook, mountPath: /etc/sallyport/webhook, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sallyport.volumes" -}}
{{- with .Values.tls.secretName }}
- name: tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- include "sallyport.secretVolume" (list "client-ca" .Values.tls.clientCA) }}
{{- include "sallyport.secretVolume" (list "shared-store" .Values.sharedStore.password) }}
{{- include "sallyport.secretVolume" (list "shared-store-ca" .Values.sharedStore.ca) }}
{{- include "sallyport.secretVolume" (list "dpop" .Values.dpopNonceKey) }}
{{- if and .Values.backChannelLogout.enabled .Values.backChannelLogout.tls.secretName }}
- name: logout
  secret: {secretName: {{ .Values.backChannelLogout.tls.secretName }}, defaultMode: 0440}
{{- end }}
{{- if and .Values.webhook.enabled .Values.webhook.certManager.enabled }}
- name: webhook
  secret: {secretName: {{ include "sallyport.webhook" . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
