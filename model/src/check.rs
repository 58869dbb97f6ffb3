//! The model as stateright sees it, with its properties.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::api::ready_condition;
use crate::config::Config;
use crate::effects::Fault;
use crate::events::{Event, events};
use crate::graph::{Edge, Graph};
use crate::process::{Actor, Shared, is_awake};
use crate::state::State;

/// One way on from a state, with where it leads to.
#[derive(Clone)]
pub struct Move {
    label: Label,
    to: Box<State>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Label {
    Step { process: usize, webhook: usize, step: &'static str, fault: Option<Fault>, stale: bool },
    Event(Event),
}

impl Label {
    fn is_free(&self) -> bool {
        match self {
            Self::Step { fault, stale, .. } => fault.is_none() && !stale,
            Self::Event(event) => event.is_free(),
        }
    }
}

impl PartialEq for Move {
    fn eq(&self, other: &Self) -> bool {
        self.label == other.label
    }
}

impl std::fmt::Debug for Move {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.label {
            Label::Event(event) => write!(f, "{event:?}"),
            Label::Step { process, webhook, step, fault, stale } => {
                let stale = if *stale { " from an old version" } else { "" };
                write!(f, "process {process}, webhook {webhook}: {step}{stale}")?;
                fault.as_ref().map_or(Ok(()), |fault| write!(f, ", {fault:?}"))
            }
        }
    }
}

struct World {
    config: Config,
    shared: Shared,
    graph: Graph,
}

impl World {
    fn moves(&self, state: &State) -> Vec<Move> {
        let mut moves = Vec::new();
        for place in 0..state.processes.len() {
            for number in 0..self.config.webhooks {
                self.steps(state, place, number, &mut moves);
            }
        }
        for event in events(&self.config, state) {
            let to = Box::new(state.after(&self.config, &event));
            moves.push(Move { label: Label::Event(event), to });
        }
        moves
    }

    fn steps(&self, state: &State, place: usize, number: usize, moves: &mut Vec<Move>) {
        let work = &state.processes[place].work[number];
        let actor = || {
            let mut actor = Actor::new(&self.config, &self.shared, state, place, number);
            actor.state.broken = None;
            actor
        };
        if is_awake(state, &state.processes[place], number) {
            let mut current = actor();
            match (&work.running, &state.objects[number].now) {
                (None, Some(now)) => current.begin(now.clone()),
                (Some(_), _) => current.running().asleep = None,
                (None, None) => return,
            }
            self.step(current, false, moves);
        }
        if state.left.stale > 0 && work.running.is_none() {
            for old in &state.objects[number].old {
                let version = crate::state::version(old);
                let is_released = work.released && old.metadata.uid.as_ref() == Some(&work.uid);
                if version >= work.cached && work.seen.is_none_or(|seen| seen < version) && !is_released {
                    let mut stale = actor();
                    stale.state.left.stale -= 1;
                    stale.begin(old.clone());
                    self.step(stale, true, moves);
                }
            }
        }
    }

    fn step(&self, mut actor: Actor<'_>, stale: bool, moves: &mut Vec<Move>) {
        let (process, webhook) = (actor.place, actor.number);
        let label = |step, fault| Label::Step { process, webhook, step, fault, stale };
        match actor.next() {
            None => moves.push(Move { label: label("nothing", None), to: Box::new(actor.finish()) }),
            Some(step) => {
                let faults = actor.faults(&step);
                for fault in faults.into_iter().map(Some) {
                    let to = Box::new(actor.fork().carry_out(step.clone(), fault.clone()));
                    moves.push(Move { label: label(step.name(), fault), to });
                }
                let name = step.name();
                moves.push(Move { label: label(name, None), to: Box::new(actor.carry_out(step, None)) });
            }
        }
    }
}

/// Everything is as declared.
fn is_as_declared(config: &Config, state: &State) -> bool {
    let may_leak = config.broken.contains(&"S3");
    let is_so = |number: usize| {
        let owned: Vec<_> = state.owned(number).collect();
        let object = &state.objects[number];
        if object.comes_back.is_some() {
            return false;
        }
        let Some(now) = &object.now else { return may_leak || owned.is_empty() };
        let status = now.status.clone().unwrap_or_default();
        let is_ready = ready_condition(&status.conditions).is_some_and(|ready| ready.status == "True");
        let [remote] = owned.as_slice() else { return false };
        is_ready
            && now.metadata.deletion_timestamp.is_none()
            && status.observed_generation == now.metadata.generation
            && status.webhook_id.as_ref() == Some(&remote.id)
            && remote.url == now.spec.url
            && now.metadata.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty())
    };
    state.flights.is_empty() && (0..state.objects.len()).all(is_so)
}

/// The cause of the webhook whose id is stored in an object, for each object.
fn stored(state: &State) -> impl Iterator<Item = (usize, Option<usize>)> {
    state.objects.iter().enumerate().filter_map(|(number, object)| {
        let id = object.now.as_ref()?.status.as_ref()?.webhook_id.as_ref()?;
        let remote = state.remotes.iter().find(|remote| remote.id == *id)?;
        Some((number, remote.cause))
    })
}

