{{- /* What the bundled Prometheus scrapes. */ -}}
{{- define "prometheus-config" -}}
{{- $line := include "line" . | fromYaml -}}
{{- $own := .Values.prometheus -}}
{{- $pod := "__meta_kubernetes_pod" -}}
{{- $port := printf "%s_container_port_name" $pod -}}
global:
  {{- toYaml $own.globalConfig | nindent 2 }}
rule_files: [/etc/prometheus/*_rules.yml, /etc/prometheus/*_rules.yaml]
scrape_configs:
- job_name: prometheus
  static_configs: [{targets: [localhost:9090]}]
{{- if and $line.grafana .Values.grafana.enabled }}
- job_name: grafana
  kubernetes_sd_configs:
  - {role: pod, namespaces: {names: [{{ include "namespace" . }}]}}
  relabel_configs:
  - {action: keep, source_labels: [{{ $pod }}_container_name], regex: ^grafana$}
{{- end }}
- job_name: kubernetes-nodes-cadvisor
  scheme: https
  tls_config:
    ca_file: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
    insecure_skip_verify: true
  bearer_token_file: /var/run/secrets/kubernetes.io/serviceaccount/token
  kubernetes_sd_configs: [{role: node}]
  relabel_configs:
  - {action: labelmap, regex: __meta_kubernetes_node_label_(.+)}
  - {target_label: __address__, replacement: kubernetes.default.svc:443}
  - source_labels: [__meta_kubernetes_node_name]
    regex: (.+)
    target_label: __metrics_path__
    replacement: /api/v1/nodes/$1/proxy/metrics/cadvisor
  metric_relabel_configs:
  - {action: keep, source_labels: [__name__], regex: (container|machine)_(cpu|memory|network|fs)_(.+)}
  - {action: drop, source_labels: [__name__], regex: container_memory_failures_total}
- job_name: linkerd-controller
  kubernetes_sd_configs:
  - {role: pod, namespaces: {names: [{{ .Values.linkerdNamespace }}, {{ include "namespace" . }}]}}
  relabel_configs:
  {{- include "admin-ports" (dict "from" (list $port) "rules" $line.controllers) | nindent 2 }}
- job_name: {{ $line.mirror.job }}
  kubernetes_sd_configs: [{role: pod}]
  relabel_configs:
  {{- include "admin-ports" (dict "from" (list $line.mirror.label $port) "rules" $line.mirror) | nindent 2 }}
- job_name: linkerd-proxy
  kubernetes_sd_configs: [{role: pod}]
  relabel_configs:
  {{- if $line.runningOnly }}
  - {action: keep, source_labels: [{{ $pod }}_phase], regex: (Pending|Running)}
  {{- end }}
  - action: keep
    source_labels: [{{ $pod }}_container_name, {{ $port }}, {{ $pod }}_label_linkerd_io_control_plane_ns]
    regex: ^{{ .Values.proxyContainerName | default "linkerd-proxy" }};linkerd-admin;{{ .Values.linkerdNamespace }}$
  {{- include "proxy-labels" $pod | nindent 2 }}
  {{- with $own.metricRelabelConfigs }}
  metric_relabel_configs:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $own.scrapeConfigs }}
{{ toYaml . }}
{{- end }}
{{- if or $own.alertmanagers $own.alertRelabelConfigs }}
alerting:
  alert_relabel_configs:
  {{- toYaml $own.alertRelabelConfigs | nindent 2 }}
  alertmanagers:
  {{- toYaml $own.alertmanagers | nindent 2 }}
{{- end }}
{{- with $own.remoteWrite }}
remote_write:
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* from (labels that name the port), rules: the admin ports of controllers, not of proxies. */ -}}
{{- define "admin-ports" -}}
- {action: keep, source_labels: {{ toJson .from }}, regex: {{ .rules.keep | squote }}}
{{- with .rules.drop }}
- {action: drop, source_labels: [{{ last $.from }}], regex: {{ . }}}
{{- end }}
- {action: replace, source_labels: [__meta_kubernetes_pod_container_name], target_label: component}
{{- end -}}

{{- /* From Kubernetes' labels to the ones that Viz and its dashboards query; the order matters. */ -}}
{{- define "proxy-labels" -}}
- {action: replace, source_labels: [__meta_kubernetes_namespace], target_label: namespace}
- {action: replace, source_labels: [{{ . }}_name], target_label: pod}
- {action: replace, source_labels: [{{ . }}_label_linkerd_io_proxy_job], target_label: k8s_job}
- {action: labeldrop, regex: {{ . }}_label_linkerd_io_proxy_job}
- {action: labelmap, regex: {{ . }}_label_linkerd_io_proxy_(.+)}
- {action: labeldrop, regex: {{ . }}_label_linkerd_io_proxy_(.+)}
- {action: labelmap, regex: {{ . }}_label_linkerd_io_(.+)}
- {action: labelmap, regex: {{ . }}_label_(.+), replacement: __tmp_pod_label_$1}
- {action: labelmap, regex: __tmp_pod_label_linkerd_io_(.+), replacement: __tmp_pod_label_$1}
- {action: labeldrop, regex: __tmp_pod_label_linkerd_io_(.+)}
- {action: labelmap, regex: __tmp_pod_label_(.+)}
{{- end -}}
