//! A connection that is an object: its name, and what is told of it. Pure.

use std::fmt;
use std::str::FromStr;

use super::cluster::APPLY;
use super::line::{Check, Line};
use crate::api::{ConnectionStatus, ready_condition};

/// An OrionConnection with its namespace, or a ClusterOrionConnection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionPath {
    /// The namespace, of an OrionConnection.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl FromStr for ConnectionPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, text),
        };
        if name.is_empty() || name.contains('/') || namespace.as_ref().is_some_and(String::is_empty) {
            return Err("it must be NAMESPACE/NAME of an OrionConnection, or NAME of a ClusterOrionConnection");
        }
        Ok(Self { namespace, name: name.to_owned() })
    }
}

impl fmt::Display for ConnectionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "OrionConnection {namespace}/{}", self.name),
            None => write!(f, "ClusterOrionConnection {}", self.name),
        }
    }
}

/// What was read of it.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    There {
        url: String,
        status: Option<ConnectionStatus>,
    },
    Missing,
    /// The apiserver does not know its kind.
    NoDefinition,
    Forbidden,
    Failed(String),
}

/// What is told of the object.
pub(super) fn told(path: &ConnectionPath, seen: &Seen) -> Line {
    let check = Check::Connection;
    match seen {
        Seen::There { url, status } => {
            let found = format!("{path} is for {url}");
            let ready = status.as_ref().and_then(|status| ready_condition(&status.conditions));
            match ready {
                None => Line::warn(
                    check,
                    format!("{found}; no operator has said anything of it"),
                    "See whether the operator runs, and watches this namespace",
                ),
                Some(ready) if ready.status == "True" => {
                    Line::ok(check, format!("{found}; the operator finds it Ready"))
                }
                Some(ready) => Line::warn(
                    check,
                    format!("{found}; the operator finds it not Ready: {}", ready.reason),
                    ready.message.clone(),
                ),
            }
        }
        Seen::Missing => Line::fail(
            check,
            format!("there is no {path}"),
            "Create it, or correct the name: kubectl get oconn,coconn -A",
        ),
        Seen::NoDefinition => Line::fail(
            check,
            format!(
                "this cluster does not know the kind of the {path}: the operator's definitions are not installed here"
            ),
            format!("Install them: {APPLY}; or give another --kubeconfig"),
        ),
        Seen::Forbidden => Line::fail(
            check,
            format!("you may not read the {path}"),
            "Use a kubeconfig of somebody who may get connections and their Secrets",
        ),
        Seen::Failed(why) => Line::fail(check, why, "Run this again"),
    }
}

/// Its spec or its Secrets do not make a connection. `why` says what to do in its last sentence.
pub(super) fn unusable(why: &str) -> Line {
    let (found, todo) = why.split_once(". ").unwrap_or((why, "Correct it"));
    Line::fail(Check::Connection, found, todo.trim_end_matches("; it is seen at once"))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::super::line::Status;
    use super::*;

    #[test]
    fn a_connection_has_a_namespace_or_none() {
        let path =
            |namespace: Option<&str>| ConnectionPath { namespace: namespace.map(str::to_owned), name: "acme".into() };
        assert_eq!("team-a/acme".parse(), Ok(path(Some("team-a"))));
        assert_eq!("acme".parse(), Ok(path(None)));
        for text in ["", "/", "/acme", "team-a/", "a/b/c"] {
            assert!(text.parse::<ConnectionPath>().is_err(), "{text}");
        }
        assert_eq!(path(Some("team-a")).to_string(), "OrionConnection team-a/acme");
        assert_eq!(path(None).to_string(), "ClusterOrionConnection acme");
    }

    #[test]
    fn the_object_is_told() {
        let ready = |status: &str| ConnectionStatus {
            conditions: vec![Condition {
                type_: "Ready".into(),
                status: status.into(),
                reason: "Unauthorized".into(),
                message: "Correct the token".into(),
                last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
                observed_generation: None,
            }],
            ..ConnectionStatus::default()
        };
        let there = |status| Seen::There { url: "https://acme.example.com".into(), status };
        let path: ConnectionPath = "team-a/acme".parse().unwrap();
        use Status::{Fail, Ok as Good, Warn};
        for (seen, status, words) in [
            (there(Some(ready("True"))), Good, "finds it Ready"),
            (there(Some(ready("False"))), Warn, "not Ready: Unauthorized"),
            (there(None), Warn, "no operator has said"),
            (Seen::Missing, Fail, "there is no OrionConnection team-a/acme"),
            (Seen::NoDefinition, Fail, "does not know the kind of the OrionConnection team-a/acme"),
            (Seen::Forbidden, Fail, "may not read"),
            (Seen::Failed("no answer".into()), Fail, "no answer"),
        ] {
            let line = told(&path, &seen);
            assert!(line.status == status && line.found.contains(words), "{words}: {line:?}");
        }
        let line = unusable("The Secret orion has no key token. Put it in; it is seen at once");
        assert_eq!(
            (line.found.as_str(), line.todo.as_deref()),
            ("The Secret orion has no key token", Some("Put it in"))
        );
    }
}
