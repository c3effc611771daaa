{{- /* A Server: root, name, port, protocol; component and spaced (of its labels),
pods (what selects its pods, by default the component's labels). */ -}}
{{- define "server" -}}
{{- $line := include "line" .root | fromYaml -}}
---
apiVersion: {{ $line.serverVersion }}
kind: Server
metadata:
  {{- include "metadata" (list .root .component false .name (include "created-by" .root | fromYaml)) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- .pods | default (include "selector" (list .root .component false)) | nindent 6 }}
  port: {{ .port }}
  {{- with .protocol }}
  proxyProtocol: {{ . }}
  {{- end }}
{{- end -}}

{{- /* Who may talk to a Server: root, name, component, server; client (of a ServerAuthorization,
up to 2.11), refs (the authentications an AuthorizationPolicy requires, after it). */ -}}
{{- define "authorization" -}}
{{- $line := include "line" .root | fromYaml -}}
{{- $metadata := include "metadata" (list .root .component false .name (include "created-by" .root | fromYaml)) -}}
---
{{- if $line.authorizationPolicies }}
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata:
  {{- $metadata | nindent 2 }}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: {{ .server }}}
  requiredAuthenticationRefs:
    {{- toYaml .refs | nindent 4 }}
{{- else }}
apiVersion: {{ $line.serverVersion }}
kind: ServerAuthorization
metadata:
  {{- $metadata | nindent 2 }}
spec:
  server:
    {{- with .server }}
    name: {{ . }}
    {{- else }}
    selector:
      matchLabels:
        {{- include "selector" (list .root .component false) | nindent 8 }}
    {{- end }}
  client:
    {{- toYaml .client | nindent 4 }}
{{- end }}
{{- end -}}

{{- /* (list root component kind name spec): an authentication. */ -}}
{{- define "authentication" -}}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: {{ index . 2 }}
metadata:
  {{- include "metadata" (list (index . 0) (index . 1) false (index . 3) (include "created-by" (index . 0) | fromYaml)) | nindent 2 }}
spec:
  {{- toYaml (index . 4) | nindent 2 }}
{{- end -}}

{{- /* From anywhere: which addresses kubelets and API servers use cannot be known. */ -}}
{{- define "anywhere" -}}
networks: [{cidr: 0.0.0.0/0}, {cidr: "::/0"}]
{{- end -}}
