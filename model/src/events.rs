//! Everybody but the operator: people, time, requests on their way to Orion, and the death of a process.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::api::{RESOLVE, Webhook, ready_condition};
use crate::config::Config;
use crate::mutant::Mutant;
use crate::plan::{Boot, Memory};
use crate::process::is_awake;
use crate::state::{self, Change, FLOOR, NOW, Process, Remote, SETTLING, State, TICK, Work};

/// Something that happens outside of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Tick,
    Stall,
    Land(usize),
    Drop(usize),
    Crash(usize),
    Edit,
    Delete(usize),
    Wipe(usize),
    Strip(usize),
    Force(usize),
    Restore(usize),
    Return(usize),
    Vanish(String),
    Drift(String),
    Person(usize),
}

impl Event {
    /// It needs no budget: it happens although no fault is left.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self, Self::Tick | Self::Land(_) | Self::Drop(_) | Self::Return(_) | Self::Person(_))
    }
}

/// What can happen in a state.
pub(crate) fn events(config: &Config, state: &State) -> Vec<Event> {
    let mut events = Vec::new();
    let left = &state.left;
    let is_busy =
        state.processes.iter().any(|process| (0..config.webhooks).any(|number| is_awake(state, process, number)));
    let is_due = |age: u8| config.bounded && age >= SETTLING;
    if !state.flights.iter().any(|flight| is_due(flight.age)) {
        match is_busy {
            false => events.push(Event::Tick),
            true if left.stall > 0 => events.push(Event::Stall),
            true => {}
        }
    }
    for place in 0..state.flights.len() {
        events.extend([Event::Land(place), Event::Drop(place)]);
    }
    if left.crash > 0 {
        events.extend((0..state.processes.len()).map(Event::Crash));
    }
    for (number, object) in state.objects.iter().enumerate() {
        events.extend(object.comes_back.is_some().then_some(Event::Return(number)));
        let Some(now) = &object.now else { continue };
        if left.wipe > 0 && now.status.is_some() {
            events.push(Event::Wipe(number));
        }
        let decided = now.annotations().get(RESOLVE);
        let decision = state.decision(number).filter(|decision| decided != Some(decision));
        events.extend((decision.is_some() && state.flights.is_empty()).then_some(Event::Person(number)));
        if left.strip > 0 {
            events.push(Event::Strip(number));
        }
        if now.metadata.deletion_timestamp.is_some() {
            continue;
        }
        events.extend((left.edit > 0 && number == 0).then_some(Event::Edit));
        events.extend((left.delete > 0).then_some(Event::Delete(number)));
        events.extend((left.force > 0).then_some(Event::Force(number)));
        events.extend((left.restore > 0).then_some(Event::Restore(number)));
    }
    for remote in state.remotes.iter().filter(|remote| remote.cause.is_some()) {
        events.extend((left.vanish > 0).then(|| Event::Vanish(remote.id.clone())));
        events.extend((left.drift > 0 && remote.url != state::url(9)).then(|| Event::Drift(remote.id.clone())));
    }
    events
}

impl State {
    /// The state after an event.
    pub(crate) fn after(&self, config: &Config, event: &Event) -> Self {
        let mut next = self.clone();
        next.broken = None;
        match event {
            Event::Tick => next.tick(),
            Event::Stall => {
                next.left.stall -= 1;
                next.tick();
            }
            Event::Land(place) => {
                let flight = next.flights.remove(*place);
                next.land(config, flight.change);
                // What took its time shows no later for it: both count from the attempt.
                if let Some(remote) =
                    next.remotes.iter_mut().find(|remote| !self.remotes.iter().any(|old| old.id == remote.id))
                {
                    remote.age = flight.age;
                }
            }
            Event::Drop(place) => {
                next.flights.remove(*place);
            }
            Event::Crash(place) => {
                next.left.crash -= 1;
                next.processes[*place] = Arc::new(Process::new(config));
            }
            Event::Edit => {
                next.left.edit -= 1;
                next.edit(0, |object| object.spec.url = state::url(2));
            }
            Event::Delete(number) => {
                next.left.delete -= 1;
                next.edit(*number, |object| {
                    object.metadata.deletion_timestamp = Some(Time(state::wall()));
                    object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
                });
            }
            Event::Wipe(number) => {
                next.left.wipe -= 1;
                next.edit(*number, |object| object.status = None);
            }
            Event::Strip(number) => {
                next.left.strip -= 1;
                next.edit(*number, |object| {
                    object.status = None;
                    object.metadata.annotations = None;
                });
            }
            Event::Force(number) => {
                next.left.force -= 1;
                next.remove(*number, |back| {
                    back.metadata.annotations = None;
                    back.metadata.finalizers = None;
                });
            }
            Event::Restore(number) => {
                next.left.restore -= 1;
                next.remove(*number, |object| {
                    object.annotations_mut().remove(RESOLVE);
                });
            }
            Event::Return(number) => {
                let back = next.objects[*number].comes_back.take();
                next.versions += 1;
                let versions = next.versions;
                next.objects[*number].now = back.map(|back| {
                    let mut back = Webhook::clone(&back);
                    back.metadata.resource_version = Some(versions.to_string());
                    Arc::new(back)
                });
            }
            Event::Vanish(id) => {
                next.left.vanish -= 1;
                next.remotes.retain(|remote| remote.id != *id);
            }
            Event::Drift(id) => {
                next.left.drift -= 1;
                for remote in next.remotes.iter_mut().filter(|remote| remote.id == *id) {
                    remote.url = state::url(9);
                }
            }
            Event::Person(number) => next.decide(*number),
        }
        next.sealed()
    }

