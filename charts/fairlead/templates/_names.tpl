{{- define "fairlead.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "fairlead.selector" -}}
app.kubernetes.io/name: fairlead
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "fairlead.labels" -}}
{{ include "fairlead.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* Where what environments remember is kept. */}}
{{- define "fairlead.stateNamespace" -}}
{{- .Values.stateNamespace | default (printf "%s-state" .Release.Namespace) -}}
{{- end }}

{{/* The names of the agents that may say what came of Environments and Requests, as CEL reads a list. */}}
{{- define "fairlead.agents" -}}
{{- $agents := list (printf "system:serviceaccount:%s:%s" .Release.Namespace (include "fairlead.name" .)) -}}
{{- range .Values.otherAgents -}}
{{- $agents = append $agents (printf "system:serviceaccount:%s:%s" .namespace .name) -}}
{{- end -}}
{{- toJson $agents -}}
{{- end }}

{{/* The account that previews are written as, as CEL reads a list. */}}
{{- define "fairlead.previewAccounts" -}}
{{- toJson (list (printf "%s/%s-previews" .Release.Namespace (include "fairlead.name" .))) -}}
{{- end }}

{{/* The kinds that previews may be made of, as CEL reads a list: the agent asks for no others. */}}
{{- define "fairlead.previewKinds" -}}
["ConfigMap","Service","ServiceAccount","PersistentVolumeClaim","Deployment.apps","StatefulSet.apps","Job.batch","CronJob.batch","HorizontalPodAutoscaler.autoscaling","PodDisruptionBudget.policy","Ingress.networking.k8s.io","HTTPRoute.gateway.networking.k8s.io"]
{{- end }}
