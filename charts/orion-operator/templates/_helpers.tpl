{{- define "orion-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for the longest ending that is put on it. */}}
{{- define "orion-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- $name := include "orion-operator.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* ClusterRoles are of the cluster: two releases of one name, in two namespaces, must not share them. */}}
{{- define "orion-operator.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "orion-operator.fullname" .) }}
{{- end }}

{{- define "orion-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "orion-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "orion-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "orion-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: orion-operator
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "orion-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "orion-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: with serviceAccount.create false it must name one" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "orion-operator.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/* Credentials are in the values. */}}
{{- define "orion-operator.inlineCredentials" -}}
{{- if or .Values.orion.token .Values.orion.username .Values.orion.password }}true{{ end }}
{{- end }}

{{/* The Secret with the credentials of the default connection; empty if there are none. */}}
{{- define "orion-operator.credentialsSecret" -}}
{{- if .Values.orion.existingSecret }}
{{- .Values.orion.existingSecret }}
{{- else if include "orion-operator.inlineCredentials" . }}
{{- printf "%s-orion" (include "orion-operator.fullname" .) }}
{{- end }}
{{- end }}

{{/* Keys of it that are mounted. */}}
{{- define "orion-operator.credentialKeys" -}}
{{- $keys := .Values.orion.keys }}
{{- if not .Values.orion.existingSecret }}{{ $keys = dict "token" "token" "username" "username" "password" "password" }}{{ end }}
{{- if eq .Values.orion.auth "password" }}
{{- toYaml (list (dict "key" $keys.username "path" "username") (dict "key" $keys.password "path" "password")) }}
{{- else }}
{{- toYaml (list (dict "key" $keys.token "path" "token")) }}
{{- end }}
{{- end }}

{{/* One pod at a time works: as told, else where there are several, or several releases share the Webhooks. */}}
{{- define "orion-operator.elects" -}}
{{- $told := toString .Values.leaderElection.enabled }}
{{- $several := or (gt (int .Values.replicaCount) 1) (ne .Values.watchLabelSelector "") }}
{{- if or (eq $told "true") (and (ne $told "false") $several) }}true{{ end }}
{{- end }}

{{/* There is a default connection. */}}
{{- define "orion-operator.connects" -}}
{{- if or .Values.orion.url (and .Values.orion.existingSecret .Values.orion.keys.url) }}true{{ end }}
{{- end }}

{{/* Values that do not fit together. */}}
{{- define "orion-operator.check" -}}
{{- $orion := .Values.orion }}
{{- $connects := include "orion-operator.connects" . }}
{{- $inline := include "orion-operator.inlineCredentials" . }}
{{- if and (gt (int .Values.replicaCount) 1) (eq (toString .Values.leaderElection.enabled) "false") }}
{{- fail "replicaCount: more than one pod needs leader election: leave leaderElection.enabled alone, or set it to true" }}
{{- end }}
{{- if and $orion.existingSecret $inline }}
{{- fail "orion: existingSecret and credentials in values are both set: give one of them" }}
{{- end }}
{{- if and $orion.url $orion.keys.url }}
{{- fail "orion.url and orion.keys.url are both set: give one of them" }}
{{- end }}
{{- if and (not $connects) (or $orion.existingSecret $inline $orion.ca.existingSecret) }}
{{- fail "orion.url is missing: say which Orion the credentials are for" }}
{{- end }}
{{- if eq $orion.auth "password" }}
{{- if and $inline (or $orion.token (not $orion.username) (not $orion.password)) }}
{{- fail "orion.auth is password: give username and password, and no token" }}
{{- end }}
{{- if and $connects (not $orion.existingSecret) (not $inline) }}
{{- fail "orion.auth is password: give existingSecret, or username and password" }}
{{- end }}
{{- else }}
{{- if or $orion.username $orion.password }}
{{- fail "orion.username and orion.password need orion.auth: password" }}
{{- end }}
{{- if or $orion.loginPath $orion.scopes }}
{{- fail "orion.loginPath and orion.scopes need orion.auth: password" }}
{{- end }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}
{{- fail "metrics: serviceMonitor and podMonitor would both scrape the operator: enable one of them" }}
{{- end }}
{{- if and (include "orion-operator.metricsSecure" .) (not .Values.metrics.secure.certSecret) }}
{{- fail "metrics.secure needs certSecret: the name of a Secret with tls.crt and tls.key" }}
{{- end }}
{{- end }}

{{/* Whether the metrics are served over TLS, to those who may. */}}
{{- define "orion-operator.metricsSecure" -}}
{{- if and .Values.metrics.enabled .Values.metrics.secure.enabled }}true{{ end }}
{{- end }}

{{/* What a monitor needs to scrape over TLS. */}}
{{- define "orion-operator.monitorTls" -}}
{{- $secure := .Values.metrics.secure }}
{{- $ca := dict "secret" (dict "name" $secure.certSecret "key" "ca.crt") }}
{{- $name := printf "%s-metrics.%s.svc" (include "orion-operator.fullname" .) .Release.Namespace }}
scheme: https
tlsConfig:
  {{- $secure.tlsConfig | default (dict "ca" $ca "serverName" $name) | toYaml | nindent 2 }}
{{- end }}

{{/*
Whether an object of the Prometheus operator is rendered: (list $ <its values> <kind>).
With `helm template` Helm knows no CRDs of a cluster, so skipIfMissing leaves it out there: --api-versions or alwaysRender.
*/}}
{{- define "orion-operator.monitor" -}}
{{- $root := index . 0 }}{{ $values := index . 1 }}{{ $kind := index . 2 }}
{{- if $values.enabled }}
{{- if eq $values.renderMode "alwaysRender" }}true
{{- else if $root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" $kind) }}true
{{- else if eq $values.renderMode "failIfMissing" }}
{{- fail (printf "the cluster has no %s: install the CRDs of the Prometheus operator first" $kind) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The roles' subject. */}}
{{- define "orion-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "orion-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