    /// Removes an object past its finalizer; another one of its name comes back: blank, or with what `backup` kept.
    fn remove(&mut self, number: usize, backup: impl FnOnce(&mut Webhook)) {
        let Some(now) = self.objects[number].now.take() else { return };
        let mut back = state::webhook(number);
        back.metadata.uid = Some(format!("{}'", now.uid().unwrap_or_default()));
        back.spec = now.spec.clone();
        back.metadata.annotations.clone_from(&now.metadata.annotations);
        back.metadata.finalizers.clone_from(&now.metadata.finalizers);
        backup(&mut back);
        self.objects[number].comes_back = Some(Arc::new(back));
    }

    /// What a person who knows Orion answers to the message of a create that only a person can resolve.
    fn decision(&self, number: usize) -> Option<String> {
        let status = self.objects[number].now.as_ref()?.status.as_ref()?;
        let ready = ready_condition(&status.conditions).filter(|ready| ready.reason == "CreateUnresolved")?;
        let mut offered = ready.message.split([' ', '/']).filter_map(|word| word.strip_prefix("resolve="));
        match (self.owned(number).next(), ready.message.contains("resolve=abandon")) {
            (_, true) => Some("abandon".to_owned()),
            (Some(remote), false) => Some(format!("adopt={}", remote.id)),
            (None, false) => offered.find(|word| word.starts_with("retry=")).map(str::to_owned),
        }
    }

    fn decide(&mut self, number: usize) {
        let Some(decision) = self.decision(number) else { return };
        if decision == "abandon" {
            // As the message asks for: deleted at Orion first.
            self.remotes.retain(|remote| remote.cause != Some(number));
        }
        self.edit(number, |object| {
            object.annotations_mut().insert(RESOLVE.to_owned(), decision);
        });
    }

    fn tick(&mut self) {
        for process in &mut self.processes {
            Arc::make_mut(process).age();
        }
        for flight in &mut self.flights {
            flight.age = (flight.age + 1).min(SETTLING + 1);
        }
        for remote in &mut self.remotes {
            remote.age = (remote.age + 1).min(SETTLING + 1);
        }
    }

    /// A change takes effect. The answer is the id, or nothing if it is not there.
    pub(crate) fn land(&mut self, config: &Config, change: Change) -> Option<String> {
        match change {
            Change::Create { by, url, token } => {
                let id = self.next_id(config);
                let marker = (!config.has(Mutant::NoMarker)).then_some(by);
                self.remotes.push(Remote { id: id.clone(), cause: Some(by), marker, url, token, age: 0 });
                self.remotes.sort_by(|one, other| one.id.cmp(&other.id));
                Some(id)
            }
            Change::Update { by, id, url } => {
                self.touched(by, &id);
                let remote = self.remotes.iter_mut().find(|remote| remote.id == id)?;
                remote.url = url;
                remote.marker = (!config.has(Mutant::NoMarker)).then_some(by);
                Some(id)
            }
            Change::Delete { by, id } => {
                self.touched(by, &id);
                let is_in_use = self.objects.iter().filter_map(|object| object.now.as_ref()).any(|object| {
                    object.metadata.deletion_timestamp.is_none()
                        && object.status.as_ref().is_some_and(|status| status.webhook_id.as_ref() == Some(&id))
                });
                if is_in_use {
                    self.broken = Some("S6");
                }
                let before = self.remotes.len();
                self.remotes.retain(|remote| remote.id != id);
                (self.remotes.len() < before).then_some(id)
            }
        }
    }

