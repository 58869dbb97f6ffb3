//! Leader election as `run` has it: its flags, and the electors that they ask for.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;
use kube::Config;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::run::RunError;
use crate::api::parse_duration;
use crate::apiserver;
use crate::controller::{SystemClock, pod_name};
use crate::fence::Fence;
use crate::health::Health;
use crate::leader::{Elector, Lost, Office, Terms, lease_name};
use crate::metrics::Metrics;

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
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

impl Electorate {
    /// A contender for an office, with a connection to the apiserver of its own: renewals must not wait behind the work.
    ///
    /// # Errors
    /// The client cannot be made.
    pub(super) fn elector(&self, office: Office, fence: Fence) -> Result<Elector, kube::Error> {
        let client = apiserver::client(self.config.clone(), &self.metrics, &Fence::open(), None)?;
        let name = lease_name(office, self.watched.as_ref(), self.selector.as_deref());
        let clock = Arc::new(SystemClock);
        let health = Arc::clone(&self.health);
        let elector = Elector::new(client, &self.namespace, name, identity(), self.terms, clock, fence, health);
        let (mut leads, name, metrics) = (elector.watch(), elector.name().to_owned(), Arc::clone(&self.metrics));
        tokio::spawn(async move {
            loop {
                metrics.leading(&name, *leads.borrow_and_update());
                if leads.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(elector)
    }

    /// Contends for speaking for the connections, over and over until [`Speaker::end`].
    ///
    /// # Errors
    /// The client cannot be made.
    pub(super) fn speak(&self) -> Result<(Speaker, watch::Receiver<bool>), kube::Error> {
        let mut elector = self.elector(Office::Connections, Fence::closed())?;
        let speaks = elector.watch();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let terms = async {
                loop {
                    elector.acquire().await;
                    elector.hold().await;
                }
            };
            stopped.run_until_cancelled(terms).await;
            elector.release().await;
        });
        Ok((Speaker { stop, task }, speaks))
    }
}

/// Who speaks for the connections, or would.
pub(super) struct Speaker {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Speaker {
    /// Lets go, so that another can speak at once.
    pub(super) async fn end(self) {
        self.stop.cancel();
        let _it_broke = self.task.await.is_err();
    }

    /// Ends when the task breaks, which it never should.
    pub(super) async fn broke(&mut self) {
        let _ended = (&mut self.task).await;
    }
}

/// What this process holds.
pub(super) struct Offices {
    pub elector: Option<Elector>,
    pub speaker: Option<Speaker>,
}

impl Offices {
    /// Renews until it leads no longer; for ever where nobody is elected.
    pub(super) async fn lost(&mut self) -> Lost {
        let broke = async {
            match &mut self.speaker {
                Some(speaker) => speaker.broke().await,
                None => pending().await,
            }
        };
        let lost = async {
            match &mut self.elector {
                Some(elector) => elector.hold().await,
                None => pending().await,
            }
        };
        tokio::select! {
            lost = lost => lost,
            () = broke => Lost::Broken,
        }
    }

    /// Lets go of all of them.
    pub(super) async fn release(self) {
        let speaker = async {
            if let Some(speaker) = self.speaker {
                speaker.end().await;
            }
        };
        let elector = async {
            if let Some(elector) = self.elector {
                elector.release().await;
            }
        };
        tokio::join!(speaker, elector);
    }
}

/// A name that no other process ever has. It begins with the pod's, for people.
fn identity() -> String {
    format!("{}_{:016x}", pod_name().unwrap_or_else(|| "orion-operator".into()), rand::random::<u64>())
}
