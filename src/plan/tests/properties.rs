//! Properties over the small world: whatever happens to it, in whatever order.

use proptest::prelude::*;

use super::process::Rest;
use super::*;
use crate::api::{AdoptSpec, DeletionPolicy, REQUESTED_AT};

/// What can happen between two steps of the operator.
#[derive(Clone, Debug)]
enum Event {
    /// So many steps.
    Steps(usize),
    /// Reconciles until nothing is due for so many seconds.
    Live(u64),
    Pass(u64),
    Crash,
    Url(u8),
    Suspend(bool),
    Secret(Option<u8>),
    Requested(u8),
    Resolve(u8),
    /// The next change at Orion fails with this status and has no effect.
    Refuse(u16),
    Unsent,
    /// The answer to the next change is lost; it takes effect after so many seconds, if at all.
    Lose(Option<u64>),
    /// The next read fails.
    Unreadable(u16),
    Flawed,
    /// Somebody removes what is stored.
    Vanish,
    WipeStatus,
    Connection(u8),
    Delete,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1_usize..8).prop_map(Event::Steps),
        6 => prop_oneof![Just(1), Just(10), Just(70), Just(700)].prop_map(Event::Live),
        2 => prop_oneof![Just(1), Just(6), Just(61), Just(601)].prop_map(Event::Pass),
        3 => Just(Event::Crash),
        2 => (0_u8..3).prop_map(Event::Url),
        1 => any::<bool>().prop_map(Event::Suspend),
        1 => prop::option::weighted(0.8, 1_u8..4).prop_map(Event::Secret),
        1 => (0_u8..9).prop_map(Event::Requested),
        1 => (0_u8..6).prop_map(Event::Resolve),
        2 => prop::sample::select(vec![307_u16, 401, 403, 405, 409, 422, 429]).prop_map(Event::Refuse),
        1 => Just(Event::Unsent),
        3 => prop::option::weighted(0.7, 0_u64..50).prop_map(Event::Lose),
        1 => prop::sample::select(vec![401_u16, 403, 500, 503]).prop_map(Event::Unreadable),
        1 => Just(Event::Flawed),
        1 => Just(Event::Vanish),
        1 => Just(Event::WipeStatus),
        1 => (0_u8..3).prop_map(Event::Connection),
        1 => Just(Event::Delete),
    ]
}

fn support() -> impl Strategy<Value = Support> {
    prop_oneof![4 => Just(Support::Proven), 1 => Just(Support::Unknown), 1 => Just(Support::Absent)]
}

/// An Orion that may lack some operations.
fn capabilities() -> impl Strategy<Value = Capabilities> {
    let any = (support(), support(), support(), support(), support());
    any.prop_map(|(list, get, put, patch, delete)| Capabilities { list, get, put, patch, delete })
}

fn happen(script: &mut Script, event: &Event) {
    let world = &mut script.world;
    match event {
        Event::Steps(steps) => {
            for _ in 0..*steps {
                if script.process.step(&mut script.world).is_some() {
                    break;
                }
                check(script);
            }
        }
        Event::Live(seconds) => script.live(*seconds),
        Event::Pass(seconds) => world.pass(secs(*seconds)),
        Event::Crash => script.process.crash(),
        Event::Url(url) => world.edit(|object| object.spec.url = format!("https://hooks.example.com/{url}")),
        Event::Suspend(suspend) => world.edit(|object| object.spec.suspend = Some(*suspend)),
        Event::Secret(version) => world.secret = version.map(|version| version.to_string()),
        Event::Requested(text) => world.annotate(REQUESTED_AT, &text.to_string()),
        Event::Resolve(kind) => {
            let Some(object) = &world.object else { return };
            let token = object.metadata.annotations.iter().flatten().find(|(key, _)| *key == CREATE_ATTEMPT);
            let token = token.map_or_else(|| "none".into(), |(_, text)| crate::api::Attempt::parse(text).token);
            let id = object.status.as_ref().and_then(|status| status.webhook_id.clone()).unwrap_or("wh_1".into());
            let decision = match kind {
                0 => format!("retry={token}"),
                1 => format!("recreate={id}"),
                2 => format!("adopt={id}"),
                3 => "adopt=wh_1".into(),
                4 => "retry=another".into(),
                _ => "nonsense".into(),
            };
            world.annotate(RESOLVE, &decision);
        }
        Event::Refuse(status) => world.faults.push_back(Fault::refused(answer(*status))),
        Event::Unsent => world.faults.push_back(Fault::refused(unsent(FailureClass::Unreachable))),
        Event::Lose(delay) => world.faults.push_back(match delay {
            Some(delay) => Fault::lost(*delay),
            None => Fault::refused(lost(FailureClass::Timeout)),
        }),
        Event::Unreadable(status) => world.read_faults.push_back(answer(*status)),
        Event::Flawed => world.flaws += 1,
        Event::Vanish => {
            if let Some(id) = world.object.as_ref().and_then(|object| object.status.as_ref()?.webhook_id.clone()) {
                world.orion.remove(&id);
            }
        }
        Event::WipeStatus => world.edit(|object| object.status = None),
        Event::Connection(kind) => {
            let message = "Because".to_owned();
            world.no_connection = match kind {
                0 => None,
                1 => Some(Connection::Missing { message, lost: false }),
                _ => Some(Connection::NotReady { message, lost: false }),
            };
        }
        Event::Delete => world.delete(),
    }
    check(script);
}

