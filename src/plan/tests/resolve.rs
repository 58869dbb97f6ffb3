//! A create of unknown result, and a person's decision.

use super::*;
use crate::plan::decision::{Decision, decision};

#[test]
fn it_waits_reads_two_lists_and_only_then_posts_again() {
    let mut script = Script::new();
    script.world.faults.push_back(Fault::refused(answer(503)));
    script.reconcile();
    let writes = script.world.writes;
    script.pass(30);
    assert_eq!(script.steps(), "CreateUncertain", "nothing is asked before the settle time");
    script.pass(31);
    assert_eq!(script.steps(), "Refresh List CreateUncertain");
    script.pass(4);
    assert_eq!(script.steps(), "CreateUncertain");
    assert_eq!(script.world.writes, writes, "only time has passed");
    script.pass(2);
    assert!(script.steps().starts_with("Refresh List ReadSecrets Prepare BeginAttempt Post"));
    assert_eq!((script.world.posts.len(), script.world.marked().len()), (2, 1));
    assert_ne!(script.world.posts[0].token, script.world.posts[1].token);
}

#[test]
fn what_landed_late_is_found_and_not_made_again() {
    for delay in [0, 1, 30, 59] {
        let mut script = Script::new();
        script.world.faults.push_back(Fault::lost(delay));
        script.live(300);
        let status = script.world.status();
        assert_eq!((script.world.posts.len(), status.webhook_id.as_deref()), (1, Some("wh_1")), "after {delay} s");
        assert_eq!(status.settled_attempt.as_deref(), Some("t0"));
        assert_eq!(script.world.reason(), "Synced");
    }
}

#[test]
fn a_restart_begins_the_settle_time_anew() {
    let mut script = Script::new();
    script.world.faults.push_back(Fault::lost(40));
    script.reconcile();
    script.pass(30);
    script.process.crash();
    assert_eq!(script.steps(), "CreateUncertain");
    script.pass(59);
    assert_eq!(script.steps(), "CreateUncertain");
    script.pass(2);
    assert_eq!(script.steps(), "Refresh List ReadSecrets Synced");
}

#[test]
fn whatever_is_not_known_is_in_doubt() {
    let theirs = "t 2026-11-25T00:00:00Z theirs00";
    for (case, expected) in [
        (Case::new().held(), "CreateUncertain"),
        (Case::open("t"), "CreateUncertain"),
        (Case::open("t").status(|status| status.settled_attempt = Some("t".into())), "ReadSecrets"),
        (Case::open("t").status(|status| status.settled_attempt = Some("s".into())), "CreateUncertain"),
        (Case::open("t").annotate(CREATE_ATTEMPT, theirs), "CreateUnresolved"),
        (Case::open("t").annotate(CREATE_ATTEMPT, ""), "CreateUnresolved"),
        (Case::new().held().with(|case| case.memory.held = true), "ReadSecrets"),
        (Case::new(), "ReadSecrets"),
    ] {
        assert_eq!(case.short(), expected, "{:?}", case.webhook.metadata);
    }
    let message = Case::open("t").annotate(CREATE_ATTEMPT, theirs).settles().readiness.message;
    assert!(message.contains("--instance-id") && message.contains("theirs00"), "{message}");
}

#[test]
fn the_settle_time_is_never_shorter_than_the_time_out() {
    for (settle, timeout, at) in [(60, 10, 60), (5, 10, 13), (5, 30, 33), (33, 30, 33)] {
        let case = Case::open("t").with(|case| case.settings.create_settle = secs(settle));
        let case = case.facts(|facts| facts.timeout = secs(timeout));
        assert_eq!(case.settles().wake, Some(START + secs(at)));
        assert_eq!(case.after(at).short(), "Refresh");
    }
    assert_eq!(Case::new().held().settles().wake, Some(START + SETTLE), "from when it is first seen");
}

/// After the settle time, read afresh.
fn settled_case() -> Case {
    Case::open("t").after(61).with(|case| case.fresh = true)
}

/// A first list was read.
fn first_list(case: &mut Case) {
    case.memory.doubt.as_mut().unwrap().lists = vec![START + secs(61)];
}

/// The same, with a first list behind it and a second one read.
fn looked(second: Arc<Snapshot>) -> Case {
    let case = settled_case().after(70).with(first_list);
    case.listed(Ok(second)).prepared()
}

