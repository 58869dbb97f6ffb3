//! A stored id that Orion no longer has.

use super::*;
use crate::api::{AdoptSpec, REQUESTED_AT};

const NO_GET: Capabilities = Capabilities { get: Support::Absent, ..ALL };

#[test]
fn gone_twice_is_created_anew() {
    for (capabilities, first, apart, second) in [
        (ALL, "List Get wh_1 Synced", 2, "Get wh_1 LookAtOthers List"),
        // A list may lag behind by a settle time.
        (NO_GET, "List Synced", 60, "List LookAtOthers"),
        (Capabilities { list: Support::Absent, ..ALL }, "Get wh_1 Synced", 2, "Get wh_1 LookAtOthers"),
    ] {
        let mut script = Script::synced();
        script.world.facts.capabilities = capabilities;
        script.world.orion.clear();
        script.pass(700);
        assert_eq!(script.steps(), first);
        assert!(script.world.posts.is_empty());
        script.pass(apart - 1);
        assert_eq!(script.steps(), "Synced");
        script.pass(1);
        let steps = script.steps();
        let token = &script.world.posts[0].token;
        assert_eq!(steps, format!("{second} ReadSecrets Prepare BeginAttempt Post {token} Synced"));
        assert_eq!(script.world.status().webhook_id.as_deref(), Some("wh_2"));
        assert_eq!(script.world.orion.len(), 1);
        assert_eq!(script.steps(), "Synced");
    }
}

#[test]
fn a_miss_on_request_is_followed_up() {
    let mut script = Script::synced();
    script.world.orion.clear();
    script.world.facts.last_list = Some(list(script.world.now, &[ours("wh_1")]));
    script.world.annotate(REQUESTED_AT, "now");
    assert_eq!(script.steps(), "Get wh_1 Synced");
    script.live(5);
    assert_eq!(script.world.status().webhook_id.as_deref(), Some("wh_2"), "no older list outvotes it");
}

#[test]
fn once_is_not_gone() {
    let mut script = Script::synced();
    let there = script.world.orion.remove("wh_1").unwrap();
    script.pass(700);
    script.reconcile();
    script.world.orion.insert("wh_1".into(), there);
    script.live(3000);
    assert!(script.world.posts.is_empty());
    assert!(script.process.memory.missing.is_empty());
    // 404 without JSON, or from a GET that was never seen to work, is not gone at all.
    for (json, get) in [(false, Support::Proven), (true, Support::Unknown)] {
        let mut memory = Memory::default();
        memory.got(true, &Err(Failure { json, ..answer(404) }), get, START);
        assert!(memory.missing.is_empty());
    }
}

fn missing(looks: &[u64]) -> Case {
    let case = Case::stored("wh_1").after(100).got("wh_1", Err(answer(404))).prepared();
    case.with(|case| case.memory.missing = looks.iter().map(|seconds| START + secs(*seconds)).collect())
}

fn others(gone: usize, in_all: usize, stored: usize) -> Others {
    Others { looked_at: 10, gone, gone_in_all: in_all, stored }
}

#[test]
fn what_stands_before_a_new_attempt() {
    let twice = || missing(&[90, 100]);
    let looked = || twice().with(|case| case.round.others = Some(others(0, 1, 20)));
    let mass = || twice().with(|case| case.round.others = Some(others(10, 11, 20)));
    let at = |seconds: u64| START + secs(seconds);
    for (case, expected) in [
        (missing(&[]), "Synced"),
        (missing(&[100]), "Synced"),
        (missing(&[99, 100]), "Synced"),
        (missing(&[98, 100]), "LookAtOthers"),
        (missing(&[100]).with(|case| case.settings.create_settle = Duration::ZERO), "LookAtOthers"),
        (twice().facts(|facts| facts.proven = false), "MassDrift"),
        (mass(), "MassDrift"),
        (looked(), "List"),
        (looked().listed(Ok(list(at(99), &[]))), "List"),
        (looked().listed(Ok(list(at(100), &[]))), "BeginAttempt"),
        (looked().listed(Ok(list(at(100), &[unmarked("wh_5"), foreign("wh_6")]))), "BeginAttempt"),
        (looked().listed(Ok(list(at(100), &[ours("wh_5")]))), "Synced"),
        (looked().listed(Ok(flawed(at(100), &[]))), "Progressing"),
        (looked().listed(Err(answer(404))), "BeginAttempt"),
        (looked().listed(Err(answer(503))), "OrionUnavailable"),
        (looked().capabilities(|can| can.list = Support::Absent), "BeginAttempt"),
        (looked().facts(|facts| facts.ownership = false), "BeginAttempt"),
        (looked().with(|case| case.settings.dry_run = true).facts(|facts| facts.ownership = false), "List"),
        // An attempt to replace it that is in doubt comes before everything else.
        (twice().attempt("t").doubt("t", START).facts(|facts| facts.proven = false), "Refresh"),
        (mass().attempt("t").doubt("t", at(99)).annotate(RESOLVE, "recreate=wh_1"), "CreateUncertain"),
        (mass().annotate(RESOLVE, "recreate=wh_1"), "BeginAttempt resolved"),
        (twice().facts(|facts| facts.proven = false).annotate(RESOLVE, "recreate=wh_1"), "BeginAttempt resolved"),
        (missing(&[100]).annotate(RESOLVE, "recreate=wh_1"), "Synced"),
    ] {
        assert_eq!(case.short(), expected, "{:?} {:?}", case.memory.missing, case.round.list);
    }
    let found = looked().listed(Ok(list(at(100), &[ours("wh_5")]))).settles();
    assert_eq!(found.status.webhook_id.as_deref(), Some("wh_5"));
    let both = looked().listed(Ok(list(at(100), &[ours("wh_0"), ours("wh_1")]))).settles();
    assert_eq!(both.status.webhook_id.as_deref(), Some("wh_1"), "the stored one, if it is shown after all");
    let held = mass().settles();
    let kubectl = format!("kubectl annotate webhook -n {NAMESPACE} {NAME} orion-operator.dev/resolve=recreate=wh_1");
    assert!(held.readiness.message.contains(&kubectl) && held.wake == Some(at(700)));
}

