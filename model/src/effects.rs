//! Carries out one step of a process, as `src/controller/execute.rs` does, with a fault where the budget allows one.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::ResourceExt;

use crate::api::{
    Attempt, CREATE_ATTEMPT, FINALIZER, Failure, FailureClass, Owner, RESOLVE, RemoteWebhook, Sent, Support, Webhook,
};
use crate::mutant::Mutant;
use crate::plan::{Boot, Call, CallKind, Guard, SecretValues, Settlement, Snapshot, Step, attempt_text};
use crate::process::Actor;
use crate::state::{self, Change, Flight, Remote, SETTLING, State, Work};

/// What goes wrong with a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Late,
    Refused,
    Unread,
    WriteLost,
    Omit(String),
    Lag,
}

impl Actor<'_> {
    /// The faults that this step can have, with the budget that is left.
    pub(crate) fn faults(&self, step: &Step) -> Vec<Fault> {
        let left = &self.state.left;
        let mut faults = Vec::new();
        match step {
            Step::Post { .. } | Step::Update { .. } | Step::Unmark { .. } | Step::Delete { .. } => {
                faults.extend((left.late > 0).then_some(Fault::Late));
                faults.extend((left.refused > 0).then_some(Fault::Refused));
            }
            Step::Get { id } => {
                faults.extend((left.unread > 0).then_some(Fault::Unread));
                let is_there = self.state.remotes.iter().any(|remote| remote.id == *id);
                faults.extend((left.omit > 0 && is_there).then(|| Fault::Omit(id.clone())));
            }
            Step::List { .. } => {
                faults.extend((left.unread > 0).then_some(Fault::Unread));
                if left.omit > 0 {
                    faults.extend(self.state.remotes.iter().map(|remote| Fault::Omit(remote.id.clone())));
                }
                let is_hidden = |remote: &Remote| remote.age <= SETTLING;
                faults.extend((self.config.lagging && self.state.remotes.iter().any(is_hidden)).then_some(Fault::Lag));
            }
            Step::BeginAttempt { .. } | Step::Hold | Step::ClearResolve | Step::Release { .. } | Step::Settle(_) => {
                faults.extend((left.write_lost > 0).then_some(Fault::WriteLost))
            }
            Step::Refresh | Step::ReadSecrets | Step::LookAtOthers | Step::LookAtNamespace | Step::Prepare => {}
        }
        faults
    }

    fn spend(&mut self, fault: Option<&Fault>) {
        let left = &mut self.state.left;
        match fault {
            Some(Fault::Late) => left.late -= 1,
            Some(Fault::Refused) => left.refused -= 1,
            Some(Fault::Unread) => left.unread -= 1,
            Some(Fault::WriteLost) => left.write_lost -= 1,
            Some(Fault::Omit(_)) => left.omit -= 1,
            Some(Fault::Lag) | None => {}
        }
    }

    /// Carries a step out, and everything after it that only this process can see.
    pub(crate) fn carry_out(mut self, step: Step, fault: Option<Fault>) -> State {
        self.spend(fault.as_ref());
        let fault = fault.as_ref();
        match step {
            Step::Refresh => self.refresh(),
            Step::Get { id } => self.get(id, fault),
            Step::List { begun_after } => self.list(begun_after, fault),
            Step::BeginAttempt { token, resolved } => self.begin_attempt(&token, resolved, fault),
            Step::Hold => {
                if self.write(fault, true, hold) {
                    self.work().memory.held = true;
                }
            }
            Step::ClearResolve => {
                self.write(fault, true, |object| {
                    object.annotations_mut().remove(RESOLVE);
                });
            }
            Step::Post { token } => self.post(token, fault),
            Step::Update { id } => self.change(CallKind::Update { id }, fault),
            Step::Unmark { id } => self.change(CallKind::Unmark { id }, fault),
            Step::Delete { id } => self.change(CallKind::Delete { id }, fault),
            Step::Release { .. } => {
                let released = self.write(fault, true, |object| {
                    object.metadata.finalizers = None;
                    object.annotations_mut().remove(RESOLVE);
                });
                if released {
                    let uid = std::mem::take(&mut self.work().uid);
                    *self.work() = Work { uid, released: true, ..Work::default() };
                }
            }
            Step::Settle(settlement) => self.settle(&settlement, fault),
            Step::ReadSecrets | Step::LookAtOthers | Step::LookAtNamespace | Step::Prepare => {
                panic!("seen by nobody else")
            }
        }
        if self.work().running.as_ref().is_some_and(|running| running.asleep.is_none()) {
            // What nobody else sees happens at once; a step that others see waits for its turn.
            let _waits = self.next();
        }
        self.finish()
    }

    /// A patch of the object. `false` if it failed, and with it the reconcile.
    fn write(&mut self, fault: Option<&Fault>, tested: bool, change: impl FnOnce(&mut Webhook)) -> bool {
        let number = self.number;
        let ours = Arc::clone(&self.running().webhook);
        let is_same = self.state.objects[number].now.as_ref().is_some_and(|now| {
            now.uid() == ours.uid() && (!tested || now.resource_version() == ours.resource_version())
        });
        if !is_same {
            self.work().latest = None;
            self.fail();
            return false;
        }
        self.state.edit(number, change);
        if fault.is_some() {
            self.fail();
            return false;
        }
        if let Some(now) = self.state.objects[number].now.clone() {
            self.work().latest = Some(Arc::clone(&now));
            self.running().webhook = now;
        }
        true
    }

    fn begin_attempt(&mut self, token: &str, resolved: bool, fault: Option<&Fault>) {
        let memory = &self.process.work[self.number].memory;
        let text = self.view(&self.connection(), memory, |view| attempt_text(view, token));
        let asked = self.process.now();
        let holds = !self.config.has(Mutant::NoFinalizer);
        let tested = !self.config.has(Mutant::NoCompareAndSwap);
        let number = self.number;
        let before = self.state.versions;
        let written = self.write(fault, tested, |object| {
            if holds {
                hold(object);
            }
            object.annotations_mut().insert(CREATE_ATTEMPT.into(), text);
            if resolved {
                object.annotations_mut().remove(RESOLVE);
            }
        });
        if self.state.versions != before {
            self.state.objects[number].tokens += 1;
        }
        if written {
            self.work().memory.attempt_begun(token, asked);
        }
    }

    fn refresh(&mut self) {
        let number = self.number;
        let read = self.state.objects[number].now.clone();
        let asked = self.process.now();
        let Some(webhook) = read.filter(|read| read.uid() == self.running().webhook.uid()) else {
            self.work().latest = None;
            return self.fail();
        };
        let running = self.running();
        if webhook.metadata.generation != running.webhook.metadata.generation {
            running.round.secrets = None;
        }
        running.webhook = webhook;
        running.fresh = true;
        if let Some(Call { kind: CallKind::Post { .. }, result: Err(_) }) = running.round.call {
            running.round.call = None;
            running.round.prepared = None;
            running.round.logged_in_again = true;
        }
        let webhook = Arc::clone(&running.webhook);
        self.work().memory.refreshed(&webhook, asked);
    }

    fn stored(&mut self) -> Option<String> {
        self.running().webhook.status.as_ref().and_then(|status| status.webhook_id.clone())
    }

    fn get(&mut self, id: String, fault: Option<&Fault>) {
        self.process.later += 1;
        let found = self.state.remotes.iter().find(|remote| remote.id == id);
        let result = match (fault, found) {
            (Some(Fault::Omit(_)), _) | (None, None) => Err(not_found()),
            (Some(_), _) => Err(lost()),
            (None, Some(remote)) => Ok(self.shown(remote)),
        };
        let is_stored = self.stored().as_ref() == Some(&id);
        let now = self.process.now();
        self.work().memory.got(is_stored, &result, Support::Proven, now);
        self.running().round.remote = Some((id, result));
    }

    fn shown(&self, remote: &Remote) -> RemoteWebhook {
        let mut remote = remote.clone();
        if self.config.has(Mutant::TrustsLookAlikes) {
            remote.marker = Some(self.number);
        }
        let owners: &[Owner] = if self.config.masked { &[] } else { &self.shared.owners };
        state::shown(&remote, owners)
    }

    fn list(&mut self, begun_after: Boot, fault: Option<&Fault>) {
        if begun_after > self.process.now() {
            self.running().asleep = Some(begun_after);
            return;
        }
        self.running().asleep = None;
        let shared = self.process.last_list.clone().filter(|list| list.is_complete());
        let result = if let Some(list) = shared.clone().filter(|list| list.begun >= begun_after) {
            Ok(list)
        } else if fault == Some(&Fault::Unread) {
            Err(lost())
        } else {
            self.process.later += 1;
            let begun = self.process.now();
            match shared.filter(|_| self.config.has(Mutant::ListsFirst)) {
                Some(old) => Ok(Arc::new(Snapshot::new(begun, old.webhooks().cloned().collect(), None))),
                None => Ok(Arc::new(self.snapshot(begun, fault))),
            }
        };
        if let Ok(list) = &result {
            self.process.markers_survive |= list.shows_markers();
            self.process.last_list = Some(Arc::clone(list));
            let stored = self.stored();
            let owner = self.shared.connection.ownership.then(|| self.shared.owners[self.number].clone());
            let get = self.shared.connection.capabilities.get;
            self.work().memory.listed(list, owner.as_ref(), stored.as_deref(), get);
        }
        self.running().round.list = Some(result);
    }

    fn snapshot(&mut self, begun: Boot, fault: Option<&Fault>) -> Snapshot {
        let is_shown = |remote: &&Remote| match fault {
            Some(Fault::Omit(id)) => remote.id != *id,
            Some(Fault::Lag) => remote.age > SETTLING,
            _ => true,
        };
        let shown: Vec<RemoteWebhook> =
            self.state.remotes.iter().filter(is_shown).map(|remote| self.shown(remote)).collect();
        let stored = self.state.objects.iter().filter_map(|object| {
            let object = object.now.as_ref().filter(|object| object.metadata.deletion_timestamp.is_none())?;
            object.status.as_ref()?.webhook_id.clone()
        });
        let missing: BTreeSet<String> = stored.filter(|id| !shown.iter().any(|remote| remote.id == *id)).collect();
        let before = std::mem::replace(&mut self.process.last_missing, missing.clone());
        // As `ConnectionHandle::flaw`: what is stored and not shown is asked for, or must be missing twice.
        let is_flawed = if self.config.get {
            missing.iter().any(|id| self.state.remotes.iter().any(|remote| remote.id == *id))
        } else {
            !missing.is_empty() && before != missing
        };
        let flaw = (is_flawed && !self.config.has(Mutant::TrustsFilteredLists)).then(|| "it leaves one out".to_owned());
        Snapshot::new(begun, shown, flaw)
    }

    fn post(&mut self, token: String, fault: Option<&Fault>) {
        self.process.later += 1;
        let number = self.number;
        let sent = self.running().webhook.clone();
        let spec = sent.spec.clone();
        self.work().memory.posting();
        // S9: the attempt was recorded before, and no attempt makes two.
        let is_recorded =
            token.trim_start_matches('t').parse::<u8>().is_ok_and(|token| token <= self.state.objects[number].tokens);
        let is_again = self.state.remotes.iter().any(|remote| remote.cause == Some(number) && remote.token == token);
        if !is_recorded || is_again {
            self.state.broken = Some("S9");
        }
        let change = Change::Create { by: number, url: spec.url.clone(), token: token.clone() };
        let account = self.shared.connection.account();
        let result = self.send(change, fault);
        let taken_for = match &result {
            Err(failure) if failure.sent == Sent::Maybe && self.config.has(Mutant::LostIsRefused) => Err(unsent()),
            result => result.clone(),
        };
        let now = self.process.now();
        let values = SecretValues { headers: Vec::new(), versions: Vec::new() };
        self.work().memory.posted(&taken_for, &sent, &values, account, now);
        self.called(CallKind::Post { token }, taken_for);
    }

    fn change(&mut self, kind: CallKind, fault: Option<&Fault>) {
        self.process.later += 1;
        let by = self.number;
        let url = self.running().webhook.spec.url.clone();
        let change = match &kind {
            CallKind::Update { id } | CallKind::Unmark { id } => Change::Update { by, id: id.clone(), url },
            CallKind::Delete { id } => Change::Delete { by, id: id.clone() },
            CallKind::Post { .. } => return,
        };
        let mut result = self.send(change, fault);
        if let (CallKind::Delete { id }, true) = (&kind, self.config.has(Mutant::FailedDeleteIsDone)) {
            result = Ok(id.clone());
        }
        if let (CallKind::Delete { id }, Ok(_)) = (&kind, &result) {
            self.process.last_list = self.process.last_list.take().map(|list| Arc::new(list.without(id)));
            self.work().memory.deleted(id);
        }
        self.called(kind, result);
    }

    /// Sends a change to Orion.
    fn send(&mut self, change: Change, fault: Option<&Fault>) -> Result<String, Failure> {
        match fault {
            None => self.state.land(self.config, change).ok_or_else(not_found),
            Some(Fault::Refused) => Err(unsent()),
            Some(_) => {
                self.state.flights.push(Flight { change, age: 0 });
                Err(lost())
            }
        }
    }

    fn called(&mut self, kind: CallKind, result: Result<String, Failure>) {
        let now = self.process.now();
        let keeps = self.config.has(Mutant::ReadsOnce);
        self.work().memory.changed(now);
        let running = self.running();
        if !keeps {
            running.round.remote = None;
            running.round.list = None;
        }
        running.round.call = Some(Call { kind, result });
    }

    fn settle(&mut self, settlement: &Settlement, fault: Option<&Fault>) {
        let running = Arc::clone(&self.running().webhook);
        let is_ours = match (&settlement.guard, &self.state.objects[self.number].now) {
            (Guard::ResourceVersion, Some(now)) => now.resource_version() == running.resource_version(),
            (Guard::Attempt(_), Some(now)) => {
                let recorded = |webhook: &Webhook| webhook.annotations().get(CREATE_ATTEMPT).cloned();
                let is_same = recorded(now) == recorded(&running) || self.config.has(Mutant::RecordsAnyway);
                is_same && now.uid() == running.uid()
            }
            (_, None) => false,
        };
        let is_attempt = settlement.guard != Guard::ResourceVersion;
        if !is_ours {
            self.work().latest = None;
            if is_attempt {
                self.refresh();
                let Some(running) = &self.work().running else { return };
                let webhook = Arc::clone(&running.webhook);
                if !self.work().memory.is_ours(&webhook) {
                    self.work().memory.created = None;
                }
                self.work().latest = None;
            }
            return self.fail();
        }
        let number = self.number;
        // S9: an id is recorded only while the attempt that made it is the recorded one.
        if let (Guard::Attempt(token), Some(now)) = (&settlement.guard, &self.state.objects[number].now)
            && now.annotations().get(CREATE_ATTEMPT).is_none_or(|text| Attempt::parse(text).token != *token)
        {
            self.state.broken = Some("S9");
        }
        let status = settlement.status.clone();
        self.state.edit(number, |object| object.status = Some(status));
        if fault.is_some() {
            return self.fail();
        }
        if let Some(now) = self.state.objects[number].now.clone() {
            self.work().latest = Some(Arc::clone(&now));
            self.running().webhook = now;
        }
        // A write that tested the version has seen everything that it returns.
        self.settled(settlement, !is_attempt);
    }
}

fn hold(object: &mut Webhook) {
    if !object.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        object.finalizers_mut().push(FINALIZER.into());
    }
}

fn failure(class: FailureClass, status: Option<u16>, sent: Sent) -> Failure {
    Failure { class, status, sent, json: true, retry_after: None, message: "It failed".into() }
}

fn lost() -> Failure {
    failure(FailureClass::Timeout, None, Sent::Maybe)
}

fn unsent() -> Failure {
    failure(FailureClass::Unreachable, None, Sent::No)
}

fn not_found() -> Failure {
    failure(FailureClass::NotFound, Some(404), Sent::Maybe)
}