impl Model for World {
    type State = State;
    type Action = Move;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(&self.config)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Move>) {
        let moves = self.moves(state);
        let edges = moves.iter().map(|way| Edge {
            from: state.key,
            to: way.to.key,
            is_free: way.label.is_free(),
            writes: matches!(way.label, Label::Step { .. })
                && (way.to.versions != state.versions || way.to.remotes != state.remotes),
        });
        self.graph.add(state.key, is_as_declared(&self.config, state), edges);
        actions.extend(moves);
    }

    fn next_state(&self, _: &State, way: Move) -> Option<State> {
        Some(*way.to)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("S1", |_, state: &State| {
                (0..state.objects.len()).all(|number| state.owned(number).count() <= 1)
            }),
            Property::always("S3", |_, state: &State| {
                let is_idle =
                    state.processes.iter().flat_map(|process| &process.work).all(|work| work.running.is_none());
                let is_gone = |number: usize| {
                    let object = &state.objects[number];
                    object.now.is_none() && object.comes_back.is_none()
                };
                !is_idle
                    || !state.flights.is_empty()
                    || (0..state.objects.len()).all(|number| !is_gone(number) || state.owned(number).count() == 0)
            }),
            Property::always("S4", |_, state: &State| state.broken != Some("S4")),
            Property::always("S5", |_, state: &State| {
                let is_siblings = |(number, cause): (usize, Option<usize>)| cause.is_some_and(|cause| cause != number);
                state.broken != Some("S5") && !stored(state).any(is_siblings)
            }),
            Property::always("S6", |_, state: &State| state.broken != Some("S6")),
            Property::always("S7", |_, state: &State| !stored(state).any(|(_, cause)| cause.is_none())),
            Property::always("settles", |_, state: &State| state.broken != Some("settles")),
            Property::always("S9", |_, state: &State| state.broken != Some("S9")),
        ]
    }
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub name: &'static str,
    /// Different states.
    pub states: usize,
    /// The longest way to one of them.
    pub depth: usize,
    /// States at rest.
    pub at_rest: usize,
    /// States from which rest cannot be reached; not looked for in a run that ended early.
    pub stuck: usize,
    /// Properties that were found broken, each with how.
    pub broken: Vec<(&'static str, String)>,
    /// How it comes to one of the states from which rest cannot be reached.
    pub stuck_by: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// All states were seen: it did not end at a broken property.
    pub is_whole: bool,
}

impl Report {
    /// Nothing is broken but this, which is, and rest is in reach from everywhere.
    #[must_use]
    pub fn is_as_expected(&self, broken: &[&str]) -> bool {
        let mut found: Vec<&str> = self.broken.iter().map(|(name, _)| *name).collect();
        found.sort_unstable();
        found == broken && self.stuck == 0 && (self.at_rest > 0 || !self.is_whole)
    }
}

/// Looks at every state of a run. With `first` it ends at the first broken property.
#[must_use]
pub fn check(config: &Config, first: bool) -> Report {
    let begun = Instant::now();
    let world = World { config: config.clone(), shared: Shared::new(config), graph: Graph::default() };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let finish = if first { HasDiscoveries::AnyFailures } else { HasDiscoveries::All };
    let checker = world.checker().threads(threads).finish_when(finish).spawn_bfs().join();
    let broken: Vec<(&'static str, String)> =
        checker.discoveries().into_iter().map(|(name, path)| (name, told(&path.into_vec()))).collect();
    let is_whole = checker.is_done() && (broken.is_empty() || !first);
    let convergence = if is_whole { checker.model().graph.converge() } else { Default::default() };
    let stuck_by = convergence.stuck.first().map(|_| way_to(checker.model(), &convergence.stuck));
    Report {
        name: config.name,
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        at_rest: convergence.at_rest,
        stuck: convergence.stuck.len(),
        broken,
        stuck_by,
        took: begun.elapsed(),
        is_whole,
    }
}

fn told(path: &[(State, Option<Move>)]) -> String {
    let mut text = String::new();
    for (state, way) in path {
        text.push_str(&format!("  {state:?}\n"));
        if let Some(way) = way {
            text.push_str(&format!("- {way:?}\n"));
        }
    }
    text
}

/// A shortest way to one of these states.
fn way_to(world: &World, wanted: &[u64]) -> String {
    let initial = State::initial(&world.config);
    let mut came_from = std::collections::HashMap::from([(initial.key, None)]);
    let mut queue = std::collections::VecDeque::from([initial]);
    while let Some(state) = queue.pop_front() {
        if wanted.binary_search(&state.key).is_ok() {
            let mut way: Vec<(State, Option<Move>)> = vec![(state.clone(), None)];
            let mut key = state.key;
            while let Some(Some((before, by))) = came_from.get(&key).cloned() {
                let before: State = before;
                key = before.key;
                way.insert(0, (before, Some(by)));
            }
            return told(&way);
        }
        for way in world.moves(&state) {
            if !came_from.contains_key(&way.to.key) {
                let to = way.to.as_ref().clone();
                came_from.insert(to.key, Some((state.clone(), way)));
                queue.push_back(to);
            }
        }
    }
    String::new()
}
