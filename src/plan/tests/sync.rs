//! A stored id, kept as declared.

use super::*;
use crate::api::REQUESTED_AT;

const NO_UPDATE: Capabilities = Capabilities { put: Support::Absent, patch: Support::Absent, ..ALL };
const BLIND: Capabilities = Capabilities { list: Support::Absent, get: Support::Absent, ..ALL };

#[test]
fn an_update_costs_one_call_and_one_write() {
    let mut script = Script::synced();
    script.world.edit(|object| object.spec.url = "https://hooks.example.com/new".into());
    assert_eq!(script.steps(), "ReadSecrets Update wh_1 Synced");
    assert_eq!((script.world.writes, script.world.posts.len()), (1, 0));
    assert_eq!(script.world.marked(), ["wh_1"], "the marker is kept");
    let status = script.world.status();
    assert_eq!((status.observed_generation, script.steps()), (Some(2), "Synced".into()));
}

#[test]
fn nothing_changed_costs_nothing() {
    let mut script = Script::synced();
    script.process.crash();
    for _ in 0..5 {
        script.live(700);
    }
    assert_eq!((script.world.writes, script.world.posts.len()), (0, 0));
    assert!(script.world.log.iter().all(|step| ["List", "ReadSecrets", "Synced"].contains(&step.as_str())));
}

#[test]
fn drift_is_undone() {
    let mut script = Script::synced();
    script.world.orion.insert("wh_1".into(), differing());
    script.pass(700);
    assert_eq!(script.steps(), "List ReadSecrets Update wh_1 Synced");
    assert_eq!(script.world.orion["wh_1"].url.as_ref(), Some(&webhook().spec.url));
}

#[test]
fn a_check_on_request_is_one_get_and_an_echo() {
    let mut script = Script::synced();
    script.world.orion.insert("wh_1".into(), differing());
    script.world.annotate(REQUESTED_AT, "2026-11-25T00:00:00Z");
    assert_eq!(script.steps(), "Get wh_1 ReadSecrets Update wh_1 Synced");
    assert_eq!(script.world.status().last_handled_reconcile_at.as_deref(), Some("2026-11-25T00:00:00Z"));
    assert_eq!(script.steps(), "Synced", "answered");
}

#[test]
fn what_was_answered_stays_told_when_the_annotation_goes() {
    for (annotation, told, expected) in [
        (None, None, None),
        (None, Some("one"), Some("one")),
        (Some("two"), None, Some("two")),
        (Some("two"), Some("one"), Some("two")),
        (Some("two"), Some("two"), Some("two")),
    ] {
        // Suspended, it is settled without a look.
        let case = Case::stored("wh_1").synced().spec(|spec| spec.suspend = Some(true));
        let case = case.status(|status| status.last_handled_reconcile_at = told.map(str::to_owned));
        let case = match annotation {
            Some(value) => case.annotate(REQUESTED_AT, value),
            None => case,
        };
        let settled = case.settles().status.last_handled_reconcile_at;
        assert_eq!(settled.as_deref(), expected, "{annotation:?} {told:?}");
    }
}

#[test]
fn a_rotated_secret_is_pushed_when_it_is_newer_than_the_applied_one() {
    let mut script = Script::new();
    script.world.object.as_mut().unwrap().spec.headers.push(secret_header());
    script.live(10);
    let applied = |script: &Script| script.world.status().applied_secrets[0].resource_version.clone();
    assert_eq!((script.world.reason(), applied(&script)), ("Synced".into(), "1".into()));
    for crash in [false, true] {
        let next: u64 = applied(&script).parse::<u64>().unwrap() + 1;
        script.world.secret = Some(next.to_string());
        if crash {
            script.process.crash();
        }
        let steps = script.steps();
        assert!(steps.contains("Update wh_1 Synced"), "{steps}");
        assert_eq!(applied(&script), next.to_string());
    }
    // A cache that lags behind is no rotation; a Secret that is gone is told.
    script.world.secret = Some("1".into());
    assert_eq!(script.steps(), "Synced");
    script.world.secret = None;
    assert_eq!(script.steps(), "ReadSecrets SecretNotFound");
    script.world.secret = Some("other".into());
    assert!(script.steps().ends_with("Update wh_1 Synced"), "not a number: compared as text");
    for (cached, applied, expected) in [("2", "2", "Synced"), ("9", "10", "Synced"), ("10", "9", "ReadSecrets")] {
        let applied = AppliedSecret { name: SECRET.into(), resource_version: applied.into() };
        let case = Case::stored("wh_1").secret(cached).status(|status| status.applied_secrets = vec![applied]);
        assert_eq!(case.synced().short(), expected);
    }
}

