{{- /* A container of the control plane.
root, name, args; command and env (optional); mounts (volume name to path); live (liveness path). */ -}}
{{- define "container" -}}
{{- $root := .root -}}
{{- $line := include "line" $root | fromYaml -}}
{{- $ports := get $line.ports .name -}}
{{- $admin := index $ports 1 1 -}}
{{- $version := $root.Values.controllerImageVersion | default $root.Values.linkerdVersion -}}
{{- $image := printf "%s:%s" $root.Values.controllerImage $version -}}
{{- with (.own | default dict).image -}}
  {{- $image = printf "%s:%s" .name (.version | default $root.Values.linkerdVersion) -}}
{{- end -}}
name: {{ .name }}
image: {{ $image }}
imagePullPolicy: {{ $root.Values.imagePullPolicy }}
{{- with .command }}
command: {{ toJson . }}
{{- end }}
args:
  {{- toYaml .args | nindent 2 }}
{{- with .env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
{{- range $ports }}
- name: {{ index . 0 }}
  containerPort: {{ index . 1 }}
{{- end }}
livenessProbe:
  initialDelaySeconds: 10
  httpGet:
    path: {{ .live | default "/ping" }}
    port: {{ $admin }}
readinessProbe:
  failureThreshold: 7
  httpGet:
    path: /ready
    port: {{ $admin }}
{{- include "resources" (.own | default dict).resources }}
securityContext:
  {{- include "security" $root | nindent 2 }}
  runAsUser: {{ $root.Values.controllerUID }}
{{- if or .mounts $line.tokenVolume }}
volumeMounts:
{{- range $volume, $path := .mounts }}
- name: {{ $volume }}
  mountPath: {{ $path }}
  readOnly: true
{{- end }}
{{- if $line.tokenVolume }}
- name: kube-api-access
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}

{{- /* The init container that redirects traffic, or under CNI the one that checks it is. */ -}}
{{- define "network" -}}
{{- $proxy := printf "%s:%s" .Values.proxy.image.name (.Values.proxy.image.version | default .Values.linkerdVersion) -}}
{{- if .Values.cniEnabled -}}
name: linkerd-network-validator
image: {{ $proxy }}
imagePullPolicy: {{ .Values.imagePullPolicy }}
command: [/usr/lib/linkerd/linkerd2-network-validator]
args: [--timeout, {{ (.Values.networkValidator | default dict).timeout | default "10s" | quote }}]
securityContext:
  {{- include "security" . | nindent 2 }}
  runAsUser: 65534
{{- else -}}
{{- $line := include "line" . | fromYaml -}}
{{- $init := .Values.proxyInit -}}
{{- if not (has ($init.iptablesMode | default "legacy") (list "nft" "legacy")) -}}
{{- fail (printf "Unsupported value \"%s\" for proxyInit.iptablesMode\nValid values: [\"nft\", \"legacy\"]" $init.iptablesMode) -}}
{{- end -}}
name: linkerd-init
{{- with $init.image }}
image: {{ .name }}:{{ .version }}
{{- else }}
image: {{ $proxy }}
command: [/usr/lib/linkerd/linkerd2-proxy-init]
{{- end }}
imagePullPolicy: {{ .Values.imagePullPolicy }}
args:
- --incoming-proxy-port
- {{ .Values.proxy.ports.inbound | quote }}
- --outgoing-proxy-port
- {{ .Values.proxy.ports.outbound | quote }}
- --proxy-uid
- {{ .Values.proxy.uid | quote }}
- --inbound-ports-to-ignore
- {{ printf "%v,%v,%s" .Values.proxy.ports.control .Values.proxy.ports.admin $init.ignoreInboundPorts | quote }}
- --outbound-ports-to-ignore
- {{ $line.skipOutbound | quote }}
{{- include "resources" $init.resources }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  allowPrivilegeEscalation: {{ $init.runAsRoot }}
  capabilities: {add: [NET_ADMIN, NET_RAW]}
  privileged: {{ $init.privileged | default false }}
  readOnlyRootFilesystem: true
  runAsNonRoot: {{ not $init.runAsRoot }}
  runAsUser: {{ $init.runAsRoot | ternary 0 $init.runAsUser }}
  {{- if $line.restricted }}
  seccompProfile: {type: RuntimeDefault}
  {{- end }}
volumeMounts:
- name: {{ $init.xtMountPath.name }}
  mountPath: {{ $init.xtMountPath.mountPath }}
{{- end }}
{{- end -}}
