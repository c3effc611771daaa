{{- /* A Deployment of the extension: root, name, key (of its entry in values.yaml), container,
notes (of its pods), waits (its proxy may wait before it exits), the rest as "deployment". */ -}}
{{- define "component" -}}
{{- $own := get .root.Values .key -}}
{{- $line := include "line" .root | fromYaml -}}
{{- $notes := .notes | default dict -}}
{{- if $line.annotated -}}
  {{- $notes = merge $notes (dict "linkerd.io/inject" "enabled" "config.linkerd.io/proxy-await" "enabled" "cluster-autoscaler.kubernetes.io/safe-to-evict" "true") -}}
  {{- if not .waits -}}
    {{- $_ := set $notes "config.alpha.linkerd.io/proxy-wait-before-exit-seconds" "0" -}}
  {{- end -}}
{{- end -}}
{{- $security := dict -}}
{{- with $own.UID | default .root.Values.defaultUID -}}{{- $_ := set $security "runAsUser" . -}}{{- end -}}
{{- $container := merge .container (dict "security" $security) -}}
{{ include "deployment" (merge (dict "own" $own "container" $container "podAnnotations" $notes) .) }}
{{- end -}}