#[test]
fn what_a_look_at_orion_leads_to() {
    let due = || Case::stored("wh_1").read();
    let not_ready = |case: Case| case.status(|status| status.conditions.clear());
    let unknown = |case: Case| case.capabilities(|can| can.get = Support::Unknown);
    let no_list = |case: Case| case.capabilities(|can| can.list = Support::Absent);
    for (case, expected) in [
        (due(), "List"),
        (due().with(|case| case.webhook.metadata.finalizers = None), "Hold"),
        (due().annotate(REQUESTED_AT, "now"), "Get wh_1"),
        (due().capabilities(|can| can.list = Support::Absent), "Get wh_1"),
        (due().capabilities(|can| *can = BLIND), "Synced"),
        // It was sent by this process: nothing has to be sent to say so again.
        (not_ready(due().synced()).annotate(REQUESTED_AT, "now").capabilities(|can| *can = BLIND), "Synced"),
        (not_ready(due()).capabilities(|can| *can = BLIND), "Update wh_1"),
        (due().listed(Ok(list(START, &[ours("wh_1")]))), "Synced"),
        (due().listed(Ok(list(START, &[differing()]))), "Update wh_1"),
        (due().listed(Ok(list(START, &[unmarked("wh_1")]))), "Synced"),
        (due().listed(Ok(list(START, &[]))), "Get wh_1"),
        (due().listed(Ok(list(START, &[]))).capabilities(|can| can.get = Support::Absent), "Synced"),
        (due().listed(Err(answer(503))), "Synced"),
        (not_ready(due()).listed(Err(answer(503))), "OrionUnavailable"),
        (due().listed(Err(answer(404))), "Get wh_1"),
        (due().listed(Err(answer(405))).capabilities(|can| *can = BLIND), "Synced"),
        (due().got("wh_1", Ok(ours("wh_1"))), "Synced"),
        (due().got("wh_1", Ok(differing())), "Update wh_1"),
        (due().got("wh_2", Ok(differing())), "List"),
        (due().got("wh_1", Err(answer(405))), "Synced"),
        (not_ready(due()).got("wh_1", Err(answer(405))), "Update wh_1"),
        (due().got("wh_1", Err(answer(401))), "Synced"),
        (not_ready(due()).got("wh_1", Err(answer(401))), "Unauthorized"),
        (due().got("wh_1", Err(Failure { json: false, ..answer(404) })), "Synced"),
        (not_ready(due()).got("wh_1", Err(Failure { json: false, ..answer(404) })), "EndpointNotFound"),
        // A 404 that proves nothing: the list has to say it, and without one nothing is claimed or changed.
        (unknown(due()).got("wh_1", Err(answer(404))), "List"),
        (unknown(due()).got("wh_1", Err(answer(404))).listed(Ok(list(START, &[differing()]))), "Update wh_1"),
        (unknown(due()).got("wh_1", Err(answer(404))).listed(Ok(list(START, &[]))), "Synced"),
        (unknown(due()).got("wh_1", Err(answer(404))).listed(Err(answer(503))), "Synced"),
        (unknown(not_ready(due())).got("wh_1", Err(answer(404))).listed(Ok(flawed(START, &[]))), "Progressing"),
        (no_list(unknown(due())).got("wh_1", Err(answer(404))), "Synced"),
        (due().facts(|facts| facts.trouble = Some(trouble())), "Synced"),
        (not_ready(due()).facts(|facts| facts.trouble = Some(trouble())), "OrionUnavailable"),
        (Case::stored("wh_1").got("wh_1", Ok(ours("wh_1"))), "ReadSecrets"),
    ] {
        assert_eq!(case.short(), expected, "{:?}", case.round);
    }
    for case in [due(), not_ready(due())] {
        let failed = case.listed(Err(answer(503))).settles();
        assert_eq!((failed.wake, failed.failed), (Some(START + backoff(0, 0.5)), true));
        assert_eq!(failed.next_check, failed.wake);
    }
    let troubled = due().facts(|facts| facts.trouble = Some(trouble())).settles();
    assert_eq!(
        (troubled.wake, troubled.next_check),
        (Some(START + secs(300)), Some(START)),
        "due as soon as it is over"
    );
    // Ready=True is not carried over to a spec that Orion does not have.
    let newer = Case::stored("wh_1")
        .read()
        .got("wh_1", Err(answer(503)))
        .with(|case| case.webhook.metadata.generation = Some(2));
    assert_eq!(newer.short(), "OrionUnavailable");
}

