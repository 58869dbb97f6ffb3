//! The operator as a process: begins a reconcile, plans, and does what touches nothing outside of it. What the rest of
//! the world can see is left to `effects`, one step at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;

use crate::api::{Owner, Webhook};
use crate::config::Config;
use crate::mutant::Mutant;
use crate::plan::{
    Connection, ConnectionFacts, Memory, Others, Round, SecretValues, Settings, Settlement, Step, View, plan,
};
use crate::state::{self, FLOOR, NOW, Process, Running, State, TICK, Work};

/// What every view of a run shares.
pub(crate) struct Shared {
    pub settings: Settings,
    pub connection: ConnectionFacts,
    pub owners: Vec<Owner>,
}

impl Shared {
    pub(crate) fn new(config: &Config) -> Self {
        let connection = ConnectionFacts {
            endpoint: state::endpoint(),
            capabilities: config.capabilities(),
            ownership: !config.has(Mutant::NoMarker),
            // Where no marker is shown, an edited spec takes an administrator's leave to be told what is its own.
            adoption: config.masked,
            timeout: Duration::ZERO,
            trouble: None,
            markers_survive: false,
            proven: true,
            credentials: 0,
            recoveries: 0,
            last_list: None,
            begun: Duration::ZERO,
        };
        Self { settings: state::settings(), connection, owners: (0..config.webhooks).map(state::owner).collect() }
    }
}

/// A process at work on one Webhook, in a state that nobody else has yet.
pub(crate) struct Actor<'a> {
    pub config: &'a Config,
    pub shared: &'a Shared,
    pub state: State,
    pub process: Process,
    pub place: usize,
    pub number: usize,
}

impl<'a> Actor<'a> {
    pub(crate) fn new(config: &'a Config, shared: &'a Shared, state: &State, place: usize, number: usize) -> Self {
        let (state, process) = (state.clone(), Process::clone(&state.processes[place]));
        Self { config, shared, state, process, place, number }
    }

    pub(crate) fn fork(&self) -> Self {
        let (state, process) = (self.state.clone(), self.process.clone());
        Self { state, process, ..*self }
    }

    pub(crate) fn finish(mut self) -> State {
        self.state.processes[self.place] = Arc::new(self.process);
        self.state.sealed()
    }

    pub(crate) fn work(&mut self) -> &mut Work {
        &mut self.process.work[self.number]
    }

    pub(crate) fn running(&mut self) -> &mut Running {
        self.work().running.as_mut().expect("a reconcile is on its way")
    }

    /// Begins a reconcile with this version of the object, unless our own last write is newer.
    pub(crate) fn begin(&mut self, cached: Arc<Webhook>) {
        let reads_once = self.config.has(Mutant::ReadsOnce);
        let uid = cached.uid().unwrap_or_default();
        let work = self.work();
        work.cached = work.cached.max(state::version(&cached));
        if work.uid != uid {
            *work = Work { uid, cached: work.cached, ..Work::default() };
        }
        let webhook = match work.latest.take() {
            Some(latest) if state::version(&latest) > state::version(&cached) => {
                work.latest = Some(Arc::clone(&latest));
                latest
            }
            Some(_) | None => cached,
        };
        let leftover = work.leftover.take().filter(|_| reads_once);
        let round = leftover.map(|leftover| *leftover).unwrap_or_default();
        work.running = Some(Box::new(Running { webhook, round, fresh: false, asleep: None }));
    }

    pub(crate) fn end(&mut self, seen: Option<u64>) {
        let reads_once = self.config.has(Mutant::ReadsOnce);
        let work = self.work();
        if let Some(running) = work.running.take().filter(|_| reads_once) {
            work.leftover = Some(Box::new(Round { remote: running.round.remote, ..Round::default() }));
        }
        work.seen = seen.or(work.seen);
    }

    /// Ends with an error: tried again at once.
    pub(crate) fn fail(&mut self) {
        let now = self.process.now();
        self.end(None);
        self.work().wake = Some(now);
    }

    /// What is to be done next that others can see, after everything that they cannot. `None`: the reconcile is over.
    pub(crate) fn next(&mut self) -> Option<Step> {
        for _ in 0..64 {
            let step = self.plan();
            match step {
                Step::ReadSecrets => {
                    let running = self.running();
                    running.round.secret_versions = Some(BTreeMap::new());
                    running.round.secrets = Some(Ok(SecretValues { headers: Vec::new(), versions: Vec::new() }));
                }
                Step::Prepare => self.running().round.prepared = Some(Ok(())),
                Step::LookAtOthers => {
                    let stored = self.state.objects.len();
                    self.running().round.others = Some(Others { looked_at: 0, gone: 0, gone_in_all: 1, stored });
                }
                Step::LookAtNamespace => self.running().round.namespace_is_terminating = Some(false),
                Step::Settle(ref settlement) if self.running().webhook.status.as_ref() == Some(&settlement.status) => {
                    self.settled(settlement, true);
                    return None;
                }
                Step::Settle(_)
                | Step::Refresh
                | Step::Get { .. }
                | Step::List { .. }
                | Step::BeginAttempt { .. }
                | Step::Hold
                | Step::ClearResolve
                | Step::Post { .. }
                | Step::Update { .. }
                | Step::Unmark { .. }
                | Step::Delete { .. }
                | Step::Release { .. } => return Some(step),
            }
        }
        self.state.broken = Some("settles");
        self.fail();
        None
    }