#[test]
fn what_the_lists_say_decides() {
    let second = START + secs(67);
    let survive = |case: Case| case.facts(|facts| facts.markers_survive = true);
    let unseen = |case: Case| case.capabilities(|can| can.list = Support::Unknown);
    for (case, expected) in [
        (settled_case(), "List"),
        (settled_case().after(60), "List"),
        (settled_case().after(66).with(first_list), "List"),
        (settled_case().listed(Ok(list(START + secs(61), &[]))), "CreateUncertain"),
        (settled_case().listed(Ok(list(START + secs(30), &[]))), "List"),
        (settled_case().listed(Ok(list(START + secs(30), &[ours("wh_1")]))), "List"),
        (settled_case().listed(Ok(list(START + secs(60), &[ours("wh_1")]))).read(), "Synced"),
        (settled_case().listed(Ok(list(START + secs(61), &[ours("wh_1")]))).read(), "Synced"),
        (settled_case().listed(Ok(flawed(START + secs(61), &[ours("wh_1")]))).read(), "Synced"),
        (settled_case().listed(Ok(flawed(START + secs(61), &[]))), "CreateUncertain"),
        (settled_case().facts(|facts| facts.trouble = Some(trouble())), "CreateUncertain"),
        (settled_case().listed(Err(answer(500))), "CreateUncertain"),
        (settled_case().listed(Err(answer(401))), "CreateUncertain"),
        (settled_case().listed(Err(answer(403))), "CreateUnresolved"),
        (settled_case().listed(Err(answer(404))), "CreateUncertain"),
        (unseen(settled_case()).listed(Err(answer(404))), "CreateUnresolved"),
        (unseen(settled_case()).listed(Err(answer(405))), "CreateUnresolved"),
        (settled_case().capabilities(|can| can.list = Support::Absent), "CreateUnresolved"),
        (looked(list(second, &[])), "BeginAttempt"),
        (looked(list(START + secs(66), &[])), "BeginAttempt"),
        (looked(list(START + secs(65), &[])), "List"),
        (looked(flawed(second, &[])), "CreateUncertain"),
        (looked(list(second, &[unmarked("wh_1")])), "CreateUnresolved"),
        (survive(looked(list(second, &[unmarked("wh_1")]))), "BeginAttempt"),
        (looked(list(second, &[unmarked("wh_1"), foreign("wh_2")])), "BeginAttempt"),
        (survive(looked(list(second, &[unmarked("wh_1")]))).facts(|facts| facts.ownership = false), "CreateUnresolved"),
        (looked(list(second, &[ours("wh_1")])).facts(|facts| facts.ownership = false), "CreateUnresolved"),
        // A list from before the settle time is not the first of two.
        (
            looked(list(second, &[])).with(|case| case.memory.doubt.as_mut().unwrap().lists = vec![START]),
            "CreateUncertain",
        ),
    ] {
        assert_eq!(case.short(), expected, "{:?}", case.round.list);
    }
    let between = settled_case().listed(Ok(list(START + secs(61), &[]))).settles();
    assert_eq!(between.wake, Some(START + secs(66)));
    let waits = settled_case().facts(|facts| facts.trouble = Some(trouble())).settles();
    assert_eq!(waits.wake, Some(START + secs(61 + 300)), "the connection says when it is back");
    let mut other = unmarked("wh_1");
    other.url = Some("https://elsewhere.example.com/".into());
    assert_eq!(looked(list(second, &[other])).short(), "BeginAttempt");
}

/// Found by the simulation: an edit changes what a look-alike looks like.
#[test]
fn an_edit_does_not_hide_what_was_sent_before_it() {
    let mut sent = unmarked("wh_1");
    sent.url = Some("https://before.example.com/".into());
    let edited = |generation, sent_generation| {
        looked(list(START + secs(67), std::slice::from_ref(&sent))).with(|case| {
            case.webhook.metadata.generation = Some(generation);
            case.memory.doubt.as_mut().unwrap().sent = sent_generation;
        })
    };
    let held = |case: Case| case.with(|case| drop(case.holders.insert("wh_1".into(), "team-b/other".into())));
    for (case, expected) in [
        // Never edited, or this very generation was sent: it would look like the spec.
        (edited(1, None), "BeginAttempt"),
        (edited(3, Some(3)), "BeginAttempt"),
        // Edited since, or nobody here knows.
        (edited(3, Some(2)), "CreateUnresolved"),
        (edited(3, None), "CreateUnresolved"),
        (held(edited(3, None)), "BeginAttempt"),
        (edited(3, None).facts(|facts| facts.markers_survive = true), "BeginAttempt"),
        // A deletion is a generation of its own, and no edit.
        (edited(2, None).deleting(), "Release"),
        (edited(4, Some(3)).deleting(), "Release"),
        (edited(4, Some(2)).deleting(), "CreateUnresolved"),
    ] {
        assert_eq!(case.short(), expected, "{:?} {:?}", case.webhook.metadata.generation, case.memory.doubt);
    }
    let many: Vec<RemoteWebhook> = (10..60).map(|number| unmarked(&format!("wh_{number}"))).collect();
    let message = looked(list(START + secs(67), &many)).settles().readiness.message;
    assert!(message.contains("wh_19 and others is it") && !message.contains("wh_20"), "{message}");
}

