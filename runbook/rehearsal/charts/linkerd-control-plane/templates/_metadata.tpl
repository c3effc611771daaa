{{- /* What the release line changed; see lines.yaml. */ -}}
{{- define "line" -}}
{{- .Files.Get "line.yaml" -}}
{{- end -}}

{{- /* The namespace of every object: before the chart was split it was a value. */ -}}
{{- define "namespace" -}}
{{- $line := include "line" . | fromYaml -}}
{{- if $line.namespaceFromValues -}}{{ .Values.namespace }}{{- else -}}{{ .Release.Namespace }}{{- end -}}
{{- end -}}

{{- define "trust-domain" -}}
{{- .Values.identityTrustDomain | default .Values.clusterDomain -}}
{{- end -}}

{{- define "created-by" -}}
linkerd.io/created-by: linkerd/helm {{ .Values.linkerdVersion }}
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

{{- /* {cpu: {limit, request}, ...} as Kubernetes writes resources; nothing set gives nothing. */ -}}
{{- define "resources" -}}
{{- $limits := dict -}}
{{- $requests := dict -}}
{{- range $name, $amount := . -}}
  {{- with $amount.limit -}}{{- $_ := set $limits $name . -}}{{- end -}}
  {{- with $amount.request -}}{{- $_ := set $requests $name . -}}{{- end -}}
{{- end -}}
{{- if or $limits $requests }}
resources:
  {{- with $limits }}
  limits:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $requests }}
  requests:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}