    /// S4, S5: only what is proven ours is changed or deleted.
    fn touched(&mut self, by: usize, id: &str) {
        match self.remotes.iter().find(|remote| remote.id == id).map(|remote| remote.cause) {
            Some(None) => self.broken = Some("S4"),
            Some(Some(cause)) if cause != by => self.broken = Some("S5"),
            Some(Some(_)) | None => {}
        }
    }

    /// What makes no difference any more is put alike, so that states which differ in nothing else are one.
    pub(crate) fn sealed(mut self) -> Self {
        let can_be_stale = self.left.stale > 0;
        for (number, object) in self.objects.iter_mut().enumerate() {
            if !can_be_stale {
                object.old.clear();
            }
            let current = object.now.as_ref().map(|now| state::version(now));
            for process in &mut self.processes {
                let work = &process.work[number];
                let is_old = |version: u64| !can_be_stale && current.is_none_or(|current| version < current);
                let drops_latest = work
                    .latest
                    .as_ref()
                    .is_some_and(|latest| !can_be_stale && current.is_none_or(|now| state::version(latest) <= now));
                let drops_seen = work.seen.is_some_and(is_old);
                let drops_all = current.is_none()
                    && !can_be_stale
                    && work.running.is_none()
                    && !work.uid.is_empty()
                    && object.comes_back.is_none();
                if drops_latest || drops_seen || drops_all {
                    let work = &mut Arc::make_mut(process).work[number];
                    if drops_latest {
                        work.latest = None;
                    }
                    if drops_seen {
                        work.seen = None;
                    }
                    if drops_all {
                        *work = Work::default();
                    }
                }
            }
        }
        self.key = self.compute_key();
        self
    }
}

impl Process {
    /// One tick passes: everything that is remembered moves into the past.
    fn age(&mut self) {
        self.later = 0;
        if let Some(list) = &self.last_list {
            let mut older = list.as_ref().clone();
            move_back(&mut older.begun);
            self.last_list = Some(Arc::new(older));
        }
        for work in &mut self.work {
            if let Some(wake) = &mut work.wake {
                due(wake);
            }
            age_memory(&mut work.memory);
            if let Some(running) = &mut work.running {
                if let Some(asleep) = &mut running.asleep {
                    due(asleep);
                }
                if let Some(Ok(list)) = &mut running.round.list {
                    let mut older = list.as_ref().clone();
                    move_back(&mut older.begun);
                    *list = Arc::new(older);
                }
            }
        }
    }
}

fn move_back(time: &mut Boot) {
    *time = time.saturating_sub(TICK).max(FLOOR);
}

/// A time to come: once it is here it does not matter for how long.
fn due(time: &mut Boot) {
    *time = time.saturating_sub(TICK).max(NOW);
}

/// The same, of what is only compared with times that are far from whole ticks.
fn move_back_to_tick(time: &mut Boot) {
    move_back(time);
    let ago = NOW.saturating_sub(*time);
    let ticks = u32::try_from(ago.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX);
    *time = NOW.saturating_sub(TICK * ticks).max(FLOOR);
}

fn age_memory(memory: &mut Memory) {
    let Memory {
        carrying,
        created: _,
        doubt,
        synced: _,
        changed,
        next_check,
        failures: _,
        verdict,
        about: _,
        missing,
        copies,
        held: _,
        deleted: _,
        stranded: _,
    } = memory;
    if let Some(carrying) = carrying {
        move_back(&mut carrying.begun);
        move_back(&mut carrying.confirmed);
        if NOW.saturating_sub(carrying.confirmed) >= Duration::from_secs(2) {
            carrying.confirmed = FLOOR;
        }
    }
    if let Some(doubt) = doubt {
        move_back_to_tick(&mut doubt.since);
        doubt.lists.iter_mut().for_each(move_back_to_tick);
        doubt.lists.dedup();
    }
    // Lists are shared for a tenth of the interval, which is less than a tick.
    *changed = None;
    next_check.iter_mut().for_each(due);
    missing.iter_mut().for_each(move_back);
    copies.values_mut().for_each(move_back_to_tick);
    if let Some(wake) = verdict.as_mut().and_then(|verdict| verdict.wake.as_mut()) {
        due(wake);
    }
}
