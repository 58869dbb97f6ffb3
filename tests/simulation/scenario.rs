//! What a run is about, and how one goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::mutant::Mutant;
use super::orion::FULL;
use super::person::{Act, Deed};
use super::plan::{Fault, Plan, Point};
use super::world::{INTERVAL, Setting, World};

/// What a person asks for. The races: the second act comes when so many effects of the first have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    CreateDelete(usize),
    UpdateDelete(usize),
    UpdateUpdate(usize),
}

/// Each operation, each race at each of the moments it can come at.
pub fn operations() -> Vec<Operation> {
    let races = |race: fn(usize) -> Operation, effects: usize| (0..=effects).map(race);
    [Operation::Create, Operation::Update, Operation::Delete]
        .into_iter()
        .chain(races(Operation::CreateDelete, 4))
        .chain(races(Operation::UpdateDelete, 3))
        .chain(races(Operation::UpdateUpdate, 3))
        .collect()
}

/// What goes wrong in a run.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    pub crashes: BTreeMap<usize, Point>,
    pub faults: BTreeMap<usize, Fault>,
    /// A person asks again afterwards: what was refused is not tried again by itself.
    pub is_asked_again: bool,
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    pub effects: usize,
    /// Whether each call was of Orion.
    pub kinds: Vec<bool>,
    /// How many calls were made within two minutes: what came later only looked.
    pub busy: usize,
    /// The end state, or what is wrong with it.
    pub end: Result<Vec<String>, String>,
}

/// A setting without anything special.
pub fn setting(seed: u64, mutant: Option<Mutant>) -> Setting {
    Setting {
        seed,
        features: FULL,
        mutant,
        latency: (Duration::from_millis(5), Duration::from_millis(50)),
        lag: Duration::from_millis(20),
        limit: None,
        is_told: std::env::var_os("TELL").is_some(),
        is_recorded: false,
    }
}

/// Runs a future in simulated time: time passes when nothing else can happen.
pub fn simulate<F: Future>(future: F) -> F::Output {
    // The back-off of kube's watches has its jitter from here.
    fastrand::seed(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

/// One operation with its trouble, from the beginning to rest.
pub fn run(setting: Setting, operation: Operation, trouble: Trouble) -> Outcome {
    simulate(async {
        let world = World::new(setting);
        world.operate();
        let act = |deed: Deed| Act(0, deed);
        let (first, second) = match operation {
            Operation::Create => (Deed::Create, None),
            Operation::Update => (Deed::Edit(1), None),
            Operation::Delete => (Deed::Delete, None),
            Operation::CreateDelete(effects) => (Deed::Create, Some((effects, Deed::Delete))),
            Operation::UpdateDelete(effects) => (Deed::Edit(1), Some((effects, Deed::Delete))),
            Operation::UpdateUpdate(effects) => (Deed::Edit(1), Some((effects, Deed::Edit(2)))),
        };
        if !matches!(operation, Operation::Create | Operation::CreateDelete(_)) {
            world.act(&act(Deed::Create));
        }
        sleep(Duration::from_secs(30)).await;
        let mut plan = Plan { crashes: trouble.crashes, faults: trouble.faults, ..Plan::default() };
        let mut now = None;
        match second {
            Some((0, deed)) => now = Some(deed),
            Some((effects, deed)) => drop(plan.acts.insert(effects, act(deed))),
            None => {}
        }
        *world.plan() = plan;
        world.act(&act(first));
        if let Some(deed) = now {
            world.act(&act(deed));
        }
        sleep(Duration::from_secs(120)).await;
        let busy = world.plan().calls;
        sleep(3 * INTERVAL).await;
        // Where the crash came before the effects were enough, the second act is still to come.
        let rest = std::mem::take(&mut world.plan().acts);
        for act in rest.values() {
            world.act(act);
        }
        if trouble.is_asked_again {
            world.act(&act(Deed::Request(1)));
        }
        sleep(2 * INTERVAL).await;
        let Plan { effects, kinds, .. } = world.plan().clone();
        let end = rest_well(&world).await;
        Outcome { effects, kinds, busy, end }
    })
}

/// The end state is right, and S10: nothing is written any more, now and after a restart.
pub async fn rest_well(world: &Arc<World>) -> Result<Vec<String>, String> {
    let end = world.check_end()?;
    for moment in ["at rest", "after a restart"] {
        let before = world.plan().effects;
        sleep(INTERVAL + INTERVAL / 2).await;
        let after = world.plan().effects;
        if after != before {
            return Err(format!("{} writes {moment}", after - before));
        }
        if world.check_end()? != end {
            return Err(format!("the state changed {moment}"));
        }
        world.kill();
    }
    Ok(end)
}
