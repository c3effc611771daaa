{{- /* What the release line changed; see lines.yaml. */ -}}
{{- define "line" -}}
{{- .Files.Get "line.yaml" -}}
{{- end -}}

{{- /* The namespace of every object: before the chart was split it was a value. */ -}}
{{- define "namespace" -}}
{{- $line := include "line" . | fromYaml -}}
{{- if $line.namespaceFromValues -}}{{ .Values.namespace }}{{- else -}}{{ .Release.Namespace }}{{- end -}}
{{- end -}}

{{- define "created-by" -}}
linkerd.io/created-by: linkerd/helm {{ .Values.linkerdVersion }}
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

{{- define "token-volume" -}}
- name: kube-api-access
  projected:
    defaultMode: 420
    sources:
    - serviceAccountToken: {expirationSeconds: 3607, path: token}
    - configMap:
        name: kube-root-ca.crt
        items: [{key: ca.crt, path: ca.crt}]
    - downwardAPI:
        items:
        - path: namespace
          fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}
{{- end -}}

{{- /* Security context shared by all containers: restricted from 2.12 on. */ -}}
{{- define "security" -}}
{{- $line := include "line" . | fromYaml -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
{{- if $line.restricted }}
capabilities: {drop: [ALL]}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- end -}}

{{- define "webhook-check" -}}
{{- $injected := or .injectCaFrom .injectCaFromSecret -}}
{{- if and .injectCaFrom .injectCaFromSecret -}}
{{- fail "injectCaFrom and injectCaFromSecret cannot both be set" -}}
{{- end -}}
{{- if and $injected .caBundle -}}
{{- fail "injectCaFrom or injectCaFromSecret cannot be set if providing a caBundle" -}}
{{- end -}}
{{- if and .externalSecret (not .caBundle) (not $injected) -}}
{{- fail "if externalSecret is set, then caBundle, injectCaFrom, or injectCaFromSecret must be set" -}}
{{- end -}}
{{- if and $injected (not .externalSecret) -}}
{{- fail "if injectCaFrom or injectCaFromSecret is set, then externalSecret must be set" -}}
{{- end -}}
{{- end -}}
