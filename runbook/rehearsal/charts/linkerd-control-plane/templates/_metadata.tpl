{{- define "trust-domain" -}}
{{- .Values.identityTrustDomain | default .Values.clusterDomain -}}
{{- end -}}

{{- /* (list root component): the labels of an object of one component. */ -}}
{{- define "labels" -}}
{{- $root := index . 0 -}}
{{- with index . 1 -}}
linkerd.io/control-plane-component: {{ . }}
{{ end -}}
linkerd.io/control-plane-ns: {{ include "namespace" $root }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* (list root component name): metadata of a namespaced object. */ -}}
{{- define "metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 2 }}
namespace: {{ include "namespace" $root }}
labels:
  {{- include "labels" (list $root (index . 1)) | nindent 2 }}
annotations:
  {{- include "created-by" $root | nindent 2 }}
{{- end -}}
