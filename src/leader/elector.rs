//! The loop of leader election: take the Lease, renew it, let go of it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::Terms;
use super::decide::{Record, Step, decide};
use crate::api::FIELD_MANAGER;
use crate::controller::{ApiError, Clock, within};
use crate::fence::Fence;
use crate::health::Health;

/// The longest time to let go of a Lease.
const RELEASE: Duration = Duration::from_secs(3);

/// Why this process leads no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Another holds the Lease.
    Taken,
    /// It was not renewed in time: the apiserver did not answer, or this process stood still.
    Late,
    /// The loop that renews it broke, which is a bug.
    Broken,
}

/// What a try came to.
enum Standing {
    Leads,
    Waits(Duration),
    Lost,
}

/// One contender for one Lease.
pub struct Elector {
    leases: Api<Lease>,
    name: String,
    identity: String,
    terms: Terms,
    clock: Arc<dyn Clock>,
    fence: Fence,
    health: Arc<Health>,
    /// By this the Lease goes in `health`.
    path: String,
    /// The Lease as it was last seen or written, and since when it is so.
    seen: Option<(Lease, Duration)>,
    /// Whether it leads, as others hear it too.
    leads: watch::Sender<bool>,
    /// The last trouble with the apiserver that was told.
    told: Option<String>,
}

impl Elector {
    /// A contender. `client` is one that repeats nothing by itself, and best one that nobody else uses; `identity` is given
    /// to no other process, ever. `fence` is open while it leads; `health` hears whether the Lease can be read and written.
    #[must_use]
    #[allow(clippy::too_many_arguments, reason = "each is another thing, and there is one caller")]
    pub fn new(
        client: Client,
        namespace: &str,
        name: String,
        identity: String,
        terms: Terms,
        clock: Arc<dyn Clock>,
        fence: Fence,
        health: Arc<Health>,
    ) -> Self {
        let leases = Api::namespaced(client, namespace);
        let path = format!("the Lease {namespace}/{name}");
        Self {
            leases,
            name,
            identity,
            terms,
            clock,
            fence,
            health,
            path,
            seen: None,
            leads: watch::Sender::new(false),
            told: None,
        }
    }

