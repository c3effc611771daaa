{{- /* A Deployment of the control plane.
root, component, containers (arguments of "container"), volumes (name to volume source),
inbound (the ports its proxy fronts); native (its proxy may be a native sidecar);
annotations (of its pods). */ -}}
{{- define "deployment" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $line := include "line" $root | fromYaml -}}
{{- $ns := include "namespace" $root -}}
{{- $sidecar := and .native $values.proxy.nativeSidecar | default false -}}
{{- $proxy := dict "root" $root "component" .component "inbound" .inbound "sidecar" $sidecar -}}
{{- $first := and (not $sidecar) (ne .component "identity") -}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: linkerd-{{ .component }}
  namespace: {{ $ns }}
  labels:
    app.kubernetes.io/name: {{ .component }}
    app.kubernetes.io/part-of: Linkerd
    app.kubernetes.io/version: {{ $values.linkerdVersion }}
    {{- include "labels" (list $root .component) | nindent 4 }}
  annotations:
    {{- include "created-by" $root | nindent 4 }}
spec:
  replicas: {{ $values.controllerReplicas }}
  {{- with $values.revisionHistoryLimit }}
  revisionHistoryLimit: {{ . }}
  {{- end }}
  {{- with $values.deploymentStrategy }}
  strategy:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  selector:
    matchLabels:
      linkerd.io/control-plane-component: {{ .component }}
      {{- if ne .component "proxy-injector" }}
      linkerd.io/control-plane-ns: {{ $ns }}
      linkerd.io/proxy-deployment: linkerd-{{ .component }}
      {{- end }}
  template:
    metadata:
      labels:
        linkerd.io/proxy-deployment: linkerd-{{ .component }}
        linkerd.io/workload-ns: {{ $ns }}
        {{- include "labels" (list $root .component) | nindent 8 }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        config.linkerd.io/default-inbound-policy: {{ include "default-policy" $root }}
        linkerd.io/proxy-version: {{ $values.proxy.image.version | default $values.linkerdVersion }}
        {{- include "created-by" $root | nindent 8 }}
        {{- if $line.restricted }}
        cluster-autoscaler.kubernetes.io/safe-to-evict: "true"
        linkerd.io/trust-root-sha256: {{ $values.identityTrustAnchorsPEM | sha256sum }}
        {{- else }}
        linkerd.io/identity-mode: default
        {{- end }}
        {{- with mergeOverwrite (deepCopy (.annotations | default dict)) $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: linkerd-{{ .component }}
      {{- if $line.tokenVolume }}
      automountServiceAccountToken: false
      {{- end }}
      {{- if $line.restricted }}
      securityContext: {seccompProfile: {type: RuntimeDefault}}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $values.runtimeClassName }}
      runtimeClassName: {{ . }}
      {{- end }}
      initContainers:
      - {{- include "network" $root | nindent 8 }}
      {{- if $sidecar }}
      - {{- include "proxy" $proxy | nindent 8 }}
      {{- end }}
      containers:
      {{- if $first }}
      - {{- include "proxy" $proxy | nindent 8 }}
      {{- end }}
      {{- range .containers }}
      - {{- include "container" (merge (dict "root" $root) .) | nindent 8 }}
      {{- end }}
      {{- if and (not $sidecar) (not $first) }}
      - {{- include "proxy" $proxy | nindent 8 }}
      {{- end }}
      volumes:
      {{- range $name, $source := .volumes }}
      - name: {{ $name }}
        {{- toYaml $source | nindent 8 }}
      {{- end }}
      {{- include "volumes" $root | nindent 6 }}
{{- end -}}

{{- /* The volumes every control-plane pod has. */ -}}
{{- define "volumes" -}}
{{- $line := include "line" . | fromYaml -}}
{{- if $line.tokenVolume -}}
{{ include "token-volume" . }}
{{ end -}}
{{- if not .Values.cniEnabled -}}
- name: {{ .Values.proxyInit.xtMountPath.name }}
  emptyDir: {}
{{ end -}}
{{- if .Values.identity.serviceAccountTokenProjection -}}
- name: linkerd-identity-token
  projected:
    sources:
    - serviceAccountToken:
        path: linkerd-identity-token
        expirationSeconds: 86400
        audience: identity.l5d.io
{{ end -}}
- name: linkerd-identity-end-entity
  emptyDir: {medium: Memory}
{{- end -}}
