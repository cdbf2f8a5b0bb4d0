{{- define "sluice.policyOf" -}}
podSelector:
  matchLabels:
    {{- include "sluice.selectorLabels" . | nindent 4 }}
policyTypes: [Ingress, Egress]
{{- end -}}

{{- /*
One arrival: .from (peers from values), .part (a part of ours, or none), .port. No rule at all where both are empty, for
a rule without peers would let every client in.
*/ -}}
{{- define "sluice.arrival" -}}
{{- if or .from .part -}}
- from:
    {{- with .from }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .part }}
    - podSelector:
        matchLabels:
          {{- include "sluice.selectorLabels" (dict "root" $.root "component" .) | nindent 10 }}
    {{- end }}
  ports:
    - {protocol: TCP, port: {{ .port }}}
{{- end -}}
{{- end -}}

{{- /* Who may ask an admin port: Prometheus, healthd (never of itself), and the console's `sluice status`. */ -}}
{{- define "sluice.adminArrival" -}}
{{- $parts := without (list "healthd" "console") .part -}}
{{- if not (.root.Values.console | default dict).enabled -}}{{- $parts = without $parts "console" -}}{{- end -}}
{{- $from := .root.Values.networkPolicy.monitoringFrom -}}
{{- if or $from $parts -}}
- from:
    {{- with $from }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- range $parts }}
    - podSelector:
        matchLabels:
          {{- include "sluice.selectorLabels" (dict "root" $.root "component" .) | nindent 10 }}
    {{- end }}
  ports:
    - {protocol: TCP, port: admin}
{{- end -}}
{{- end -}}

{{- define "sluice.toDns" -}}
- to:
    {{- toYaml .Values.networkPolicy.dnsTo | nindent 4 }}
  ports:
    {{- range .Values.networkPolicy.dnsPorts }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}

{{- define "sluice.toDatabase" -}}
- ports:
    - {protocol: TCP, port: {{ .Values.networkPolicy.databasePort }}}
  {{- with .Values.networkPolicy.databaseTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "sluice.toNats" -}}
{{- if .Values.nats.enabled -}}
- ports:
    - {protocol: TCP, port: {{ .Values.networkPolicy.natsPort }}}
  {{- with .Values.networkPolicy.natsTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}