/// What holds at every moment.
fn check(script: &Script) {
    let world = &script.world;
    if let Some(object) = &world.object {
        let status = object.status.clone().unwrap_or_default();
        let has = |type_: &str| condition(&status, type_).is_some();
        assert!(!(has("Reconciling") && has("Stalled")));
        for condition in &status.conditions {
            assert!(!condition.message.contains(URL_SECRET) && !condition.message.contains("value-"), "{condition:?}");
        }
    }
    // A person's word may POST; without one, a second POST needs a reason.
    let spoken = world.log.iter().any(|step| step == "BeginAttempt resolved");
    for pair in world.posts.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let between = |times: &[Boot], from: Boot| {
            let mut times: Vec<Boot> = times.iter().copied().filter(|at| *at >= from && *at <= after.at).collect();
            times.sort_unstable();
            times
        };
        let excused = match &before.result {
            Err(failure) if failure.is_known_refusal() => true,
            // 409 with no marker to be found: nothing of ours was made.
            Err(failure) if failure.class == FailureClass::Conflict => true,
            Err(_) => is_resolved(&between(&world.lists, before.at + SETTLE)),
            Ok(_) => {
                is_resolved(&between(&world.lists, before.at + SETTLE))
                    || between(&world.not_found, before.at).len() >= 2
            }
        };
        assert!(excused || spoken, "two POSTs: {before:?} {after:?}\n{:?}", world.log);
        assert!(before.token != after.token || before.result.is_err());
    }
    assert!(spoken || world.marked().len() <= 1, "{:?} {:?}", world.marked(), world.log);
}

fn is_resolved(lists: &[Boot]) -> bool {
    matches!((lists.first(), lists.last()), (Some(first), Some(last)) if *last >= *first + secs(5))
}

/// The faults stop, and everything that was in flight lands.
fn heal(script: &mut Script) {
    // What is on its way ends under what it began with; the changes below are seen by the next one.
    script.reconcile();
    let world = &mut script.world;
    world.faults.clear();
    world.read_faults.clear();
    world.flaws = 0;
    world.no_connection = None;
    world.secret.get_or_insert_with(|| "9".into());
    world.pass(secs(60));
    world.facts.credentials += 1;
    script.live(3000);
}

/// At rest: the next reconciles change nothing, now and after a restart.
fn assert_rest(script: &mut Script) {
    for round in 0..4 {
        if round == 2 {
            script.process.crash();
            // A restart may look into what stays stalled until then.
            script.live(3000);
        }
        let (writes, posts, status) = (script.world.writes, script.world.posts.len(), script.world.status());
        let rest = script.reconcile();
        assert!(matches!(rest, Rest::Until(_)), "{:?}", script.world.log);
        assert_eq!(script.world.status(), status, "{:?}", script.world.log);
        assert_eq!((script.world.writes, script.world.posts.len()), (writes, posts), "{:?}", script.world.log);
    }
}