/// What another account does not list may be in the one that the POST went to.
#[test]
fn a_list_of_another_account_says_nothing() {
    let second = START + secs(67);
    let account = |credentials: u64| Some(Account { credentials, ..facts().account() });
    let elsewhere = Some(Account { endpoint: "https://old.example.com".into(), credentials: 1 });
    let case = |webhooks: &[RemoteWebhook], proven: bool, sent_to: Option<Account>| {
        looked(list(second, webhooks)).facts(|facts| (facts.proven, facts.credentials) = (proven, 1)).with(|case| {
            case.memory.doubt.as_mut().unwrap().account = sent_to;
        })
    };
    let adopt = crate::api::AdoptSpec { id: "wh_9".into(), force: None };
    let look_alike = [unmarked("wh_1")];
    for (case, expected) in [
        (case(&[], true, None), "BeginAttempt"),
        (case(&[], true, account(0)), "BeginAttempt"),
        (case(&[], false, None), "CreateUnresolved"),
        (case(&[], false, account(0)), "CreateUnresolved"),
        (case(&[], false, elsewhere), "CreateUnresolved"),
        // Begun after the change.
        (case(&[], false, account(1)), "BeginAttempt"),
        (case(&[ours("wh_1")], false, account(0)), "Synced"),
        (case(&look_alike, false, account(1)), "CreateUnresolved"),
        (case(&look_alike, false, account(1)).facts(|facts| facts.markers_survive = true), "BeginAttempt"),
        (case(&look_alike, false, account(0)).facts(|facts| facts.markers_survive = true), "CreateUnresolved"),
        // A person's word counts.
        (case(&[], false, None).annotate(RESOLVE, "retry=t"), "BeginAttempt resolved"),
        (case(&[], false, None).annotate(RESOLVE, "adopt=wh_9"), "Get wh_9"),
        (case(&[], false, None).spec(|spec| spec.adopt = Some(adopt)), "Get wh_9"),
    ] {
        assert_eq!(case.short(), expected, "{:?}", case.memory.doubt);
    }
    let settlement = case(&[], false, account(0)).settles();
    assert_eq!((settlement.wake, settlement.failed), (Some(START + secs(70 + 600)), false));
    let message = &settlement.readiness.message;
    for part in ["is it the right account?", "ends by itself", "resolve=adopt=<id>", "resolve=retry=t"] {
        assert!(message.contains(part), "{message}");
    }
    // What it looks at again is no list of the last time.
    let again = |after: u64| case(&[], false, account(0)).after(after).with(|case| case.round.list = None).step();
    for (after, begun) in [(100, START + secs(66)), (5000, START + secs(5000 - 600))] {
        let step = again(after);
        assert!(matches!(step, Step::List { begun_after } if begun_after == begun), "{step:?}");
    }
    let going = case(&[], false, account(0)).deleting().settles();
    assert_eq!((going.wake, going.readiness.reason), (settlement.wake, Reason::CreateUnresolved));
    assert_eq!(condition(&going.status, "Stalled"), None);
    assert!(going.readiness.message.contains("resolve=abandon"), "{}", going.readiness.message);
}

