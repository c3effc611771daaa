{{- /* A Deployment of one container.
root, name, own (its entry in values.yaml); container (arguments of "container");
spaced (its selector names the namespace) or selector; labels (more of the object's);
annotations (of the object); podAnnotations; spec (more of the Deployment's);
podSecurity; volumes (name to source); sidecars (more containers). */ -}}
{{- define "deployment" -}}
{{- $root := .root -}}
{{- $own := .own -}}
{{- $line := include "line" $root | fromYaml -}}
{{- $placed := hasKey $own "nodeSelector" | ternary $own $root.Values -}}
{{- $pods := list $root .name .spaced -}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ include "namespace" $root }}
  labels:
    app.kubernetes.io/name: {{ .name }}
    app.kubernetes.io/part-of: Linkerd
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- include "labels" $pods | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  replicas: {{ hasKey $own "replicas" | ternary $own.replicas 1 }}
  {{- with $root.Values.revisionHistoryLimit }}
  revisionHistoryLimit: {{ . }}
  {{- end }}
  {{- with .spec }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  selector:
    matchLabels:
      {{- .selector | default (include "selector" $pods) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "selector" $pods | nindent 8 }}
        {{- with $root.Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ .name }}
      {{- include "pod" (dict "root" $root "placed" $placed "security" .podSecurity) | nindent 6 }}
      containers:
      {{- with .sidecars }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      - {{- include "container" (merge (dict "root" $root "own" $own) .container) | nindent 8 }}
      {{- if or .volumes $line.tokenVolume }}
      volumes:
      {{- range $name, $source := .volumes }}
      - name: {{ $name }}
        {{- toYaml $source | nindent 8 }}
      {{- end }}
      {{- if $line.tokenVolume }}
      {{- include "token-volume" $root | nindent 6 }}
      {{- end }}
      {{- end }}
{{- end -}}

{{- /* root, placed (who says where it runs), security: what all pods of the extension have. */ -}}
{{- define "pod" -}}
{{- $line := include "line" .root | fromYaml -}}
{{- if $line.tokenVolume }}
automountServiceAccountToken: false
{{- end }}
{{- $security := empty $line.restricted | ternary dict (dict "seccompProfile" (dict "type" "RuntimeDefault")) }}
{{- with merge $security (.security | default dict) }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .placed.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .placed.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* A container: root, name, own (image, resources); args, command, env, ports ([name, number]),
live and ready (probes), security and mounts (name to path, or to a whole mount). */ -}}
{{- define "container" -}}
{{- $line := include "line" .root | fromYaml -}}
name: {{ .name }}
image: {{ include "image" (dict "root" .root "image" .own.image) }}
imagePullPolicy: {{ include "pull-policy" (dict "root" .root "image" .own.image) }}
{{- range $field := list "command" "args" "env" }}
{{- with get $ $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .ports }}
ports:
{{- range . }}
- containerPort: {{ index . 1 }}
  {{- with index . 0 }}
  name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}
{{- with .live }}
livenessProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .ready }}
readinessProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "resources" .own.resources }}
{{- $security := empty $line.restricted | ternary dict (include "security" .root | fromYaml) }}
{{- with merge $security (.security | default dict) }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .mounts $line.tokenVolume }}
volumeMounts:
{{- range $name, $mount := .mounts }}
- name: {{ $name }}
  {{- kindIs "map" $mount | ternary $mount (dict "mountPath" $mount "readOnly" true) | toYaml | nindent 2 }}
{{- end }}
{{- if $line.tokenVolume }}
- name: kube-api-access
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}

{{- /* (list path port more): an HTTP probe. */ -}}
{{- define "probe" -}}
{{- merge (dict "httpGet" (dict "path" (index . 0) "port" (index . 1))) (index . 2) | toYaml -}}
{{- end -}}
