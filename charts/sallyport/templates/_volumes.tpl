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
{{- with .Values.tls.clientCA }}
{{- if .secretName }}
- name: client-ca
  secret: {secretName: {{ .secretName }}, defaultMode: 0440, items: [{key: {{ .key }}, path: {{ .key }}}]}
{{- end }}
{{- end }}
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