#[test]
fn an_account_that_was_changed_during_a_create_is_looked_at_until_it_is_the_right_one() {
    let swapped = || {
        let mut script = Script::new();
        script.world.faults.push_back(Fault::lost(20));
        script.reconcile();
        script.pass(30);
        let old = std::mem::take(&mut script.world.orion);
        (script.world.facts.credentials, script.world.facts.proven) = (1, false);
        script.live(5000);
        assert_eq!((script.world.reason(), script.world.posts.len()), ("CreateUnresolved".into(), 1));
        (script, old)
    };
    // The right account again: that it is, a stored id shows, or the marker itself.
    let (mut script, old) = swapped();
    (script.world.orion, script.world.facts.credentials) = (old, 2);
    script.live(700);
    assert_eq!((script.world.reason(), script.world.posts.len()), ("Synced".into(), 1));
    // It is the right one, and the create took no effect.
    let (mut script, _) = swapped();
    script.world.facts.proven = true;
    script.live(700);
    assert_eq!((script.world.reason(), script.world.posts.len()), ("Synced".into(), 2));
    // Deleted meanwhile: what may be in the old account is not lost silently.
    let (mut script, _) = swapped();
    script.world.delete();
    script.live(5000);
    assert_eq!(script.world.reason(), "CreateUnresolved");
    script.world.annotate(RESOLVE, "abandon");
    script.reconcile();
    assert!(script.world.object.is_none());
    // One that is begun under the new credentials ends as any other.
    let mut script = Script::new();
    (script.world.facts.credentials, script.world.facts.proven) = (1, false);
    script.world.faults.push_back(Fault::refused(answer(502)));
    script.live(300);
    assert_eq!((script.world.reason(), script.world.posts.len()), ("Synced".into(), 2));
}

#[test]
fn a_match_is_recorded_before_anything_else() {
    let at = START + secs(61);
    let case = settled_case().listed(Ok(list(at, &[ours("wh_b"), ours("wh_a"), foreign("wh_0")]))).read();
    let settlement = case.settles();
    assert_eq!(settlement.status.webhook_id.as_deref(), Some("wh_a"), "the bytewise lowest");
    assert_eq!(
        (settlement.guard.clone(), settlement.status.settled_attempt.as_deref()),
        (Guard::Attempt("t".into()), Some("t"))
    );
    // One that another Webhook holds is left to it.
    let case = case.with(|case| drop(case.holders.insert("wh_a".into(), "team-b/other".into())));
    assert_eq!(case.settles().status.webhook_id.as_deref(), Some("wh_b"));
    let case = case.with(|case| drop(case.holders.insert("wh_b".into(), "team-b/other".into())));
    assert_eq!((case.short(), case.settles().status.webhook_id), ("Conflict".into(), None));
    // Differing: recorded all the same, and brought to what is declared next.
    let mut differs = ours("wh_a");
    differs.url = Some("https://elsewhere.example.com/".into());
    let settlement = settled_case().listed(Ok(list(at, &[differs]))).read().settles();
    assert_eq!((settlement.readiness.reason, settlement.wake), (Reason::Progressing, Some(at)));
    assert_eq!(settlement.status.webhook_id.as_deref(), Some("wh_a"));
}

#[test]
fn a_person_is_told_every_way_out_word_for_word() {
    let kubectl =
        |value: &str| format!("kubectl annotate webhook -n {NAMESPACE} {NAME} orion-operator.dev/resolve={value}");
    let blind = |case: Case| case.capabilities(|can| can.list = Support::Absent);
    for (case, values) in [
        (blind(Case::open("t")), vec!["adopt=<id>", "retry=t"]),
        (blind(Case::new().held()), vec!["adopt=<id>", "retry=none"]),
        (blind(Case::open("t")).deleting(), vec!["abandon"]),
        (looked(list(START + secs(67), &[unmarked("wh_7"), unmarked("wh_8")])), vec!["adopt=<id>", "retry=t"]),
    ] {
        let settlement = case.settles();
        assert_eq!(settlement.readiness.reason, Reason::CreateUnresolved);
        let message = &settlement.readiness.message;
        for value in values {
            assert!(message.contains(&kubectl(value)), "{message}");
        }
        assert!(case.round.list.is_none() || message.contains("If one of wh_7, wh_8 is it"), "{message}");
        assert!(!message.contains(URL_SECRET));
        assert_eq!(condition(&settlement.status, "Stalled").is_some(), !case.view(|view| view.is_deleting()));
    }
}

#[test]
fn decisions_are_read_strictly() {
    for (text, expected) in [
        ("adopt=wh_1", Some(Decision::Adopt("wh_1"))),
        (" retry=t ", Some(Decision::Retry("t"))),
        ("recreate=wh_1", Some(Decision::Recreate("wh_1"))),
        ("abandon", Some(Decision::Abandon)),
        ("adopt=", None),
        ("retry=", None),
        ("recreate=", None),
        ("abandon=yes", None),
        ("Abandon", None),
        ("", None),
    ] {
        assert_eq!(decision(text), expected, "{text:?}");
    }
}

