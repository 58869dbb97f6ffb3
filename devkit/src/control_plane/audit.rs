//! Who asked kube-apiserver for what: its audit log, read back.

use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// Every request is logged without bodies, once it is answered (a watch also when it starts).
pub(crate) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
";

/// One request to kube-apiserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// `ResponseComplete`; `ResponseStarted` for a watch that has begun; `Panic`.
    pub stage: String,
    /// Who asked, such as `system:serviceaccount:orion:operator`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Path and query as sent.
    pub request_uri: String,
    /// API group of the object; empty for the core group and for what is no resource (such as `/readyz`).
    pub api_group: String,
    /// Plural name of the kind, such as `webhooks`; empty for what is no resource.
    pub resource: String,
    /// Such as `status`; empty if there is none.
    pub subresource: String,
    /// Empty for cluster-scoped objects and for requests across namespaces.
    pub namespace: String,
    /// Empty if the request names no object (a list, or a create).
    pub name: String,
    /// The client's `User-Agent`.
    pub user_agent: String,
    /// HTTP status code; 0 if the log has none.
    pub code: u16,
    /// When this stage was reached.
    pub timestamp: Timestamp,
}

impl AuditEvent {
    /// It is more than a look: `get`, `list` and `watch` change nothing.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    stage: String,
    stage_timestamp: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    #[serde(default)]
    user_agent: String,
    user: RawUser,
    #[serde(default)]
    object_ref: RawObject,
    #[serde(default)]
    response_status: RawStatus,
}

#[derive(Deserialize)]
struct RawUser {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawObject {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawStatus {
    code: u16,
}

impl TryFrom<Raw> for AuditEvent {
    type Error = jiff::Error;

    fn try_from(raw: Raw) -> Result<Self, jiff::Error> {
        Ok(Self {
            timestamp: raw.stage_timestamp.parse()?,
            stage: raw.stage,
            user: raw.user.username,
            verb: raw.verb,
            request_uri: raw.request_uri,
            api_group: raw.object_ref.api_group,
            resource: raw.object_ref.resource,
            subresource: raw.object_ref.subresource,
            namespace: raw.object_ref.namespace,
            name: raw.object_ref.name,
            user_agent: raw.user_agent,
            code: raw.response_status.code,
        })
    }
}

/// Reads all events that a log file holds so far, in the order of the log.
///
/// # Errors
/// If the file cannot be read or a line is no audit event.
pub fn events(log: &Path) -> Result<Vec<AuditEvent>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("cannot read the audit log {}", log.display()))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<AuditEvent>> {
    // A last line without its end is still being written.
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    complete
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let raw: Raw = serde_json::from_str(line).with_context(|| format!("not an audit event: {line}"))?;
            Ok(AuditEvent::try_from(raw)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete","requestURI":"/apis/x.io/v1/namespaces/n/webhooks/w/status?fieldManager=m","verb":"patch","user":{"username":"system:serviceaccount:n:op","groups":["g"]},"sourceIPs":["127.0.0.1"],"userAgent":"op/1","objectRef":{"resource":"webhooks","namespace":"n","name":"w","apiGroup":"x.io","apiVersion":"v1","subresource":"status"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-01-02T03:04:05.000006Z","stageTimestamp":"2026-01-02T03:04:05.123456Z"}"#;

    #[test]
    fn an_event_is_read() {
        let events = parse(&format!("{LINE}\n")).unwrap();
        assert_eq!(
            events,
            [AuditEvent {
                stage: "ResponseComplete".into(),
                user: "system:serviceaccount:n:op".into(),
                verb: "patch".into(),
                request_uri: "/apis/x.io/v1/namespaces/n/webhooks/w/status?fieldManager=m".into(),
                api_group: "x.io".into(),
                resource: "webhooks".into(),
                subresource: "status".into(),
                namespace: "n".into(),
                name: "w".into(),
                user_agent: "op/1".into(),
                code: 200,
                timestamp: "2026-01-02T03:04:05.123456Z".parse().unwrap(),
            }]
        );
    }

    #[test]
    fn a_line_still_being_written_is_left_for_later() {
        assert_eq!(parse(&format!("{LINE}\n{{\"kind\":")).unwrap().len(), 1);
        assert!(parse("{\"kind\":").unwrap().is_empty());
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn a_request_without_an_object_is_read() {
        let line = r#"{"stage":"ResponseComplete","requestURI":"/readyz","verb":"get","user":{"username":"admin"},"stageTimestamp":"2026-01-02T03:04:05Z"}"#;
        let events = parse(&format!("{line}\n")).unwrap();
        assert_eq!((events[0].resource.as_str(), events[0].code), ("", 0));
    }
}