    /// The status is written, or was there already.
    pub(crate) fn settled(&mut self, settlement: &Settlement, is_seen: bool) {
        let work = self.work();
        work.memory.settled(settlement);
        work.memory.failures = 0;
        work.wake = settlement.wake;
        let seen = state::version(&self.running().webhook);
        self.end(is_seen.then_some(seen));
    }

    fn plan(&mut self) -> Step {
        let mut memory = std::mem::take(&mut self.work().memory);
        let now = self.process.now();
        if self.config.has(Mutant::PostsUnconfirmed)
            && let Some(carrying) = &mut memory.carrying
        {
            (carrying.begun, carrying.confirmed) = (now, now);
        }
        let connection = self.connection();
        let (inputs, doubtful) = self.view(&connection, &memory, |view| (view.inputs(), view.doubtful()));
        memory.observe(&inputs, doubtful, now);
        if self.config.has(Mutant::NoQuarantine)
            && let Some(doubt) = &mut memory.doubt
        {
            doubt.since = FLOOR;
        }
        if self.config.has(Mutant::OneListIsEnough)
            && let Some(doubt) = memory.doubt.as_mut().filter(|doubt| doubt.lists.len() == 1)
        {
            doubt.since = FLOOR;
            doubt.lists = vec![FLOOR + 2 * TICK];
        }
        memory.held |= self.config.has(Mutant::BareIsFree);
        if self.config.has(Mutant::EditHidesWhatWasSent)
            && let Some(doubt) = &mut memory.doubt
        {
            doubt.sent = inputs.deleting.then(|| inputs.generation - 1).or(Some(inputs.generation));
        }
        if self.config.has(Mutant::OneLookIsEnough)
            && let Some(first) = memory.missing.first().copied()
        {
            memory.missing = vec![first.saturating_sub(2 * TICK), first];
        }
        if self.config.has(Mutant::CopiesStay) {
            memory.copies.clear();
        }
        let step = self.view(&connection, &memory, plan);
        self.work().memory = memory;
        if let (Step::BeginAttempt { token, .. }, true) = (&step, self.config.has(Mutant::NoAttempt)) {
            return Step::Post { token: token.clone() };
        }
        step
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection::Usable(Box::new(ConnectionFacts {
            markers_survive: self.process.markers_survive,
            last_list: self.process.last_list.clone(),
            ..self.shared.connection.clone()
        }))
    }

    pub(crate) fn view<T>(&self, connection: &Connection, memory: &Memory, use_it: impl FnOnce(&View<'_>) -> T) -> T {
        let running = self.process.work[self.number].running.as_ref().expect("a reconcile is on its way");
        let held_by = |id: &str| {
            let others = self.state.objects.iter().enumerate().filter(|(number, _)| *number != self.number);
            let mut holders = others
                .filter_map(|(_, object)| object.now.as_ref())
                .filter(|other| other.status.as_ref().is_some_and(|status| status.webhook_id.as_deref() == Some(id)));
            holders.next().map(|other| format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any()))
        };
        use_it(&View {
            webhook: &running.webhook,
            fresh: running.fresh,
            now: self.process.now(),
            clock: state::wall(),
            jitter: 0.0,
            token: &self.token(),
            settings: &self.shared.settings,
            connection,
            secret_versions: &BTreeMap::new(),
            held_by: &held_by,
            memory,
            round: &running.round,
        })
    }

    /// A token that was never used: every recorded attempt uses one up.
    pub(crate) fn token(&self) -> String {
        format!("t{}", self.state.objects[self.number].tokens + 1)
    }
}

/// A process has something to do for a Webhook by itself.
pub(crate) fn is_awake(state: &State, process: &Process, number: usize) -> bool {
    let work = &process.work[number];
    match (&work.running, &state.objects[number].now) {
        (Some(running), _) => running.asleep.is_none_or(|until| until <= process.now()),
        (None, None) => false,
        (None, Some(object)) => {
            let is_released = work.released && object.metadata.uid.as_ref() == Some(&work.uid);
            !is_released && (work.seen != Some(state::version(object)) || work.wake.is_some_and(|wake| wake <= NOW))
        }
    }
}