#[test]
fn where_orion_cannot_be_read_a_secret_is_still_pushed() {
    let case = || {
        Case::stored("wh_1").secret("2").capabilities(|can| *can = BLIND).with(|case| {
            case.round.secrets = Some(Ok(values(&case.webhook.spec, "2")));
        })
    };
    let applied = |version: &str| vec![AppliedSecret { name: SECRET.into(), resource_version: version.into() }];
    assert_eq!(case().status(|status| status.applied_secrets = applied("1")).short(), "Update wh_1");
    assert_eq!(case().status(|status| status.applied_secrets = applied("2")).short(), "Synced");
    // The same where a look shows no difference: a value may be masked.
    let seen = |version: &str| {
        let case = case().capabilities(|can| *can = ALL).status(|status| status.applied_secrets = applied(version));
        let there = remote("wh_1", &case.webhook.spec, "2", Some(&owner()));
        case.got("wh_1", Ok(there)).short()
    };
    assert_eq!((seen("1").as_str(), seen("2").as_str()), ("Update wh_1", "Synced"));
}

#[test]
fn what_an_update_meets() {
    let changed = || Case::stored("wh_1").synced().spec(|spec| spec.user_id = "user-43".into());
    for (case, expected) in [
        (changed(), "ReadSecrets"),
        (changed().read(), "Update wh_1"),
        (changed().read().capabilities(|can| can.put = Support::Absent), "Update wh_1"),
        (changed().capabilities(|can| *can = NO_UPDATE), "UpdateUnsupported"),
        (changed().facts(|facts| facts.trouble = Some(trouble())), "OrionUnavailable"),
        (changed().read().with(|case| case.settings.dry_run = true), "DryRun"),
    ] {
        assert_eq!(case.short(), expected);
    }
    for (failure, expected, forgets) in [
        (answer(405), "UpdateUnsupported", false),
        (answer(404), "Progressing", true),
        (answer(422), "Rejected", false),
        (answer(401), "Unauthorized", false),
        (answer(403), "Forbidden", false),
        (answer(307), "UnexpectedRedirect", false),
        (answer(429), "RateLimited", false),
        (unsent(FailureClass::Tls), "TLSFailed", false),
        (answer(409), "Conflict", true),
        (answer(503), "OrionUnavailable", true),
        (lost(FailureClass::Timeout), "Timeout", true),
        (lost(FailureClass::Protocol), "RemoteProtocolError", true),
    ] {
        let settlement = changed().read().called(CallKind::Update { id: "wh_1".into() }, Err(failure)).settles();
        assert_eq!(settlement.readiness.reason.as_str(), expected);
        assert_eq!(
            settlement.synced,
            forgets.then_some(None),
            "{expected}: what may have taken effect is looked at first"
        );
        assert_eq!(settlement.status.webhook_id.as_deref(), Some("wh_1"));
    }
    assert_eq!(Case::stored("wh_1").called(CallKind::Unmark { id: "wh_1".into() }, Ok("wh_1")).short(), "Progressing");
}

#[test]
fn a_refused_update_is_sent_again_only_when_something_changes() {
    let mut script = Script::synced();
    script.world.faults.extend([Fault::refused(answer(422)), Fault::refused(answer(422))]);
    script.world.edit(|object| object.spec.url = "https://hooks.example.com/new".into());
    assert_eq!(script.steps(), "ReadSecrets Update wh_1 Rejected");
    script.live(5000);
    assert_eq!(script.world.faults.len(), 1);
    script.world.annotate(REQUESTED_AT, "now");
    assert!(script.steps().ends_with("Rejected"));
    script.process.crash();
    assert!(script.steps().ends_with("Update wh_1 Synced"));
}

#[test]
fn a_copy_is_deleted_when_two_rounds_a_settle_time_apart_show_it() {
    let mut script = Script::synced();
    script.world.orion.insert("wh_copy".into(), ours("wh_copy"));
    script.pass(700);
    assert_eq!(script.steps(), "List ReadSecrets Synced");
    assert_eq!(script.world.marked().len(), 2);
    script.pass(700);
    assert_eq!(script.steps(), "List ReadSecrets Delete wh_copy Synced");
    assert_eq!((script.world.marked(), script.world.writes), (vec!["wh_1"], 0));
}

