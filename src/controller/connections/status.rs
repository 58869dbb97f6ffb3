//! What the status of a connection says.

use jiff::Timestamp;

use super::handle::{ConnectionHandle, Standing};
use super::registry::Problem;
use crate::api::{Capabilities, ConnectionStatus, Readiness, Reason, Support, conditions};

/// What is to be said, apart from times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub readiness: Readiness,
    pub endpoint: Option<String>,
    pub capabilities: Vec<String>,
    pub generation: i64,
}

impl Said {
    /// The status that says so, next to what `known` has.
    pub(super) fn status(&self, known: Option<&ConnectionStatus>, now: Timestamp) -> ConnectionStatus {
        let old = known.map(|status| status.conditions.as_slice()).unwrap_or_default();
        ConnectionStatus {
            observed_generation: Some(self.generation),
            endpoint: self.endpoint.clone(),
            capabilities: self.capabilities.clone(),
            conditions: conditions(old, &self.readiness, self.generation, now),
        }
    }
}

/// What to say of a connection that `users` Webhooks keep from going, where it is going.
pub(super) fn readiness(
    problem: Option<&Problem>,
    handle: Option<&ConnectionHandle>,
    users: Option<usize>,
) -> Readiness {
    if let Some(users) = users {
        let webhooks =
            if users == 1 { "1 Webhook still uses it".to_owned() } else { format!("{users} Webhooks still use it") };
        let message = format!("{webhooks}: it goes when they are deleted");
        return Readiness { reason: Reason::Deleting, message, deleting: true };
    }
    if let Some(problem) = problem {
        return Readiness::new(problem.reason, problem.message.clone());
    }
    let Some(handle) = handle else { return progressing() };
    match handle.standing() {
        Standing::Good => Readiness::new(Reason::Synced, good(handle)),
        Standing::Unknown => progressing(),
        Standing::Failing(trouble) => Readiness::new(trouble.reason, trouble.message),
    }
}

fn good(handle: &ConnectionHandle) -> String {
    let host = handle.orion.endpoint().host();
    match handle.orion.capabilities().list {
        Support::Proven => format!("Orion at {host} answers and takes the credentials"),
        Support::Absent | Support::Unknown => format!(
            "Orion at {host} answers, and has no list of webhooks at this path: whether it takes the credentials shows with the first Webhook"
        ),
    }
}

/// It is not known yet.
fn progressing() -> Readiness {
    Readiness::new(Reason::Progressing, "Waiting for Orion to answer")
}

/// What Orion is known to be able to do.
pub(super) fn capabilities(known: Capabilities) -> Vec<String> {
    let Capabilities { list, get, put, patch, delete } = known;
    [("list", list), ("get", get), ("put", put), ("patch", patch), ("delete", delete)]
        .into_iter()
        .filter(|(_, support)| *support == Support::Proven)
        .map(|(name, _)| name.to_owned())
        .collect()
}
