//! Leader election as `run` has it: its flags, and the electors that they ask for.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;
use kube::{Client, Config};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::run::RunError;
use crate::api::parse_duration;
use crate::controller::SystemClock;
use crate::fence::Fence;
use crate::leader::{Elector, Lost, Office, Terms, lease_name};

/// Arguments of leader election.
#[derive(Args, Debug, Clone)]
pub struct ElectionArgs {
    /// Work only while holding a Lease, so that several processes may run. Each scope and selector has its own
    #[arg(long, env = "ORION_OPERATOR_LEADER_ELECT", value_parser = FalseyValueParser::new())]
    pub leader_elect: bool,
    /// How long others wait for a word of the leader before one of them takes over
    #[arg(long, env = "ORION_OPERATOR_LEADER_ELECTION_LEASE_DURATION", value_name = "DURATION", default_value = "15s", value_parser = parse_duration)]
    pub leader_election_lease_duration: Duration,
    /// How long the leader tries to renew its Lease before it ends
    #[arg(long, env = "ORION_OPERATOR_LEADER_ELECTION_RENEW_DEADLINE", value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub leader_election_renew_deadline: Duration,
    /// Time between two tries to take or renew the Lease
    #[arg(long, env = "ORION_OPERATOR_LEADER_ELECTION_RETRY_PERIOD", value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    pub leader_election_retry_period: Duration,
}

impl ElectionArgs {
    /// The times, where leaders are elected.
    ///
    /// # Errors
    /// They do not fit together.
    pub(super) fn terms(&self) -> Result<Option<Terms>, RunError> {
        let terms = Terms {
            lease_duration: self.leader_election_lease_duration,
            renew_deadline: self.leader_election_renew_deadline,
            retry_period: self.leader_election_retry_period,
        };
        self.leader_elect.then(|| terms.check().map_err(RunError::Election)).transpose()
    }
}

/// What Leases are about: where they are, and for which part of the work.
pub(super) struct Electorate {
    pub config: Config,
    pub namespace: String,
    pub watched: Option<BTreeSet<String>>,
    pub selector: Option<String>,
    pub terms: Terms,
}

impl Electorate {
    /// A contender for an office, with a connection to the apiserver of its own: renewals must not wait behind the work.
    ///
    /// # Errors
    /// The client cannot be made.
    pub(super) fn elector(&self, office: Office, fence: Fence) -> Result<Elector, kube::Error> {
        let client = Client::try_from(self.config.clone())?;
        let name = lease_name(office, self.watched.as_ref(), self.selector.as_deref());
        let clock = Arc::new(SystemClock);
        Ok(Elector::new(client, &self.namespace, name, identity(), self.terms, clock, fence))
    }

    /// Contends for speaking for the connections, over and over until `stop`, and lets go then.
    ///
    /// # Errors
    /// The client cannot be made.
    pub(super) fn speak(&self, stop: CancellationToken) -> Result<watch::Receiver<bool>, kube::Error> {
        let mut elector = self.elector(Office::Connections, Fence::closed())?;
        let (says, speaks) = watch::channel(false);
        tokio::spawn(async move {
            let terms = async {
                loop {
                    elector.acquire().await;
                    says.send_replace(true);
                    elector.hold().await;
                    says.send_replace(false);
                }
            };
            if stop.run_until_cancelled(terms).await.is_none() {
                elector.release().await;
            }
        });
        Ok(speaks)
    }
}

/// Renews until it is lost; for ever where nobody is elected.
pub(super) async fn hold(elector: Option<&mut Elector>) -> Lost {
    match elector {
        Some(elector) => elector.hold().await,
        None => pending().await,
    }
}

/// A name that no other process ever has. It begins with the pod's, for people.
fn identity() -> String {
    let pod = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME"));
    format!("{}_{:016x}", pod.unwrap_or_else(|_| "orion-operator".into()), rand::random::<u64>())
}