#[test]
fn a_decision_is_acted_on_where_it_fits_and_named_where_not() {
    let blind = || Case::open("t").capabilities(|can| can.list = Support::Absent);
    for (case, value, expected) in [
        (blind().prepared(), "retry=t", "BeginAttempt resolved"),
        (blind(), "retry=t", "ReadSecrets"),
        (blind(), "retry=other", "CreateUnresolved"),
        (blind(), "retry=none", "CreateUnresolved"),
        (Case::new().held().prepared(), "retry=none", "BeginAttempt resolved"),
        (Case::new().prepared(), "retry=none", "BeginAttempt"),
        (blind(), "adopt=wh_1", "Get wh_1"),
        (blind().got("wh_1", Ok(foreign("wh_1"))).read(), "adopt=wh_1", "Synced"),
        (blind().got("wh_1", Err(answer(404))), "adopt=wh_1", "AdoptionFailed"),
        (blind().capabilities(|can| can.get = Support::Absent), "adopt=wh_1", "Progressing"),
        (Case::new(), "adopt=wh_1", "ReadSecrets"),
        (Case::stored("wh_1"), "adopt=wh_1", "ClearResolve"),
        (Case::stored("wh_1").synced(), "adopt=wh_2", "Synced"),
        (Case::stored("wh_1").synced(), "recreate=wh_1", "Synced"),
        (Case::stored("wh_1").synced(), "abandon", "Synced"),
        (Case::stored("wh_1").synced(), "nonsense", "Synced"),
        (blind().spec(|spec| spec.suspend = Some(true)), "retry=t", "Suspended"),
        (blind().deleting(), "retry=t", "CreateUnresolved"),
        (blind().deleting(), "abandon", "Release"),
    ] {
        let case = case.annotate(RESOLVE, value);
        assert_eq!(case.short(), expected, "{value}");
        if let Step::Settle(settlement) = case.step() {
            let is_named = settlement.readiness.message.contains("fits nothing");
            let fits = ["Suspended", "AdoptionFailed", "Progressing"].contains(&expected) || value == "adopt=wh_1";
            assert_eq!(is_named, !fits, "{value}: {}", settlement.readiness.message);
        }
    }
    // While it waits for the connection it is not called unfit.
    let waits = blind().annotate(RESOLVE, "retry=t").facts(|facts| facts.trouble = Some(trouble())).settles();
    assert_eq!((waits.readiness.reason, waits.readiness.message), (Reason::OrionUnavailable, trouble().message));
}

#[test]
fn a_person_retries_without_a_list() {
    let mut script = Script::new();
    script.world.facts.capabilities.list = Support::Absent;
    script.world.faults.push_back(Fault::refused(answer(500)));
    script.live(1000);
    assert_eq!((script.world.reason(), script.world.posts.len()), ("CreateUnresolved".into(), 1));
    script.world.annotate(RESOLVE, "retry=t0");
    script.live(1000);
    assert_eq!((script.world.reason(), script.world.posts.len()), ("Synced".into(), 2));
    assert!(!script.world.object().metadata.annotations.as_ref().unwrap().contains_key(RESOLVE));
}

#[test]
fn a_person_adopts() {
    for (get, there) in [(Support::Proven, true), (Support::Absent, true), (Support::Absent, false)] {
        let mut script = Script::new();
        script.world.facts.capabilities = Capabilities { list: Support::Absent, get, ..ALL };
        script.world.faults.push_back(if there { Fault::lost(0) } else { Fault::refused(answer(500)) });
        script.live(100);
        assert_eq!(script.world.reason(), "CreateUnresolved");
        script.world.annotate(RESOLVE, "adopt=wh_1");
        script.live(100);
        assert_eq!(script.world.status().webhook_id.as_deref(), Some("wh_1"));
        assert_eq!(script.world.status().settled_attempt.as_deref(), Some("t0"));
        assert!(!script.world.object().metadata.annotations.as_ref().unwrap().contains_key(RESOLVE));
        assert_eq!(script.world.posts.len(), 1);
        if there {
            assert_eq!(script.world.reason(), "Synced");
        }
    }
}