    /// The name of the Lease.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this process leads, from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    fn is_leading(&self) -> bool {
        *self.leads.borrow()
    }

    /// Waits until this process leads.
    pub async fn acquire(&mut self) {
        loop {
            let wait = match self.turn().await {
                Ok(Standing::Leads) => {
                    info!(lease = self.name, identity = self.identity, "leads from now on");
                    return;
                }
                // Not longer than until it may be taken: a dead leader is replaced as soon as it can be.
                Ok(Standing::Waits(rest)) => self.jittered().min(rest + Duration::from_millis(20)),
                Ok(Standing::Lost) => self.jittered(),
                Err(error) => {
                    self.tell(&error);
                    self.jittered()
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Renews until it is lost; then nothing is changed any more, and whoever asked for this must end.
    pub async fn hold(&mut self) -> Lost {
        let lost = self.renew().await;
        self.leads.send_replace(false);
        self.fence.close();
        match lost {
            Lost::Taken => warn!(lease = self.name, "another process leads now"),
            Lost::Broken => {}
            Lost::Late => warn!(lease = self.name, "the Lease was not renewed in time: does the apiserver answer?"),
        }
        lost
    }

    async fn renew(&mut self) -> Lost {
        loop {
            let rest = self.fence.until().saturating_sub(self.clock.boot());
            tokio::time::sleep(self.terms.retry_period.min(rest)).await;
            // Looked at before anything is sent: a process that stood still must not come back with a write.
            if !self.fence.allows(self.clock.boot()) {
                return Lost::Late;
            }
            let rest = self.fence.until().saturating_sub(self.clock.boot());
            match tokio::time::timeout(rest, self.turn()).await {
                // A conflict while the Lease is still ours is seen again at the next try.
                Ok(Ok(Standing::Leads | Standing::Waits(_))) => {}
                Ok(Ok(Standing::Lost)) => return Lost::Taken,
                Ok(Err(error)) => self.tell(&error),
                Err(_) => return Lost::Late,
            }
        }
    }

    /// Lets go of the Lease, if this process holds it, so that another can lead at once. Call it when all work is done; it
    /// takes 3 s at most.
    pub async fn release(mut self) {
        self.fence.close();
        self.leads.send_replace(false);
        let Some((lease, _)) = self.seen.take() else { return };
        match tokio::time::timeout(RELEASE, self.let_go(lease)).await {
            Ok(Ok(())) => info!(lease = self.name, "let go of the Lease"),
            Ok(Err(error)) => warn!(lease = self.name, %error, "could not let go of the Lease; it ends by itself"),
            Err(_) => warn!(lease = self.name, "could not let go of the Lease in time; it ends by itself"),
        }
    }

    /// A write of ours may have been cut off, so that the Lease is newer than it is known to be: then it is read again.
    async fn let_go(&self, mut lease: Lease) -> Result<(), ApiError> {
        for _ in 0..2 {
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_ref() == Some(&self.identity) {
                spec.holder_identity = None;
                spec.lease_duration_seconds = Some(1);
                let parameters = parameters();
                match self.call("let go of the Lease", self.leases.replace(&self.name, &parameters, &lease)).await {
                    Err(ApiError::Changed) => {}
                    result => return result.map(drop),
                }
            }
            match self.read().await? {
                Some(found) => lease = found,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// One try: a write, and a read before it where what is known may be old.
    async fn turn(&mut self) -> Result<Standing, ApiError> {
        if let Some((lease, _)) = self.seen.clone().filter(|_| self.is_leading()) {
            match self.write(Some(lease), false).await {
                Err(ApiError::Changed) => {}
                result => return result,
            }
        }
        let found = self.read().await?;
        let now = self.clock.boot();
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        let known = self.seen.take();
        self.seen = found.map(|lease| {
            let since = known.filter(|(known, _)| version(known) == version(&lease)).map_or(now, |(_, since)| since);
            (lease, since)
        });
        let record = self.seen.as_ref().map(|(lease, _)| self.record(lease));
        let unchanged_for = self.seen.as_ref().map_or(Duration::ZERO, |(_, since)| now.saturating_sub(*since));
        let lease = self.seen.as_ref().map(|(lease, _)| lease.clone());
        let step = decide(record.as_ref(), &self.identity, self.is_leading(), unchanged_for);
        debug!(lease = self.name, ?step, "looked at the Lease");
        let written = match step {
            Step::Create => match self.write(None, true).await {
                // Either somebody was faster, or there is no namespace to make it in.
                Err(ApiError::Changed) if self.read().await?.is_none() => {
                    return Err(ApiError::Refused { what: "create the Lease", reason: "NotFound".into(), code: 404 });
                }
                written => written,
            },
            Step::Take => self.write(lease, true).await,
            Step::Renew => self.write(lease, false).await,
            Step::Wait(rest) => return Ok(Standing::Waits(rest)),
            Step::Lost => return Ok(Standing::Lost),
        };
        match written {
            // Somebody was faster.
            Err(ApiError::Changed) => Ok(Standing::Waits(self.terms.retry_period)),
            result => result,
        }
    }

    /// Writes that we hold it. What is counted from is the time before the write: others count from when they see it.
    async fn write(&mut self, lease: Option<Lease>, takes: bool) -> Result<Standing, ApiError> {
        let begun = self.clock.boot();
        let spec = self.spec(lease.as_ref().and_then(|lease| lease.spec.as_ref()), takes);
        let parameters = parameters();
        let written = match lease {
            Some(mut lease) => {
                lease.spec = Some(spec);
                self.call("write the Lease", self.leases.replace(&self.name, &parameters, &lease)).await?
            }
            None => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                let lease = Lease { metadata, spec: Some(spec) };
                self.call("create the Lease", self.leases.create(&parameters, &lease)).await?
            }
        };
        self.seen = Some((written, begun));
        let is_news = self.leads.send_if_modified(|leads| !std::mem::replace(leads, true));
        self.told = None;
        // One that is over stays so, whatever comes late.
        if is_news || self.fence.allows(self.clock.boot()) {
            self.fence.move_to(begun + self.terms.renew_deadline);
        }
        Ok(Standing::Leads)
    }

    async fn read(&self) -> Result<Option<Lease>, ApiError> {
        self.call("read the Lease", self.leases.get_opt(&self.name)).await
    }

    fn spec(&self, old: Option<&LeaseSpec>, takes: bool) -> LeaseSpec {
        let now = MicroTime(self.clock.wall());
        let changes_hands = takes && old.is_some();
        let old = old.cloned().unwrap_or_default();
        let transitions = old.lease_transitions.unwrap_or_default();
        let seconds = self.terms.lease_duration.as_secs();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
            renew_time: Some(now.clone()),
            acquire_time: if takes { Some(now) } else { old.acquire_time },
            lease_transitions: Some(if changes_hands { transitions.saturating_add(1) } else { transitions }),
            ..LeaseSpec::default()
        }
    }

    fn record(&self, lease: &Lease) -> Record {
        let spec = lease.spec.as_ref();
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
        Record {
            holder: spec.and_then(|spec| spec.holder_identity.clone()),
            duration: seconds.map_or(self.terms.lease_duration, Duration::from_secs),
        }
    }

    async fn call<T>(
        &self,
        what: &'static str,
        future: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ApiError> {
        let result = within(self.terms.call(), what, future).await;
        let works = matches!(result, Ok(_) | Err(ApiError::Changed));
        self.health.watched(&self.path, works);
        result
    }

    /// Tells trouble once, and again when it is another one.
    fn tell(&mut self, error: &ApiError) {
        let text = match error {
            ApiError::Refused { code: 401 | 403, .. } => format!(
                "{error}. The ServiceAccount needs get, create and update on Leases of --operator-namespace: see examples/install/rbac.yaml"
            ),
            ApiError::Refused { code: 404, .. } => {
                format!("{error}. Is there no namespace of this name? Check --operator-namespace")
            }
            ApiError::Changed | ApiError::Refused { .. } | ApiError::Timeout { .. } | ApiError::Unreachable { .. } => {
                error.to_string()
            }
        };
        // A namespace that is missing is no trouble of a call.
        self.health.watched(&self.path, false);
        if self.told.as_ref() != Some(&text) {
            warn!(lease = self.name, "{text}");
            self.told = Some(text);
        }
    }

    /// The retry period, up to a fifth longer: contenders must not come all at once.
    fn jittered(&self) -> Duration {
        let more = StdRng::seed_from_u64(self.clock.random()).random_range(0.0..0.2);
        self.terms.retry_period.mul_f64(1.0 + more)
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
