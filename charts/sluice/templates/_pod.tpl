{{- /* What every pod of ours has in common: no token, no service links, Pod Security "restricted". */ -}}
{{- define "sluice.podCommon" -}}
serviceAccountName: {{ include "sluice.fullname" .root }}-{{ .component }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- if .root.Values.pods.fixedUser }}
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Labels and annotations of a pod: ours, those of all pods, then those of .values alone; ours cannot be taken away. */ -}}
{{- define "sluice.podLabels" -}}
{{- $ours := include "sluice.labels" . | fromYaml -}}
{{- toYaml (merge $ours (deepCopy (.podLabels | default dict)) (deepCopy .root.Values.pods.labels)) -}}
{{- end -}}

{{- define "sluice.podAnnotations" -}}
{{- $ours := dict "kubectl.kubernetes.io/default-container" .component -}}
{{- toYaml (merge $ours (deepCopy (.podAnnotations | default dict)) (deepCopy .root.Values.pods.annotations)) -}}
{{- end -}}

{{- define "sluice.containerCommon" -}}
image: {{ include "sluice.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: {{ not .root.Values.liveUpdate }}
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: secrets
    mountPath: /run/sluice
    readOnly: true
  - name: tmp
    mountPath: /tmp
{{- end -}}

{{- /* The command; PID 1 is Python itself, except under `tilt up`. */ -}}
{{- define "sluice.command" -}}
{{- if .root.Values.liveUpdate -}}
[python, /docker/restart_on_change.py, /app, python, -m, {{ .component }}]
{{- else -}}
[python, -m, {{ .component }}]
{{- end -}}
{{- end -}}

{{- /* The volumes of the secrets named in .secrets: values' name → file name. A directory, never a subPath: it follows changes. */ -}}
{{- define "sluice.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
- name: secrets
  projected:
    defaultMode: 288 # 0440, for the pod's own group
    sources:
      {{- range $value, $file := .secrets }}
      {{- $secret := get $.root.Values.secrets $value | default dict }}
      {{- if and (hasSuffix "NatsUrl" $value) (not $secret.key) }}{{ $secret = $.root.Values.secrets.natsUrl }}{{ end }}
      {{- if and $secret.key (or $.root.Values.nats.enabled (not (hasSuffix "atsUrl" $value))) }}
      - secret:
          name: {{ $secret.name | default $.root.Values.secrets.name | quote }}
          items:
            - key: {{ $secret.key | quote }}
              path: {{ $file }}
      {{- end }}
      {{- end }}
{{- end -}}

{{- /* NAME_FILE for each of .files: setting → file name. */ -}}
{{- define "sluice.fileSettings" -}}
{{- range $setting, $file := .files }}
{{- if or $.root.Values.nats.enabled (ne $setting "NATS_URL") }}
- name: {{ $setting }}_FILE
  value: /run/sluice/{{ $file }}
{{- end }}
{{- end }}
{{- end -}}
