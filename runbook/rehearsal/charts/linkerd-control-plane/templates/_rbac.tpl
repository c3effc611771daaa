{{- /* (list root component name account rules): a cluster role and its binding, named alike. */ -}}
{{- define "cluster-role" -}}
{{- $root := index . 0 -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ index . 2 }}
  labels:
    {{- include "labels" (list $root (index . 1)) | nindent 4 }}
rules:
{{- index . 4 | nindent 0 }}
{{ include "binding" (list $root (index . 1) "ClusterRole" (index . 2) (index . 2) (index . 3)) }}
{{- end -}}

{{- /* (list root component kind role name account): binds a role to a service account. */ -}}
{{- define "binding" -}}
{{- $root := index . 0 -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ index . 2 }}Binding
metadata:
  name: {{ index . 4 }}
  {{- if eq (index . 2) "Role" }}
  namespace: {{ include "namespace" $root }}
  {{- end }}
  labels:
    {{- include "labels" (list $root (index . 1)) | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ index . 2 }}
  name: {{ index . 3 }}
subjects:
- kind: ServiceAccount
  name: {{ index . 5 }}
  namespace: {{ include "namespace" $root }}
{{- end -}}

{{- /* (list root component name rules): a role in the control plane's namespace. */ -}}
{{- define "role" -}}
{{- $root := index . 0 -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ index . 2 }}
  namespace: {{ include "namespace" $root }}
  labels:
    {{- include "labels" (list $root (index . 1)) | nindent 4 }}
rules:
{{- index . 3 | nindent 0 }}
{{- end -}}

{{- /* (list root component): the service account linkerd-<component>. */ -}}
{{- define "account" -}}
{{- $root := index . 0 -}}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: linkerd-{{ index . 1 }}
  namespace: {{ include "namespace" $root }}
  labels:
    {{- include "labels" . | nindent 4 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* (list root component name port target headless): a service in front of a component. */ -}}
{{- define "service" -}}
{{- $root := index . 0 -}}
{{- $opaque := eq (index . 2) "linkerd-proxy-injector" -}}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "metadata" (list $root (index . 1) (index . 2)) | nindent 2 }}
    {{- if $opaque }}
    config.linkerd.io/opaque-ports: "443"
    {{- end }}
spec:
  {{- if index . 5 }}
  clusterIP: None
  {{- else }}
  type: ClusterIP
  {{- end }}
  selector:
    linkerd.io/control-plane-component: {{ index . 1 }}
  ports:
  - {{ index . 3 | toJson }}
{{- end -}}
