{{/* What the operator is told. */}}
{{- define "orion-operator.args" -}}
{{- $orion := .Values.orion }}
{{- $credentials := include "orion-operator.credentialsSecret" . }}
{{- $files := include "orion-operator.files" . }}
- run
- --operator-namespace={{ .Release.Namespace }}
{{- with .Values.watchNamespaces }}
- --watch-namespaces={{ join "," . }}
{{- end }}
{{- with .Values.watchLabelSelector }}
- {{ printf "--watch-label-selector=%s" . | quote }}
{{- end }}
{{- with .Values.instanceId }}
- {{ printf "--instance-id=%s" . | quote }}
{{- end }}
{{- if include "orion-operator.connects" . }}
{{- with $orion.url }}
- {{ printf "--orion-url=%s" . | quote }}
{{- end }}
{{- with $orion.pathPrefix }}
- {{ printf "--orion-path-prefix=%s" . | quote }}
{{- end }}
{{- if and $credentials (eq $orion.auth "token") }}
- --orion-token-file={{ $files }}/token
{{- end }}
{{- if eq $orion.auth "password" }}
- --orion-username-file={{ $files }}/username
- --orion-password-file={{ $files }}/password
{{- with $orion.loginPath }}
- {{ printf "--orion-login-path=%s" . | quote }}
{{- end }}
{{- with $orion.scopes }}
- {{ printf "--orion-scopes=%s" (join "," .) | quote }}
{{- end }}
{{- end }}
{{- if $orion.ca.existingSecret }}
- --orion-ca-file={{ $files }}/ca.crt
{{- end }}
{{- with $orion.timeout }}
- --orion-timeout={{ . }}
{{- end }}
{{- with $orion.rateLimit }}
- --orion-rate-limit={{ . }}
{{- end }}
{{- with $orion.ownership }}
- --ownership={{ . }}
{{- end }}
{{- with $orion.allowedNamespaces }}
- --default-connection-namespaces={{ join "," . }}
{{- end }}
{{- if $orion.allowAdoption }}
- --allow-adoption
{{- end }}
{{- end }}
{{- if .Values.allowInsecureConnections }}
- --allow-insecure-connections
{{- end }}
{{- if include "orion-operator.elects" . }}
- --leader-elect
- --leader-election-lease-duration={{ .Values.leaderElection.leaseDuration }}
- --leader-election-renew-deadline={{ .Values.leaderElection.renewDeadline }}
- --leader-election-retry-period={{ .Values.leaderElection.retryPeriod }}
{{- end }}
- --metrics-bind-address={{ ternary (printf ":%d" (int .Values.metrics.port)) "0" .Values.metrics.enabled }}
{{- if include "orion-operator.metricsSecure" . }}
- --metrics-secure
- --metrics-cert-path=/var/run/metrics
{{- end }}
- --health-probe-bind-address=:{{ .Values.probes.port }}
- --log-level={{ .Values.logLevel }}
- --log-format={{ .Values.logFormat }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* Where the files of the default connection are. */}}
{{- define "orion-operator.files" -}}
/etc/orion
{{- end }}

{{/*
Variables for what else is run in the pod, such as doctor by kubectl exec: it sees no arguments of the operator. Those that
say which Orion, which installation and which namespaces are told twice, unless extraEnv says them.
*/}}
{{- define "orion-operator.env" -}}
{{- $told := dict }}
{{- range include "orion-operator.args" . | fromYamlArray }}
{{- $words := regexSplit "=" . 2 }}
{{- $name := first $words | trimPrefix "--" | upper | replace "-" "_" | printf "ORION_OPERATOR_%s" }}
{{- if regexMatch "^--(orion-[a-z-]+|watch-namespaces|instance-id|allow-insecure-connections)=" . }}
{{- $_ := set $told $name (last $words) }}
{{- else if eq . "--allow-insecure-connections" }}
{{- $_ := set $told $name "true" }}
{{- end }}
{{- end }}
{{- range .Values.extraEnv }}
{{- $_ := unset $told .name }}
{{- end }}
{{- $env := list }}
{{- with .Values.orion.keys.url }}
{{- $from := dict "secretKeyRef" (dict "name" $.Values.orion.existingSecret "key" .) }}
{{- $env = append $env (dict "name" "ORION_OPERATOR_ORION_URL" "valueFrom" $from) }}
{{- end }}
{{- range $name, $value := $told }}
{{- $env = append $env (dict "name" $name "value" $value) }}
{{- end }}
{{- with concat $env .Values.extraEnv }}
{{- toYaml . }}
{{- end }}
{{- end }}
