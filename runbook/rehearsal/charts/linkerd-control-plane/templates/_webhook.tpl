{{- /* The serving certificate of a webhook and the bundle that trusts it.
root, service, values (its entry in values.yaml), component, kind, name, rules;
selector and timeout (optional). Without `externalSecret` the certificate is made here, self-signed
for 365 days, anew at every install and upgrade. */ -}}
{{- define "webhook" -}}
{{- $root := .root -}}
{{- $ns := include "namespace" $root -}}
{{- $host := printf "%s.%s.svc" .service $ns -}}
{{- include "webhook-check" .values -}}
{{- $bundle := .values.caBundle -}}
{{- if not .values.externalSecret }}
{{- $pair := genSelfSignedCert $host (list) (list $host) 365 -}}
{{- $crt := .values.crtPEM | default $pair.Cert -}}
{{- $bundle = $bundle | default $crt }}
---
apiVersion: v1
kind: Secret
metadata:
  {{- include "metadata" (list $root .component (printf "%s-k8s-tls" .service)) | nindent 2 }}
type: kubernetes.io/tls
data:
  tls.crt: {{ $crt | trim | b64enc }}
  tls.key: {{ .values.keyPEM | default $pair.Key | trim | b64enc }}
{{- end }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: {{ .kind }}WebhookConfiguration
metadata:
  name: {{ .service }}-webhook-config
  labels:
    {{- include "labels" (list $root .component) | nindent 4 }}
  {{- with .values.injectCaFrom }}
  annotations: {cert-manager.io/inject-ca-from: {{ . }}}
  {{- end }}
  {{- with .values.injectCaFromSecret }}
  annotations: {cert-manager.io/inject-ca-from-secret: {{ . }}}
  {{- end }}
webhooks:
- name: {{ .service }}.linkerd.io
  admissionReviewVersions: [v1, v1beta1]
  clientConfig:
    service: {name: {{ .service }}, namespace: {{ $ns }}, path: /}
    {{- with $bundle }}
    caBundle: {{ . | trim | b64enc }}
    {{- end }}
  failurePolicy: {{ $root.Values.webhookFailurePolicy }}
  namespaceSelector:
    {{- toYaml .values.namespaceSelector | nindent 4 }}
  {{- with .values.objectSelector }}
  objectSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    {{- toYaml .rules | nindent 4 }}
  sideEffects: None
  {{- with .values.timeoutSeconds }}
  timeoutSeconds: {{ . }}
  {{- end }}
{{- end -}}
