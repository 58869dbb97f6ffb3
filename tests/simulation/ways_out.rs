//! An Orion that cannot be asked what a create came to: nothing is sent a second time by guess, and the commands that the
//! messages print are ways out, each of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::oracle::marker;
use super::orion::{FULL, Features, Markers};
use super::person::{Act, Deed, key, name};
use super::plan::{Fault, ORION_FAULTS, POINTS, Plan, Point};
use super::scenario::{rest_well, setting, simulate};
use super::world::{INTERVAL, World};

/// Orions without what it takes to find out by oneself.
const LIMITED: [Features; 4] = [
    Features { list: false, get: false, update: false, delete: false, openapi: false, ..FULL },
    Features { list: false, openapi: false, ..FULL },
    Features { markers: Markers::Stripped, ..FULL },
    Features { markers: Markers::Masked, ..FULL },
];

/// What happened to the create.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    Crash(usize, Point),
    Fault(Fault),
}

fn mishaps() -> impl Iterator<Item = Mishap> {
    let crashes = (1..=4).flat_map(|effect| POINTS.into_iter().map(move |point| Mishap::Crash(effect, point)));
    crashes.chain(ORION_FAULTS.into_iter().map(Mishap::Fault))
}

/// The POST is the third call of a create after discovery: a Secret is read and the attempt is recorded before it.
const POST: usize = 4;

/// A create that meets a mishap, with a person who does what the messages say. `is_edited`: its spec changes while the
/// result is unknown, and what was sent does not look like it any more. `is_to_go`: it is deleted in the end. Gives how
/// often a person had to act.
fn create(features: Features, mishap: Mishap, is_edited: bool, is_to_go: bool) -> Result<usize, String> {
    simulate(async {
        let mut setting = setting(0, None);
        setting.features = features;
        let world = World::new(setting);
        world.operate();
        sleep(Duration::from_secs(10)).await;
        let mut plan = Plan::default();
        match mishap {
            Mishap::Crash(effect, point) => drop(plan.crashes.insert(effect, point)),
            Mishap::Fault(fault) => drop(plan.faults.insert(POST, fault)),
        }
        *world.plan() = plan;
        world.act(&Act(0, Deed::Create));
        if is_edited {
            sleep(Duration::from_secs(20)).await;
            world.act(&Act(0, Deed::Edit(7)));
        }
        let mut acts = 0;
        for round in 0..6 {
            sleep(INTERVAL).await;
            acts += usize::from(help(&world));
            if round == 2 && is_to_go {
                world.act(&Act(0, Deed::Delete));
            }
        }
        rest_well(&world).await.map(|_| acts)
    })
}

/// A person reads the message, looks at Orion, and does what the message says.
fn help(world: &Arc<World>) -> bool {
    let Some((reason, message)) = world.reason(0) else { return false };
    if reason == "NotAllowed" && message.contains("put its url, userId and presenceName back") {
        world.act(&Act(0, Deed::Edit(0)));
        return true;
    }
    if !matches!(reason.as_str(), "CreateUnresolved" | "DeleteUnsupported") {
        return false;
    }
    let is_going = world.api.store().get(&key(0)).unwrap()["metadata"].get("deletionTimestamp").is_some();
    let there = world.orion().owned(&marker(&name(0)));
    let printed = |what: &str| {
        let words = message.split_whitespace().filter_map(|word| word.split_once("resolve=").map(|(_, value)| value));
        let mut fitting = words.filter(|value| value.starts_with(what));
        fitting.next().unwrap_or_else(|| panic!("no {what} in: {message}")).to_owned()
    };
    let word = match there.first() {
        _ if is_going => {
            world.orion().webhooks.clear();
            printed("abandon")
        }
        Some(id) => printed("adopt").replace("<id>", id),
        None => printed("retry"),
    };
    world.act(&Act(0, Deed::Resolve(word)));
    true
}

#[test]
fn each_way_out_leads_out() {
    let (mut runs, mut acts) = (0, 0);
    for features in LIMITED {
        for mishap in mishaps() {
            for (is_edited, is_to_go) in [(false, false), (false, true), (true, false), (true, true)] {
                // Where nothing can be updated, an edit has its own end: `UpdateUnsupported`.
                if is_edited && !features.update {
                    continue;
                }
                let helped = create(features, mishap, is_edited, is_to_go).unwrap_or_else(|what| {
                    panic!("{features:?}, {mishap:?}, edited: {is_edited}, to go: {is_to_go}: {what}")
                });
                runs += 1;
                acts += helped;
            }
        }
    }
    println!("{runs} runs, in which people had to act {acts} times");
    assert!(acts > 0);
}
