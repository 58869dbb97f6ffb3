//! A process of the operator that carries steps out the way `src/controller/reconcile.rs` does.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;

use super::world::World;
use super::*;
use crate::api::Attempt;

/// How a reconcile ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Until(Option<Boot>),
    Changed,
    Released,
}

/// One reconcile on its way.
struct Running {
    webhook: Webhook,
    connection: Connection,
    round: Round,
    fresh: bool,
    token: String,
    steps: usize,
    changed: usize,
}

/// One process of the operator.
#[derive(Default)]
pub(super) struct Process {
    pub memory: Memory,
    latest: Option<Webhook>,
    running: Option<Running>,
}

impl Process {
    /// A crash and a restart.
    pub(super) fn crash(&mut self) {
        *self = Self::default();
    }

    /// The reconcile ends with an error of the apiserver's; what is remembered stays.
    pub(super) fn lose(&mut self) {
        (self.running, self.latest) = (None, None);
    }

    fn view<T>(&self, world: &World, running: &Running, use_it: impl FnOnce(&View<'_>) -> T) -> T {
        let secrets: BTreeMap<String, Option<String>> =
            running.webhook.spec.secret_names().into_iter().map(|name| (name.into(), world.secret.clone())).collect();
        use_it(&View {
            webhook: &running.webhook,
            fresh: running.fresh,
            now: world.now,
            clock: wall(world.now),
            jitter: 0.5,
            token: &running.token,
            settings: &world.settings,
            connection: &running.connection,
            secret_versions: &secrets,
            held_by: &|id| world.holders.get(id).cloned(),
            memory: &self.memory,
            round: &running.round,
        })
    }

    fn begin(&self, world: &World) -> Option<Running> {
        let cached = world.object.clone()?;
        let number = |webhook: &Webhook| webhook.resource_version().unwrap().parse::<u64>().unwrap();
        let webhook = match &self.latest {
            Some(latest) if number(latest) > number(&cached) => latest.clone(),
            Some(_) | None => cached,
        };
        let token = format!("t{}", world.log.len());
        let (connection, round) = (world.connection(), Round::default());
        Some(Running { webhook, connection, round, fresh: false, token, steps: 0, changed: 0 })
    }

    /// One step. `Some` ends the reconcile.
    pub(super) fn step(&mut self, world: &mut World) -> Option<Rest> {
        let Some(mut running) = self.running.take().or_else(|| self.begin(world)) else { return Some(Rest::Released) };
        if world.no_connection.is_none() {
            let (before, now) = (&running.connection, world.connection());
            running.connection = match (before, now) {
                (Connection::Usable(before), Connection::Usable(now)) => {
                    let (credentials, recoveries) = (before.credentials, before.recoveries);
                    let proven = now.proven && now.credentials == credentials;
                    Connection::Usable(Box::new(ConnectionFacts { credentials, recoveries, proven, ..*now }))
                }
                (_, now) => now,
            };
        }
        let (inputs, doubtful) = self.view(world, &running, |view| (view.inputs(), view.doubtful()));
        self.memory.observe(&inputs, doubtful, world.now);
        let step = self.view(world, &running, plan);
        running.steps += 1;
        assert!(running.steps <= 64, "restless: {:?}", world.log.iter().rev().take(20).collect::<Vec<_>>());
        world.log.push(short(&step));
        let rest = self.carry_out(world, &mut running, step);
        assert!(running.changed <= 1, "more than one change at Orion in a reconcile: {:?}", world.log);
        world.pass(Duration::from_millis(5));
        if rest.is_none() {
            self.running = Some(running);
        }
        rest
    }

    fn carry_out(&mut self, world: &mut World, running: &mut Running, step: Step) -> Option<Rest> {
        match step {
            Step::Refresh => {
                if self.refresh(world, running).is_none() {
                    self.latest = None;
                    return Some(Rest::Changed);
                }
            }
            Step::ReadSecrets => {
                let cached = self.view(world, running, |view| view.secret_versions.clone());
                running.round.secret_versions = Some(cached);
                running.round.secrets = Some(read_secrets(world, &running.webhook));
            }
            Step::Get { id } => self.get(world, running, id),
            Step::List { begun_after } => self.list(world, running, begun_after),
            Step::LookAtOthers => running.round.others = Some(world.others),
            Step::LookAtNamespace => {
                self.memory.looked_at_namespace(world.terminating, world.now);
                running.round.namespace_is_terminating = Some(world.terminating);
            }
            Step::Prepare => running.round.prepared = Some(Ok(())),
            Step::BeginAttempt { token, resolved } => {
                let text = self.view(world, running, |view| attempt_text(view, &token));
                let asked = world.now;
                let written = self.write(world, running, |object| {
                    hold(object);
                    object.annotations_mut().insert(CREATE_ATTEMPT.into(), text);
                    if resolved {
                        object.annotations_mut().remove(RESOLVE);
                    }
                });
                if !written {
                    return Some(Rest::Changed);
                }
                self.memory.attempt_begun(&token, asked);
                running.token = format!("t{}", world.log.len());
            }
            Step::Hold => {
                if !self.write(world, running, hold) {
                    return Some(Rest::Changed);
                }
                self.memory.held = true;
            }
            Step::ClearResolve => {
                let cleared = self.write(world, running, |object| {
                    object.annotations_mut().remove(RESOLVE);
                });
                if !cleared {
                    return Some(Rest::Changed);
                }
            }
            Step::Post { token } => self.post(world, running, token),
            Step::Update { id } => self.change(world, running, CallKind::Update { id }),
            Step::Unmark { id } => self.change(world, running, CallKind::Unmark { id }),
            Step::Delete { id } => self.change(world, running, CallKind::Delete { id }),
            Step::Release { why, left_behind } => {
                world.abandoned |= why.contains("abandoned");
                world.left_behind = left_behind;
                let released = self.write(world, running, |object| object.metadata.finalizers = None);
                self.crash();
                return Some(if released { Rest::Released } else { Rest::Changed });
            }
            Step::Settle(settlement) => return Some(self.settle(world, running, &settlement)),
        }
        None
    }

    /// A patch that tests the resourceVersion.
    fn write(&mut self, world: &mut World, running: &mut Running, change: impl FnOnce(&mut Webhook)) -> bool {
        let version = |webhook: &Webhook| webhook.resource_version();
        if world.object.as_ref().is_none_or(|object| version(object) != version(&running.webhook)) {
            self.latest = None;
            return false;
        }
        self.write_anyway(world, running, change);
        true
    }

    fn write_anyway(&mut self, world: &mut World, running: &mut Running, change: impl FnOnce(&mut Webhook)) {
        world.writes += 1;
        world.edit(change);
        if let Some(object) = world.object.clone() {
            self.latest = Some(object.clone());
            running.webhook = object;
        }
    }

    fn refresh(&mut self, world: &World, running: &mut Running) -> Option<()> {
        let webhook = world.object.clone()?;
        if webhook.metadata.generation != running.webhook.metadata.generation {
            running.round.secrets = None;
        }
        running.webhook = webhook;
        self.memory.refreshed(&running.webhook, world.now);
        running.fresh = true;
        if let Some(Call { kind: CallKind::Post { .. }, result: Err(_) }) = running.round.call {
            running.round.call = None;
            running.round.prepared = None;
            running.round.logged_in_again = true;
        }
        Some(())
    }

    fn get(&mut self, world: &mut World, running: &mut Running, id: String) {
        let result = match world.read_faults.pop_front() {
            Some(failure) => Err(failure),
            None => world.orion.get(&id).cloned().ok_or_else(|| answer(404)),
        };
        let stored = running.webhook.status.as_ref().is_some_and(|status| status.webhook_id.as_ref() == Some(&id));
        if stored && result.is_ok() {
            world.facts.proven = true;
        }
        if stored && result.as_ref().is_err_and(|failure| failure.class == FailureClass::NotFound) {
            world.not_found.push(world.now);
        }
        self.memory.got(stored, &result, world.facts.capabilities.get, world.now);
        running.round.remote = Some((id, result));
    }

    fn list(&mut self, world: &mut World, running: &mut Running, begun_after: Boot) {
        let result = world.list(begun_after);
        if let Ok(snapshot) = &result {
            let owner = world.facts.ownership.then(owner);
            let stored = running.webhook.status.as_ref().and_then(|status| status.webhook_id.as_deref());
            if stored.is_some_and(|stored| snapshot.is_complete() && snapshot.get(stored).is_none()) {
                world.not_found.push(snapshot.begun);
            }
            self.memory.listed(snapshot, owner.as_ref(), stored, world.facts.capabilities.get);
        }
        running.round.list = Some(result);
    }

    fn post(&mut self, world: &mut World, running: &mut Running, token: String) {
        let Some(Ok(values)) = running.round.secrets.clone() else { panic!("a POST without header values") };
        assert!(running.round.prepared.is_some(), "a POST without a permit");
        self.memory.posting();
        let account = world.facts.account();
        let result = world.create(&running.webhook, &values, &token);
        self.memory.posted(&result, &running.webhook, &values, account, world.now);
        self.called(world.now, running, CallKind::Post { token }, result);
    }

    fn change(&mut self, world: &mut World, running: &mut Running, kind: CallKind) {
        let values = match &kind {
            CallKind::Delete { .. } | CallKind::Post { .. } => None,
            CallKind::Update { .. } | CallKind::Unmark { .. } => Some(running.round.secrets.clone().unwrap().unwrap()),
        };
        let result = world.change(&kind, &running.webhook, values.as_ref());
        if let CallKind::Delete { id } = &kind
            && result.is_ok()
        {
            self.memory.deleted(id);
            world.facts.last_list = world.facts.last_list.take().map(|list| Arc::new(list.without(id)));
        }
        self.called(world.now, running, kind, result);
    }

    fn called(&mut self, now: Boot, running: &mut Running, kind: CallKind, result: Result<String, Failure>) {
        // A POST that is known to be refused changed nothing, and may be sent again after a fresh login.
        let refused = matches!((&kind, &result), (CallKind::Post { .. }, Err(failure)) if failure.is_known_refusal());
        self.memory.changed(now);
        running.changed += usize::from(!refused);
        running.round.remote = None;
        running.round.list = None;
        running.round.call = Some(Call { kind, result });
    }

    fn settle(&mut self, world: &mut World, running: &mut Running, settlement: &Settlement) -> Rest {
        if running.webhook.status.as_ref() != Some(&settlement.status) {
            let status = settlement.status.clone();
            let is_ours = match (&settlement.guard, &world.object) {
                (Guard::ResourceVersion, Some(object)) => {
                    object.resource_version() == running.webhook.resource_version()
                }
                (Guard::Attempt(token), Some(object)) => {
                    let recorded = |webhook: &Webhook| webhook.annotations().get(CREATE_ATTEMPT).cloned();
                    let is_ours =
                        recorded(object) == recorded(&running.webhook) && object.uid() == running.webhook.uid();
                    let attempt = recorded(object).map(|text| Attempt::parse(&text).token);
                    assert!(
                        !is_ours || attempt.as_ref() == Some(token),
                        "settles another attempt than the recorded one"
                    );
                    is_ours
                }
                (_, None) => false,
            };
            if !is_ours {
                if settlement.guard != Guard::ResourceVersion
                    && self.refresh(world, running).is_some()
                    && !self.memory.is_ours(&running.webhook)
                {
                    self.memory.created = None;
                }
                self.latest = None;
                return Rest::Changed;
            }
            self.write_anyway(world, running, |object| object.status = Some(status));
        }
        self.memory.settled(settlement);
        Rest::Until(settlement.wake)
    }
}

fn hold(object: &mut Webhook) {
    let finalizers: BTreeSet<String> = object.finalizers().iter().cloned().chain([FINALIZER.to_owned()]).collect();
    object.metadata.finalizers = Some(finalizers.into_iter().collect());
}

fn read_secrets(world: &World, webhook: &Webhook) -> Result<SecretValues, SecretProblem> {
    match &world.secret {
        Some(version) => Ok(values(&webhook.spec, version)),
        None if webhook.spec.secret_names().is_empty() => Ok(values(&webhook.spec, "none")),
        None => Err(SecretProblem { reason: Reason::SecretNotFound, message: "There is no Secret hook-secret".into() }),
    }
}