#[test]
fn only_a_proven_copy_is_deleted() {
    let first = START + secs(100);
    let confirmed = first + secs(60);
    let both = || list(confirmed, &[ours("wh_1"), ours("wh_2")]);
    let case = |shown: Option<Arc<Snapshot>>| {
        let case = Case::stored("wh_1").at(confirmed + secs(1)).synced();
        case.facts(|facts| facts.last_list = shown)
            .with(|case| case.memory.copies = [("wh_2".to_owned(), first)].into())
    };
    for (case, expected) in [
        (case(Some(both())), "Delete wh_2"),
        (case(None), "List"),
        (case(Some(list(confirmed - secs(1), &[ours("wh_1"), ours("wh_2")]))), "List"),
        (case(Some(list(confirmed, &[ours("wh_1")]))), "Synced"),
        (case(Some(list(confirmed, &[ours("wh_1"), foreign("wh_2")]))), "Synced"),
        (case(Some(list(confirmed, &[ours("wh_2")]))), "Synced"),
        (case(Some(flawed(confirmed, &[ours("wh_1"), ours("wh_2")]))), "Synced"),
        (case(Some(both())).at(confirmed - secs(1)), "Synced"),
        (case(Some(both())).with(|case| drop(case.holders.insert("wh_2".into(), "team-b/other".into()))), "Synced"),
        (case(Some(both())).capabilities(|can| can.delete = Support::Absent), "Synced"),
        (case(Some(both())).facts(|facts| facts.trouble = Some(trouble())), "Synced"),
        (case(Some(both())).facts(|facts| facts.ownership = false), "Synced"),
        (case(Some(both())).with(|case| case.settings.dry_run = true), "Synced"),
        (case(None).listed(Err(answer(503))), "Synced"),
        (case(None).called(CallKind::Delete { id: "wh_2".into() }, Err(answer(503))), "Synced"),
        (Case::new().held().called(CallKind::Delete { id: "wh_2".into() }, Ok("wh_2")), "Progressing"),
    ] {
        assert_eq!(case.short(), expected);
    }
    assert!(matches!(case(None).step(), Step::List { begun_after } if begun_after == confirmed));
    let early = case(Some(both())).at(confirmed - secs(5));
    assert_eq!(early.settles().wake, Some(confirmed), "it looks again when a copy may be one");
    // One that cannot be deleted keeps nobody awake.
    let kept = case(Some(both())).at(confirmed).synced().capabilities(|can| can.delete = Support::Absent).settles();
    assert_eq!(kept.wake, Some(START + secs(230)));
}

#[test]
fn suspended_is_ready_only_if_the_rest_is_what_was_last_synced() {
    let suspend = |case: Case| {
        case.spec(|spec| spec.suspend = Some(true)).with(|case| case.webhook.metadata.generation = Some(2))
    };
    let changed = |case: Case| case.spec(|spec| spec.user_id = "user-43".into());
    let missing =
        |case: Case| case.with(|case| case.connection = Connection::Missing { message: "gone".into(), lost: false });
    for (case, expected) in [
        (suspend(Case::stored("wh_1").synced()), "Synced"),
        (changed(suspend(Case::stored("wh_1").synced())), "Suspended"),
        (missing(suspend(Case::stored("wh_1").synced())), "Synced"),
        (missing(changed(suspend(Case::stored("wh_1").synced()))), "Suspended"),
        (missing(suspend(Case::stored("wh_1"))), "Suspended"),
        (suspend(Case::stored("wh_1")), "Get wh_1"),
        (suspend(Case::stored("wh_1").got("wh_1", Ok(ours("wh_1")))), "ReadSecrets"),
        (suspend(Case::stored("wh_1").got("wh_1", Ok(ours("wh_1"))).read()), "Synced"),
        (suspend(Case::stored("wh_1").got("wh_1", Ok(differing())).read()), "Suspended"),
        (suspend(Case::stored("wh_1").got("wh_1", Err(answer(503)))), "Suspended"),
        (suspend(Case::stored("wh_1").facts(|facts| facts.trouble = Some(trouble()))), "Suspended"),
        (suspend(Case::stored("wh_1").capabilities(|can| can.get = Support::Absent)), "Suspended"),
        (suspend(Case::stored("wh_1")).status(|status| status.observed_generation = Some(2)), "Synced"),
        (suspend(Case::stored("wh_1").status(|status| status.conditions.clear())), "Suspended"),
        (suspend(Case::new().carrying("t", START)), "Suspended"),
        (suspend(Case::open("t")), "Suspended"),
    ] {
        assert_eq!(case.short(), expected);
        if let Step::Settle(settlement) = case.step() {
            assert_eq!(settlement.status.observed_generation, Some(2));
            assert_eq!((condition(&settlement.status, "Reconciling"), settlement.wake), (None, None));
        }
    }
    // What was under way when it was suspended is told.
    let called = suspend(Case::stored("wh_1")).read().called(CallKind::Update { id: "wh_1".into() }, Err(answer(503)));
    assert_eq!(called.short(), "OrionUnavailable");
    let mut script = Script::synced();
    script.world.edit(|object| object.spec.suspend = Some(true));
    script.world.orion.insert("wh_1".into(), differing());
    script.live(5000);
    assert_eq!(script.world.orion["wh_1"].url, differing().url, "left alone");
    script.world.edit(|object| object.spec.suspend = None);
    script.live(700);
    assert_eq!(script.world.orion["wh_1"].url.as_ref(), Some(&webhook().spec.url));
}

