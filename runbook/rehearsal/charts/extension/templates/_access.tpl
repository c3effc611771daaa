{{- /* (list root component spaced name): a service account. */ -}}
{{- define "account" -}}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "metadata" (append . dict) | nindent 2 }}
{{- with (index . 0).Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* (list root component name rules): a cluster role. */ -}}
{{- define "cluster-role" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ index . 2 }}
  labels:
    {{- include "labels" (list (index . 0) (index . 1) false) | nindent 4 }}
rules:
{{- index . 3 | nindent 0 }}
{{- end -}}

{{- /* (list root component name role account): binds a cluster role to a service account. */ -}}
{{- define "cluster-binding" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ index . 2 }}
  labels:
    {{- include "labels" (list (index . 0) (index . 1) false) | nindent 4 }}
{{ include "bound" (list (index . 0) "ClusterRole" (index . 3) (index . 4)) }}
{{- end -}}

{{- /* (list root kind role account): what a binding binds. */ -}}
{{- define "bound" -}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ index . 1 }}
  name: {{ index . 2 }}
subjects:
- kind: ServiceAccount
  name: {{ index . 3 }}
  namespace: {{ include "namespace" (index . 0) }}
{{- end -}}

{{- /* (list root component spaced annotations labels selector ports): the service of a component. */ -}}
{{- define "service" -}}
---
apiVersion: v1
kind: Service
metadata:
  {{- $plain := list (index . 0) (index . 1) (index . 2) (index . 1) (index . 3) }}
  {{- $metadata := include "metadata" $plain | fromYaml }}
  {{- merge $metadata (dict "labels" (index . 4 | default dict)) | toYaml | nindent 2 }}
spec:
  type: ClusterIP
  selector:
    {{- index . 5 | nindent 4 }}
  ports:
    {{- toYaml (index . 6) | nindent 4 }}
{{- end -}}