#[test]
fn of_what_is_not_in_sync_no_claim_is_made_meanwhile() {
    let newer = missing(&[100]).with(|case| case.webhook.metadata.generation = Some(2));
    assert_eq!(newer.short(), "Progressing");
    let unproven = missing(&[]).status(|status| status.conditions.clear()).settles();
    assert_eq!((unproven.readiness.reason, unproven.failed), (Reason::Progressing, true));
    assert_eq!(unproven.wake, Some(START + secs(100) + backoff(0, 0.5)));
}

#[test]
fn a_second_look_that_tells_nothing_is_tried_again_after_a_back_off() {
    let mut script = Script::synced();
    script.world.facts.capabilities = NO_GET;
    script.world.orion.clear();
    script.pass(700);
    script.reconcile();
    script.world.flaws = 20;
    script.live(59);
    assert_eq!(script.world.flaws, 20, "not before its time");
    script.live(31);
    assert!((11..20).contains(&script.world.flaws), "not busy");
    assert!(script.process.memory.failures > 0, "and less and less");
    script.world.flaws = 0;
    script.live(600);
    assert_eq!((script.world.reason(), script.world.posts.len()), ("Synced".into(), 1));
}

#[test]
fn mass_drift_is_more_than_a_fifth_and_at_least_five() {
    for (gone, in_all, stored, expected) in [
        (0, 1, 1, false),
        (1, 1, 1, false),
        (4, 4, 4, false),
        (4, 5, 5, true),
        (0, 5, 25, false),
        (0, 6, 25, true),
        (5, 6, 1000, true),
        (5, 1, 12, true),
        (5, 1, 9, false),
        (2, 6, 1000, false),
        (2, 201, 1000, true),
        (10, 11, 11, true),
    ] {
        assert_eq!(others(gone, in_all, stored).is_mass_drift(), expected, "{gone} {in_all} {stored}");
    }
}

#[test]
fn mass_drift_ends_by_itself_or_by_a_person() {
    let drifted = || {
        let mut script = Script::synced();
        script.world.others = others(10, 11, 20);
        let there = script.world.orion.remove("wh_1").unwrap();
        script.live(3000);
        assert_eq!((script.world.reason(), script.world.posts.len()), ("MassDrift".into(), 0));
        (script, there)
    };
    let (mut script, there) = drifted();
    script.world.orion.insert("wh_1".into(), there);
    script.live(1000);
    assert_eq!((script.world.reason(), script.world.posts.len()), ("Synced".into(), 0));
    let (mut script, _) = drifted();
    script.world.annotate(RESOLVE, "recreate=wh_1");
    script.world.faults.push_back(Fault::lost(10));
    script.reconcile();
    assert_eq!(script.world.reason(), "CreateUncertain", "and not MassDrift with the same advice again");
    script.live(1000);
    assert_eq!((script.world.reason(), script.world.posts.len()), ("Synced".into(), 1));
}

#[test]
fn the_ways_out_of_an_uncertain_replacement_work() {
    for (decision, posts, id) in [("retry=", 2, "wh_3"), ("adopt=wh_2", 1, "wh_2")] {
        let mut script = Script::synced();
        script.world.facts.capabilities.list = Support::Absent;
        script.world.orion.clear();
        script.world.faults.push_back(if posts == 1 { Fault::lost(0) } else { Fault::refused(answer(500)) });
        script.live(1000);
        assert_eq!((script.world.reason(), script.world.posts.len()), ("CreateUnresolved".into(), 1));
        let token = script.world.posts[0].token.clone();
        script.world.annotate(RESOLVE, &decision.replace("retry=", &format!("retry={token}")));
        script.live(100);
        assert_eq!((script.world.reason(), script.world.posts.len()), ("Synced".into(), posts), "{decision}");
        assert_eq!(script.world.status().webhook_id.as_deref(), Some(id));
    }
}

/// An attempt to replace it made nothing, and meanwhile the spec names another one to adopt.
#[test]
fn what_is_adopted_in_its_place_is_read_once() {
    let settled = START + secs(60);
    let case = || {
        missing(&[90, 100])
            .attempt("t")
            .doubt("t", START)
            .facts(|facts| (facts.markers_survive, facts.adoption) = (true, true))
            .spec(|spec| spec.adopt = Some(AdoptSpec { id: "wh_9".into(), force: None }))
            .listed(Ok(list(START + secs(90), &[])))
            .with(|case| {
                case.fresh = true;
                case.memory.doubt.as_mut().unwrap().lists = vec![settled];
            })
    };
    assert_eq!(case().short(), "Get wh_9");
    let read = case().got("wh_9", Ok(unmarked("wh_9"))).read().settles();
    assert_eq!(read.status.webhook_id.as_deref(), Some("wh_9"));
    let not_there = case().got("wh_9", Err(answer(404))).settles();
    assert_eq!(not_there.readiness.reason, Reason::AdoptionFailed);
}
