{{- /* The serving certificate of a service the API server calls: root, service, component, spaced,
key (of its entry in values.yaml), created (annotate it). Sets `bundle`, which trusts it, in its
arguments. The certificate is self-signed for 365 days, anew at every install and upgrade. */ -}}
{{- define "serving-certificate" -}}
{{- $own := get .root.Values .key -}}
{{- if hasKey $own "injectCaFrom" -}}
{{- include "webhook-check" $own -}}
{{- else if and $own.externalSecret (not $own.caBundle) -}}
{{- fail (printf "If %s.externalSecret is true then you need to provide %s.caBundle" .key .key) -}}
{{- end -}}
{{- $host := printf "%s.%s.svc" .service (include "namespace" .root) -}}
{{- $pair := genSelfSignedCert $host (list) (list $host) 365 -}}
{{- if not (or $own.injectCaFrom $own.injectCaFromSecret) -}}
{{- $_ := set . "bundle" ($own.caBundle | default $pair.Cert | trim | b64enc) -}}
{{- end -}}
{{- if not $own.externalSecret }}
---
apiVersion: v1
kind: Secret
metadata:
  {{- $notes := empty .created | ternary dict (include "created-by" .root | fromYaml) }}
  {{- include "metadata" (list .root .component .spaced (printf "%s-k8s-tls" .service) $notes) | nindent 2 }}
type: kubernetes.io/tls
data:
  tls.crt: {{ $own.crtPEM | default $pair.Cert | trim | b64enc }}
  tls.key: {{ $own.keyPEM | default $pair.Key | trim | b64enc }}
{{- end }}
{{- end -}}

{{- /* values of a webhook: the annotations that have cert-manager write the bundle. */ -}}
{{- define "ca-annotations" -}}
{{- if or .injectCaFrom .injectCaFromSecret }}
annotations:
  {{- with .injectCaFrom }}
  cert-manager.io/inject-ca-from: {{ . }}
  {{- end }}
  {{- with .injectCaFromSecret }}
  cert-manager.io/inject-ca-from-secret: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* A webhook that changes pods when they are created, with its certificate: root, service,
key (of its entry in values.yaml), created (annotate the Secret). */ -}}
{{- define "pod-webhook" -}}
{{- $root := .root -}}
{{- $own := get $root.Values .key -}}
{{- $line := include "line" $root | fromYaml -}}
{{- $rule := dict "operations" (list "CREATE") "apiGroups" (list "") "apiVersions" (list "v1") "resources" (list "pods") -}}
{{- if $line.namespacedRule -}}{{- $_ := set $rule "scope" "Namespaced" -}}{{- end -}}
{{- $serving := dict "root" $root "service" .service "component" "" "spaced" false "key" .key "created" .created -}}
{{ include "serving-certificate" $serving }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: linkerd-{{ .service }}-webhook-config
  labels:
    {{- include "labels" (list $root "" false) | nindent 4 }}
  {{- include "ca-annotations" $own | nindent 2 }}
webhooks:
- name: {{ .service }}.linkerd.io
  admissionReviewVersions: [v1, v1beta1]
  clientConfig:
    service: {name: {{ .service }}, namespace: {{ include "namespace" $root }}, path: /}
    {{- with $serving.bundle }}
    caBundle: {{ . }}
    {{- end }}
  failurePolicy: {{ $own.failurePolicy }}
  reinvocationPolicy: IfNeeded
  {{- range $selector := list "namespaceSelector" "objectSelector" }}
  {{- with get $own $selector }}
  {{ $selector }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  rules:
    {{- toYaml (list $rule) | nindent 4 }}
  sideEffects: None
{{- end -}}