fn script(with_secret: bool, adopt: bool, orphan: bool) -> Script {
    let mut script = Script::new();
    let object = script.world.object.as_mut().unwrap();
    if with_secret {
        object.spec.headers.push(secret_header());
    }
    if adopt {
        object.spec.adopt = Some(AdoptSpec { id: "wh_there".into(), force: None });
        script.world.orion.insert("wh_there".into(), unmarked("wh_there"));
    }
    if orphan {
        object.spec.deletion_policy = Some(DeletionPolicy::Orphan);
    }
    script
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// An Orion that can do everything: after any history of faults the Webhook comes to be as declared, exactly once.
    #[test]
    fn everything_ends_well(
        events in prop::collection::vec(event(), 1..24),
        with_secret: bool,
        adopt in prop::bool::weighted(0.2),
        delete: bool,
    ) {
        let mut script = script(with_secret, adopt, false);
        script.world.facts.markers_survive = true;
        for event in &events {
            happen(&mut script, event);
        }
        heal(&mut script);
        if let Some(object) = &mut script.world.object {
            object.metadata.annotations.get_or_insert_default().remove(RESOLVE);
        }
        script.world.edit(|object| object.spec.suspend = None);
        script.world.annotate(REQUESTED_AT, "after all");
        script.live(6000);
        // What was to be adopted may have vanished, and nothing is created in its place without a change of the spec.
        let adoption_failed = adopt && script.world.object.is_some() && script.world.reason() == "AdoptionFailed";
        let lives = script.world.object.as_ref().is_some_and(|object| object.metadata.deletion_timestamp.is_none());
        if lives && !adoption_failed {
            prop_assert_eq!(script.world.reason(), "Synced", "{:?}", script.world.log);
            let status = script.world.status();
            let id = status.webhook_id.clone().unwrap();
            prop_assert!(script.world.orion.contains_key(&id));
            prop_assert_eq!(status.observed_generation, script.world.object().metadata.generation);
            let shown = &script.world.orion[&id];
            prop_assert_eq!(shown.url.as_ref(), Some(&script.world.object().spec.url));
            prop_assert!(script.world.marked().iter().all(|marked| *marked == id), "{:?}", script.world.log);
            assert_rest(&mut script);
        }
        if delete {
            script.world.delete();
            script.live(3000);
        }
        if script.world.object.is_none() {
            // Where a person's word made two, the second is left to the report of orphans.
            let spoken = script.world.log.iter().any(|step| step == "BeginAttempt resolved");
            prop_assert!(spoken || script.world.marked().is_empty(), "{:?}", script.world.log);
        } else {
            prop_assert!(script.world.object().metadata.deletion_timestamp.is_none(), "{:?}", script.world.log);
        }
    }

    /// An Orion that lacks operations: nothing panics, nothing is restless, nothing is doubled, and it comes to rest.
    #[test]
    fn no_orion_makes_it_restless(
        events in prop::collection::vec(event(), 1..24),
        capabilities in capabilities(),
        ownership in prop::bool::weighted(0.7),
        markers_survive: bool,
        adoption: bool,
        dry_run in prop::bool::weighted(0.1),
        (with_secret, adopt, orphan) in any::<(bool, bool, bool)>(),
    ) {
        let mut script = script(with_secret, adopt, orphan);
        script.world.facts.capabilities = capabilities;
        script.world.facts.ownership = ownership;
        script.world.facts.markers_survive = markers_survive;
        script.world.facts.adoption = adoption;
        script.world.settings.dry_run = dry_run;
        for event in &events {
            happen(&mut script, event);
        }
        heal(&mut script);
        if script.world.object.is_some() {
            assert_rest(&mut script);
        }
        if dry_run {
            prop_assert!(script.world.posts.is_empty());
            prop_assert!(script.world.object.is_none() || script.world.object().metadata.finalizers.is_none());
        }
    }

    /// Any stored state at all: the plan settles, and without a word from a person it POSTs only under its own attempt.
    #[test]
    fn any_stored_state_settles(
        id in prop::option::of("wh_[12]"),
        attempt in prop::option::of("(a1|a2|)( 2026-11-25T00:00:00Z)?( (theirs|.*))?"),
        settled in prop::option::of("a[12]"),
        resolve in prop::option::of("(adopt|retry|recreate|abandon)?=?(wh_1|wh_2|a1|a2|none)?"),
        endpoint in prop::option::of(prop_oneof![Just(ENDPOINT.to_owned()), Just("https://old.example.com".to_owned())]),
        interval in prop::option::of("[0-9]{1,20}(ms|s|m|h)"),
        (finalizer, deleting, suspend, there) in any::<(bool, bool, bool, bool)>(),
        capabilities in capabilities(),
    ) {
        let mut script = Script::new();
        script.world.facts.capabilities = capabilities;
        if there {
            script.world.orion.insert("wh_1".into(), ours("wh_1"));
        }
        script.world.edit(|object| {
            object.metadata.finalizers = finalizer.then(|| vec![FINALIZER.into()]);
            object.spec.suspend = Some(suspend);
            object.spec.interval = interval;
            let status = object.status.get_or_insert_default();
            (status.webhook_id, status.settled_attempt, status.endpoint) = (id, settled, endpoint);
            let annotations = object.metadata.annotations.get_or_insert_default();
            annotations.extend(attempt.map(|text| (CREATE_ATTEMPT.to_owned(), text)));
            annotations.extend(resolve.map(|text| (RESOLVE.to_owned(), text)));
        });
        if deleting {
            script.world.delete();
        }
        script.live(2000);
        if script.world.object.is_some() {
            assert_rest(&mut script);
        }
        check(&script);
    }
}
