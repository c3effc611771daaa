{{- /* (list root component spaced): what selects the pods of a component; upstream adds the
namespace to some. */ -}}
{{- define "selector" -}}
{{- $line := include "line" (index . 0) | fromYaml -}}
linkerd.io/extension: {{ $line.extension }}
{{- with index . 1 }}
component: {{ . }}
{{- end }}
{{- if index . 2 }}
namespace: {{ include "namespace" (index . 0) }}
{{- end }}
{{- end -}}

{{- /* (list root component spaced): the labels of an object. */ -}}
{{- define "labels" -}}
{{ include "selector" . }}
{{- with (index . 0).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* (list root component spaced name annotations): metadata of a namespaced object. */ -}}
{{- define "metadata" -}}
name: {{ index . 3 }}
namespace: {{ include "namespace" (index . 0) }}
labels:
  {{- include "labels" . | nindent 2 }}
{{- with index . 4 }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* {resources} of a proxy, as annotations of its pod. */ -}}
{{- define "proxy-annotations" -}}
{{- range $name := list "cpu" "memory" }}
{{- range $bound, $amount := get (($.proxy | default dict).resources | default dict) $name | default dict }}
{{- with $amount }}
config.linkerd.io/proxy-{{ $name }}-{{ $bound }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* root, image: where an image comes from, and its version. */ -}}
{{- define "image" -}}
{{- with .image.registry | default .root.Values.defaultRegistry -}}{{ . }}/{{- end -}}
{{ .image.name }}:{{ .image.tag | default .image.version | default .root.Values.linkerdVersion }}
{{- end -}}

{{- define "pull-policy" -}}
{{ .image.pullPolicy | default .root.Values.defaultImagePullPolicy | default .root.Values.imagePullPolicy }}
{{- end -}}
