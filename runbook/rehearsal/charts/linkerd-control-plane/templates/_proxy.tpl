{{- /* The linkerd-proxy container of a control-plane pod.
root, component, inbound (its ports, comma separated); sidecar (run as a native sidecar). */ -}}
{{- define "proxy" -}}
{{- $root := .root -}}
{{- $proxy := $root.Values.proxy -}}
{{- $ports := $proxy.ports -}}
{{- $ns := include "namespace" $root -}}
{{- $domain := $root.Values.clusterDomain -}}
{{- $line := include "line" $root | fromYaml -}}
{{- $projected := $root.Values.identity.serviceAccountTokenProjection -}}
name: linkerd-proxy
image: {{ $proxy.image.name }}:{{ $proxy.image.version | default $root.Values.linkerdVersion }}
imagePullPolicy: {{ $proxy.image.pullPolicy | default $root.Values.imagePullPolicy }}
{{- if .sidecar }}
restartPolicy: Always
{{- end }}
env:
- {name: _pod_name, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: _pod_ns, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: _pod_nodeName, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
- {name: _pod_sa, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
- {name: _l5d_ns, value: {{ $ns }}}
- {name: _l5d_trustdomain, value: {{ include "trust-domain" $root }}}
- {name: LINKERD2_PROXY_LOG, value: {{ $proxy.logLevel | quote }}}
- {name: LINKERD2_PROXY_LOG_FORMAT, value: {{ $proxy.logFormat }}}
{{- if eq .component "identity" }}
- {name: LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_TLS, value: "8080"}
{{- end }}
{{- if eq .component "destination" }}
- {name: LINKERD2_PROXY_DESTINATION_SVC_ADDR, value: "localhost.:8086"}
- {name: LINKERD2_PROXY_POLICY_SVC_ADDR, value: "localhost.:8090"}
{{- else }}
- {name: LINKERD2_PROXY_DESTINATION_SVC_ADDR, value: "linkerd-dst-headless.{{ $ns }}.svc.{{ $domain }}.:8086"}
- {name: LINKERD2_PROXY_POLICY_SVC_ADDR, value: "linkerd-policy.{{ $ns }}.svc.{{ $domain }}.:8090"}
{{- end }}
- {name: LINKERD2_PROXY_INBOUND_DEFAULT_POLICY, value: {{ include "default-policy" $root }}}
- {name: LINKERD2_PROXY_POLICY_CLUSTER_NETWORKS, value: {{ $root.Values.clusterNetworks | quote }}}
- {name: LINKERD2_PROXY_INBOUND_CONNECT_TIMEOUT, value: {{ $proxy.inboundConnectTimeout }}}
- {name: LINKERD2_PROXY_OUTBOUND_CONNECT_TIMEOUT, value: {{ $proxy.outboundConnectTimeout }}}
- {name: LINKERD2_PROXY_CONTROL_LISTEN_ADDR, value: "0.0.0.0:{{ $ports.control }}"}
- {name: LINKERD2_PROXY_ADMIN_LISTEN_ADDR, value: "0.0.0.0:{{ $ports.admin }}"}
- {name: LINKERD2_PROXY_OUTBOUND_LISTEN_ADDR, value: "127.0.0.1:{{ $ports.outbound }}"}
- {name: LINKERD2_PROXY_INBOUND_LISTEN_ADDR, value: "0.0.0.0:{{ $ports.inbound }}"}
- {name: LINKERD2_PROXY_INBOUND_IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
- {name: LINKERD2_PROXY_INBOUND_PORTS, value: {{ .inbound | quote }}}
- {name: LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION, value: {{ $proxy.opaquePorts | quote }}}
- {name: LINKERD2_PROXY_DESTINATION_PROFILE_SUFFIXES, value: "svc.{{ $domain }}."}
- {name: LINKERD2_PROXY_IDENTITY_DIR, value: /var/run/linkerd/identity/end-entity}
- name: LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS
  valueFrom: {configMapKeyRef: {name: linkerd-identity-trust-roots, key: ca-bundle.crt}}
{{- if $projected }}
- {name: LINKERD2_PROXY_IDENTITY_TOKEN_FILE, value: /var/run/secrets/tokens/linkerd-identity-token}
{{- else }}
- {name: LINKERD2_PROXY_IDENTITY_TOKEN_FILE, value: /var/run/secrets/kubernetes.io/serviceaccount/token}
{{- end }}
{{- if eq .component "identity" }}
- {name: LINKERD2_PROXY_IDENTITY_SVC_ADDR, value: "localhost.:8080"}
{{- else }}
- {name: LINKERD2_PROXY_IDENTITY_SVC_ADDR, value: "linkerd-identity-headless.{{ $ns }}.svc.{{ $domain }}.:8080"}
{{- end }}
{{- $mesh := printf "serviceaccount.identity.%s.%s" $ns (include "trust-domain" $root) }}
- {name: LINKERD2_PROXY_IDENTITY_LOCAL_NAME, value: "$(_pod_sa).$(_pod_ns).{{ $mesh }}"}
- {name: LINKERD2_PROXY_IDENTITY_SVC_NAME, value: "linkerd-identity.{{ $ns }}.{{ $mesh }}"}
- {name: LINKERD2_PROXY_DESTINATION_SVC_NAME, value: "linkerd-destination.{{ $ns }}.{{ $mesh }}"}
- {name: LINKERD2_PROXY_POLICY_SVC_NAME, value: "linkerd-destination.{{ $ns }}.{{ $mesh }}"}
{{- /* Other containers wait for a proxy that is not a native sidecar, except those it waits for. */}}
{{- if and $proxy.await (not .sidecar) (ne .component "identity") }}
lifecycle:
  postStart:
    exec:
      command: [/usr/lib/linkerd/linkerd-await, --timeout=2m, --port={{ $ports.admin }}]
{{- end }}
ports:
- {name: linkerd-proxy, containerPort: {{ $ports.inbound }}}
- {name: linkerd-admin, containerPort: {{ $ports.admin }}}
livenessProbe:
  httpGet: {path: /live, port: {{ $ports.admin }}}
  initialDelaySeconds: 10
readinessProbe:
  httpGet: {path: /ready, port: {{ $ports.admin }}}
  initialDelaySeconds: 2
{{- if .sidecar }}
startupProbe:
  httpGet: {path: /ready, port: {{ $ports.admin }}}
  {{- toYaml $proxy.startupProbe | nindent 2 }}
{{- end }}
{{- include "resources" $proxy.resources }}
securityContext:
  {{- include "security" $root | nindent 2 }}
  runAsUser: {{ $proxy.uid }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
- {name: linkerd-identity-end-entity, mountPath: /var/run/linkerd/identity/end-entity}
{{- if $projected }}
- {name: linkerd-identity-token, mountPath: /var/run/secrets/tokens}
{{- end }}
{{- end -}}

{{- define "default-policy" -}}
{{- $line := include "line" . | fromYaml -}}
{{- get (get .Values (index $line.defaultPolicy 0)) (index $line.defaultPolicy 1) -}}
{{- end -}}
