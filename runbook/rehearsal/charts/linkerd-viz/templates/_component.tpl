{{- /* The Deployment of a component of Viz: root, name, key (of its entry in values.yaml),
container (name is added; without probes it has those of its admin port); checksum (of the template
whose changes restart its pods); resident (no autoscaler may move it); unversioned (upstream forgot
the label); the rest as "deployment" has it. */ -}}
{{- define "component" -}}
{{- $root := .root -}}
{{- $own := get $root.Values .key -}}
{{- $line := include "line" $root | fromYaml -}}
{{- $created := include "created-by" $root | fromYaml -}}
{{- $annotations := deepCopy $created -}}
{{- $notes := merge $created (include "proxy-annotations" $own | fromYaml) ($root.Values.podAnnotations | default dict) ($own.podAnnotations | default dict) -}}
{{- with .checksum -}}
  {{- $_ := set $notes "checksum/config" (include (print $root.Template.BasePath "/" .) $root | sha256sum) -}}
{{- end -}}
{{- if $line.annotated -}}
  {{- $_ := set $annotations "linkerd.io/inject" "enabled" -}}
  {{- $_ := set $annotations "config.linkerd.io/proxy-await" "enabled" -}}
  {{- $_ := set $notes "linkerd.io/inject" "enabled" -}}
  {{- $_ := set $notes "config.alpha.linkerd.io/proxy-wait-before-exit-seconds" "0" -}}
  {{- if not .resident -}}
    {{- $_ := set $notes "cluster-autoscaler.kubernetes.io/safe-to-evict" "true" -}}
  {{- end -}}
{{- end -}}
{{- $security := dict "runAsUser" ($own.UID | default $root.Values.defaultUID) -}}
{{- with $own.GID | default $root.Values.defaultGID -}}{{- $_ := set $security "runAsGroup" . -}}{{- end -}}
{{- $container := merge .container (dict "name" .name "security" $security) -}}
{{- if not $container.ready -}}
  {{- $admin := index (last $container.ports) 1 -}}
  {{- $_ := set $container "live" (include "probe" (list "/ping" $admin (dict "initialDelaySeconds" 10)) | fromYaml) -}}
  {{- $_ := set $container "ready" (include "probe" (list "/ready" $admin (dict "failureThreshold" 7)) | fromYaml) -}}
{{- end -}}
{{- $labels := empty .unversioned | ternary (dict "app.kubernetes.io/version" $root.Values.linkerdVersion) dict -}}
{{ include "deployment" (merge (dict "own" $own "container" $container "annotations" $annotations "podAnnotations" $notes "labels" $labels) .) }}
{{- end -}}

{{- /* root, name, key, spaced, ports: the Service of a component. */ -}}
{{- define "component-service" -}}
{{- $line := include "line" .root | fromYaml -}}
{{- $own := (get .root.Values .key).service | default dict -}}
{{- $notes := merge (include "created-by" .root | fromYaml) ($own.annotations | default dict) -}}
{{- if $line.annotated -}}{{- $_ := set $notes "linkerd.io/inject" "enabled" -}}{{- end -}}
{{ include "service" (list .root .name .spaced $notes $own.labels (include "selector" (list .root .name false)) .ports) }}
{{- end -}}

{{- /* (list root own): the arguments about logs. */ -}}
{{- define "log-args" -}}
{{- $own := get (index . 0).Values (index . 1) -}}
- -log-level={{ $own.logLevel | default (index . 0).Values.defaultLogLevel }}
- -log-format={{ $own.logFormat | default (index . 0).Values.defaultLogFormat }}
{{- end -}}
