{{- /*
One service: .root, .component, .values (its values), .settings (its own environment), .secrets (value → file),
.files (setting → file), .isPublic (it listens on 8080 too), .replicas (at least, where something scales it: .isScaled).
*/ -}}
{{- define "sluice.deployment" -}}
{{- $preStop := .values.preStopSeconds | default 0 | int -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "sluice.metadata" . | nindent 2 }}
spec:
  {{- with include "sluice.replicas" . }}
  replicas: {{ . }}
  {{- end }}
  revisionHistoryLimit: 3
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels:
      {{- include "sluice.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "sluice.podLabels" . | nindent 8 }}
      annotations:
        {{- include "sluice.podAnnotations" . | nindent 8 }}
    spec:
      {{- include "sluice.podCommon" . | nindent 6 }}
      terminationGracePeriodSeconds: {{ add $preStop (.values.drainSeconds | int) 10 }}
      topologySpreadConstraints:
        {{- include "sluice.spread" (dict "root" .root "component" .component "key" "topology.kubernetes.io/zone" "unsatisfiable" "ScheduleAnyway") | nindent 8 }}
        {{- include "sluice.spread" (dict "root" .root "component" .component "key" "kubernetes.io/hostname" "unsatisfiable" "DoNotSchedule") | nindent 8 }}
      containers:
        - name: {{ .component }}
          {{- include "sluice.containerCommon" . | nindent 10 }}
          command: {{ include "sluice.command" . }}
          ports:
            {{- if .isPublic }}
            - {name: http, containerPort: 8080, protocol: TCP}
            {{- end }}
            - {name: admin, containerPort: 9090, protocol: TCP}
          env:
            {{- include "sluice.fileSettings" . | nindent 12 }}
            {{- $settings := merge (dict "DRAIN_SECONDS" (.values.drainSeconds | toString)) .settings (include "sluice.settings" . | fromYaml) }}
            {{- range $name, $value := merge $settings .values.env }}
            - name: {{ $name }}
              value: {{ $value | quote }}
            {{- end }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          {{- include "sluice.probes" . | nindent 10 }}
          {{- with $preStop }}
          lifecycle:
            preStop:
              sleep: {seconds: {{ . }}}
          {{- end }}
      volumes:
        {{- include "sluice.volumes" . | nindent 8 }}
{{- end -}}

{{- /*
How many there are to be. What a scaler scales keeps the number that it has: left out, it would fall back to one when
autoscaling is switched on, and begin with one at the first install. Nothing where no cluster is asked (helm template,
GitOps): a number there would take the scaler's back with each synchronisation.
*/ -}}
{{- define "sluice.replicas" -}}
{{- if not .isScaled -}}
{{- .replicas -}}
{{- else if lookup "v1" "ServiceAccount" .root.Release.Namespace "default" -}}
{{- $live := lookup "apps/v1" "Deployment" .root.Release.Namespace (printf "%s-%s" (include "sluice.fullname" .root) .component) -}}
{{- max (int .replicas) (int (dig "spec" "replicas" 0 (default dict $live))) -}}
{{- end -}}
{{- end -}}

{{- define "sluice.settings" -}}
ADMIN_PORT: "9090"
APP_ENV: {{ .root.Values.appEnv | quote }}
LOG_LEVEL: {{ .root.Values.logLevel | quote }}
DATABASE_STATEMENT_CACHE: {{ not .root.Values.database.transactionPooler | quote }}
{{- if .isPublic }}
LISTEN_PORT: "8080"
{{- end }}
{{- with .values.poolSize }}
DATABASE_POOL_MAX_SIZE: {{ . | quote }}
{{- end }}
{{- if not .root.Values.nats.enabled }}
NATS_URL: ""
{{- else if eq .component "ingest" }}
STREAM_MAX_BYTES: {{ .root.Values.stream.maxBytes | int64 | quote }}
STREAM_MAX_AGE: {{ .root.Values.stream.maxAgeSeconds | int64 | quote }}
{{- with .root.Values.stream.replicas }}
STREAM_REPLICAS: {{ . | quote }}
{{- end }}
{{- end }}
{{- if eq .component "processor" }}
STREAM_GRACE_SECONDS: {{ .root.Values.nats.graceSeconds | quote }}
{{- end }}
{{- if and .root.Values.secrets.natsCa.key (not (has .component (list "reconciler" "console"))) }}
SSL_CERT_FILE: /run/sluice/nats-ca.crt
{{- end }}
{{- end -}}

{{- /* Liveness asks whether the event loop turns and is patient; readiness is red from SIGTERM on. No probe asks a database. */ -}}
{{- define "sluice.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 3
{{- end -}}

{{- /* nodeTaintsPolicy: a tainted control plane is no place that pods must be spread to. */ -}}
{{- define "sluice.spread" -}}
- topologyKey: {{ .key }}
  maxSkew: 1
  whenUnsatisfiable: {{ .unsatisfiable }}
  nodeTaintsPolicy: Honor
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- include "sluice.selectorLabels" . | nindent 6 }}
{{- end -}}

{{- /* The Deployment with the escape hatch `deployment` merged over it. */ -}}
{{- define "sluice.mergedDeployment" -}}
{{- $made := include "sluice.deployment" . | fromYaml -}}
{{- with $made.Error -}}{{- fail (printf "the Deployment of %s is no YAML: %s" $.component .) -}}{{- end -}}
{{- toYaml (mergeOverwrite $made (deepCopy .values.deployment)) -}}
{{- end -}}