#[test]
fn it_looks_again_when_all_do_and_by_itself_after_the_interval() {
    let checks = |list: Support, now: u64| {
        let case = Case::stored("wh_1").synced().capabilities(|can| can.list = list);
        let settlement = case.with(|case| (case.now, case.memory.next_check) = (secs(now), None)).settles();
        assert_eq!(settlement.wake, settlement.next_check);
        settlement.wake.map_or(0, |wake| wake.as_secs())
    };
    // Every 600 s, and half of 60 s by chance: whenever the last look was, that of all others comes at the same time.
    for (now, expected) in [(1200, 1830), (1201, 1830), (1700, 1830), (1799, 1830), (1800, 2430), (1859, 2430)] {
        assert_eq!(checks(Support::Proven, now), expected, "{now}");
    }
    // Counted from when the process began with the connection: what was just started has quiet first.
    let late = Case::stored("wh_1").synced().with(|case| {
        (case.now, case.memory.next_check) = (secs(1750), None);
        case.usable().begun = secs(1700);
    });
    assert_eq!(late.settles().wake, Some(secs(1700 + 630)));
    // One call for each: they stay spread.
    assert_eq!((checks(Support::Absent, 1200), checks(Support::Absent, 1201)), (1830, 1831));
}

#[test]
fn a_time_that_is_known_stays_unless_the_interval_was_shortened() {
    let checks = |known: Option<u64>| {
        let case = Case::stored("wh_1").synced().capabilities(|can| can.list = Support::Absent);
        let settlement =
            case.with(|case| case.memory.next_check = known.map(|seconds| START + secs(seconds))).settles();
        assert_eq!(settlement.wake, settlement.next_check);
        settlement.wake.map(|wake| (wake - START).as_secs())
    };
    // The known time stays, but one that was set when the interval was longer is brought forward.
    assert_eq!((checks(None), checks(Some(100)), checks(Some(5000))), (Some(630), Some(100), Some(630)));
}

#[test]
fn a_shared_list_is_young_enough_for_its_reader() {
    let no_get = || Case::stored("wh_1").capabilities(|can| can.get = Support::Absent);
    let ago = |seconds: u64| START - secs(seconds);
    let changed = |seconds: u64| no_get().with(|case| case.memory.changed(ago(seconds)));
    let slow = |seconds| Arc::new(Snapshot::new(ago(300), Vec::new(), None).taking(secs(seconds)));
    for (case, expected) in [
        (no_get(), ago(120)),
        (no_get().spec(|spec| spec.interval = Some("5m".into())), ago(60)),
        // A long list takes its time, and is not read once more for those who come when it is there.
        (no_get().facts(|facts| facts.last_list = Some(slow(60))), ago(180)),
        // What a person has just seen is looked at, not what was before.
        (no_get().annotate(REQUESTED_AT, "now"), START),
        // None from before our own change shows it, and a second look is none that was the first.
        (changed(10), ago(10)),
        (changed(200), ago(120)),
        (no_get().with(|case| case.memory.missing = vec![ago(70)]), ago(10)),
    ] {
        let step = case.step();
        assert!(matches!(step, Step::List { begun_after } if begun_after == expected), "{step:?}");
    }
}
