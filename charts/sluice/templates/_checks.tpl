{{- /* Every reason why these values cannot work, one sentence each, all at once. */ -}}
{{- define "sluice.faults" -}}
{{- include "sluice.secretFaults" . }}
{{- include "sluice.scaleFaults" . }}
{{- include "sluice.connectionFaults" . }}
{{- include "sluice.exposureFaults" . }}
{{- end -}}

{{- define "sluice.secretFaults" -}}
{{- $wanted := list "ingestDatabaseUrl" "processorDatabaseUrl" "healthdDatabaseUrl" "stripeWebhookSecret" -}}
{{- if .Values.nats.enabled -}}
{{- range list "ingestNatsUrl" "processorNatsUrl" "healthdNatsUrl" -}}
{{- if not (get $.Values.secrets . | default dict).key -}}{{- $wanted = append $wanted "natsUrl" | uniq -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.migration.enabled -}}{{- $wanted = append $wanted "migrationDatabaseUrl" -}}{{- end -}}
{{- if (.Values.maintenance | default dict).enabled -}}{{- $wanted = append $wanted "maintainerDatabaseUrl" -}}{{- end -}}
{{- if .Values.processor.autoscaling -}}{{- $wanted = append $wanted "kedaDatabaseUrl" -}}{{- end -}}
{{- if (.Values.reconciler | default dict).enabled -}}{{- $wanted = concat $wanted (list "reconcilerDatabaseUrl" "stripeApiKey") -}}{{- end -}}
{{- if (.Values.console | default dict).enabled -}}{{- $wanted = append $wanted "consoleDatabaseUrl" -}}{{- end -}}
{{- range $wanted }}
{{- $secret := get $.Values.secrets . }}
{{- if not (or $secret.name $.Values.secrets.name) }}
- No Secret is named for {{ . }}: set secrets.name, or secrets.{{ . }}.name.
{{- end }}
{{- end }}
{{- range list "stripeSecretKey" "databaseCa" "natsCa" "ingestNatsUrl" "processorNatsUrl" "healthdNatsUrl" }}
{{- $secret := get $.Values.secrets . | default dict }}
{{- if and $secret.key (not (or $secret.name $.Values.secrets.name)) }}
- No Secret is named for {{ . }}: set secrets.name, or secrets.{{ . }}.name, or leave secrets.{{ . }}.key empty.
{{- end }}
{{- end }}
{{- end -}}

{{- define "sluice.scaleFaults" -}}
{{- range list "ingest" "processor" }}
{{- $values := get $.Values . }}
{{- if gt (int $values.minReplicas) (int $values.maxReplicas) }}
- {{ . }}.minReplicas ({{ $values.minReplicas }}) is above {{ . }}.maxReplicas ({{ $values.maxReplicas }}): raise the latter.
{{- end }}
{{- end }}
{{- with .Values.processor }}
{{- if and .autoscaling (gt (int .fallbackReplicas) (int .maxReplicas)) }}
- processor.fallbackReplicas ({{ .fallbackReplicas }}) is above processor.maxReplicas ({{ .maxReplicas }}): lower the former.
{{- end }}
{{- end }}
{{- end -}}

{{- /* What PostgreSQL must bear at worst: every replica and the one of a rolling update, each its pool and its error log. */ -}}
{{- define "sluice.connections" -}}
{{- $ingest := mul (add (include "sluice.mostReplicas" .Values.ingest) 1) (add .Values.ingest.poolSize 1) -}}
{{- $processor := mul (add (include "sluice.mostReplicas" .Values.processor) 1) (add .Values.processor.poolSize 1) -}}
{{- $healthd := mul (add .Values.healthd.replicas 1) 2 -}}
{{- $keda := ternary 2 0 .Values.processor.autoscaling -}}
{{- $reconciler := 0 -}}
{{- with .Values.reconciler -}}{{- if .enabled -}}{{- $reconciler = mul (add .replicas 1) (add .poolSize 1) -}}{{- end -}}{{- end -}}
{{- $console := 0 -}}
{{- with .Values.console -}}{{- if .enabled -}}{{- $console = mul 2 (add .poolSize 1) -}}{{- end -}}{{- end }}
ingest: {{ $ingest }}
processor: {{ $processor }}
healthd: {{ $healthd }}
migration: 2
keda: {{ $keda }}
reconciler: {{ $reconciler }}
maintenance: {{ ternary 1 0 (eq true (.Values.maintenance | default dict).enabled) }}
console: {{ $console }}
test: 1
total: {{ add $ingest $processor $healthd 2 $keda $reconciler $console 1 (ternary 1 0 (eq true (.Values.maintenance | default dict).enabled)) }}
{{- end -}}

{{- define "sluice.mostReplicas" -}}
{{- ternary .maxReplicas .minReplicas .autoscaling | int -}}
{{- end -}}

{{- define "sluice.connectionFaults" -}}
{{- $need := include "sluice.connections" . | fromYaml -}}
{{- $room := sub .Values.database.maxConnections .Values.database.reservedConnections -}}
{{- if gt (int $need.total) (int $room) }}
- PostgreSQL has too few connections: ingest may open {{ $need.ingest }} (replicas and one of a rolling update, each its pool and one), processor {{ $need.processor }}, healthd {{ $need.healthd }}, migration {{ $need.migration }}, KEDA {{ $need.keda }}, reconciler {{ $need.reconciler }}, console {{ $need.console }}, maintenance {{ $need.maintenance }}, helm test {{ $need.test }}, together {{ $need.total }}; database.maxConnections less database.reservedConnections leaves {{ $room }}. Lower maxReplicas or poolSize, or raise max_connections and tell database.maxConnections.
{{- end }}
{{- end -}}

{{- define "sluice.exposureFaults" -}}
{{- with .Values.console -}}
{{- if and .enabled .proxy.userHeader (not (and .proxy.addresses .proxy.hosts (or .proxy.operators .proxy.viewers))) }}
- console.proxy.userHeader needs console.proxy.addresses, console.proxy.hosts, and users in console.proxy.operators or console.proxy.viewers.
{{- end }}
{{- if and .enabled .proxy.userHeader $.Values.networkPolicy.enabled (not $.Values.networkPolicy.consoleFrom) }}
- networkPolicy.consoleFrom is empty: your proxy could not reach the console. Name its pods or namespace.
{{- end }}
{{- end -}}
{{- $isProduction := eq (lower .Values.appEnv) "production" -}}
{{- $isPublic := or .Values.ingress.enabled .Values.gateway.enabled -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
- ingress.enabled needs ingress.hosts: without a host the Ingress would answer for every name.
{{- end }}
{{- if and .Values.ingress.enabled $isProduction (not .Values.ingress.tls) (not .Values.ingress.tlsTerminatedInFront) }}
- In production Stripe calls https alone: set ingress.tls, or ingress.tlsTerminatedInFront where a load balancer has the certificate.
{{- end }}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) }}
- gateway.enabled needs gateway.parentRefs: the Gateway that the route hangs on.
{{- end }}
{{- if and .Values.networkPolicy.enabled $isPublic (not .Values.networkPolicy.ingressFrom) }}
- networkPolicy.ingressFrom is empty: no client could reach the public ports. Name your ingress controller's pods or namespace.
{{- end }}
{{- if and $isProduction $isPublic .Values.healthd.details }}
- healthd.details in production would tell the world of backlog and replicas: leave it false; the admin port has them.
{{- end }}
{{- if and $isProduction .Values.liveUpdate }}
- liveUpdate makes the root file system writable and follows changed sources: set appEnv to another name than production, or liveUpdate to false.
{{- end }}
{{- end -}}
