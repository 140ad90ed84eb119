{{/* roleRef and subjects of a binding: a list of the context, the kind and the name of the role. */}}
{{- define "sallyport.binding" -}}
{{- $ := index . 0 -}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ index . 1 }}, name: {{ index . 2 }}}
subjects:
- {kind: ServiceAccount, name: {{ include "sallyport.serviceAccount" $ }}, namespace: {{ $.Release.Namespace }}}
{{- end }}

{{/* Reading what providers refer to. */}}
{{- define "sallyport.references" -}}
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get, list, watch]
{{- end }}
