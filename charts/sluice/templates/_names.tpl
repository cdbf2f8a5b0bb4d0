{{- /* Base of every name, 40 characters at most: what is added to it must fit into a label's 63. */ -}}
{{- define "sluice.fullname" -}}
{{- $name := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-sluice" .Release.Name) (contains "sluice" .Release.Name)) -}}
{{- if gt (len $name) 40 -}}
{{- printf "%s-%s" ($name | trunc 33 | trimSuffix "-") ($name | sha256sum | trunc 6) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{- define "sluice.selectorLabels" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: sluice
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sluice.metadata" -}}
name: {{ include "sluice.fullname" .root }}{{ with .suffix | default .component }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- toYaml (merge (deepCopy (.labels | default dict)) (include "sluice.labels" . | fromYaml)) | nindent 2 }}
{{- end -}}

{{- define "sluice.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* The services that run: reconciler and console only where they are asked for; values of an earlier release do not name them. */ -}}
{{- define "sluice.services" -}}
{{- $services := list "ingest" "processor" "healthd" -}}
{{- if (.Values.reconciler | default dict).enabled -}}{{- $services = append $services "reconciler" -}}{{- end -}}
{{- if (.Values.console | default dict).enabled -}}{{- $services = append $services "console" -}}{{- end -}}
{{- toYaml $services -}}
{{- end -}}
