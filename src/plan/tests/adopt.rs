//! Taking over by id.

use super::*;
use crate::api::AdoptSpec;

fn adopting(force: Option<bool>) -> Case {
    Case::new().spec(|spec| spec.adopt = Some(AdoptSpec { id: "wh_9".into(), force }))
}

#[test]
fn an_adoption_writes_nothing_to_orion_when_nothing_differs() {
    let mut script = Script::new();
    script.world.orion.insert("wh_9".into(), unmarked("wh_9"));
    script.world.object.as_mut().unwrap().spec.adopt = Some(AdoptSpec { id: "wh_9".into(), force: None });
    assert_eq!(script.steps(), "Get wh_9 Hold ReadSecrets Synced");
    assert_eq!((script.world.writes, script.world.posts.len()), (2, 0));
    script.pass(700);
    assert_eq!(script.steps(), "List ReadSecrets Synced");
    script.world.delete();
    script.live(10);
    assert!(script.world.orion.is_empty(), "deleted like any other");
}

#[test]
fn an_adoption_brings_what_differs_to_what_is_declared() {
    let mut script = Script::new();
    let mut there = unmarked("wh_9");
    there.url = Some("https://elsewhere.example.com/".into());
    script.world.orion.insert("wh_9".into(), there);
    script.world.object.as_mut().unwrap().spec.adopt = Some(AdoptSpec { id: "wh_9".into(), force: None });
    assert_eq!(script.steps(), "Get wh_9 Hold ReadSecrets Progressing");
    assert_eq!(script.steps(), "List ReadSecrets Update wh_9 Synced");
    assert_eq!(script.world.marked(), ["wh_9"]);
}

#[test]
fn what_an_adoption_meets() {
    let no_get = |case: Case| case.capabilities(|can| can.get = Support::Absent);
    let deny = |case: Case| case.facts(|facts| facts.adoption = false);
    let taken = |case: Case| case.with(|case| drop(case.holders.insert("wh_9".into(), "team-b/other".into())));
    for (case, expected) in [
        (adopting(None), "Get wh_9"),
        (deny(adopting(None)), "NotAllowed"),
        (taken(adopting(None)), "Conflict"),
        (adopting(None).facts(|facts| facts.trouble = Some(trouble())), "OrionUnavailable"),
        (adopting(None).got("wh_9", Err(answer(404))), "AdoptionFailed"),
        (adopting(None).got("wh_9", Err(answer(503))), "OrionUnavailable"),
        (adopting(None).got("wh_9", Err(answer(401))), "Unauthorized"),
        (adopting(None).got("wh_9", Err(answer(405))), "List"),
        (adopting(None).got("wh_9", Err(answer(405))).capabilities(|can| can.list = Support::Absent), "AdoptionFailed"),
        (adopting(None).got("wh_9", Ok(foreign("wh_9"))), "Conflict"),
        (adopting(Some(false)).got("wh_9", Ok(foreign("wh_9"))), "Conflict"),
        (adopting(Some(true)).got("wh_9", Ok(foreign("wh_9"))), "Hold"),
        (
            adopting(Some(true)).got("wh_9", Ok(foreign("wh_9"))).held().with(|case| case.memory.held = true).read(),
            "Progressing",
        ),
        (adopting(None).got("wh_9", Ok(unmarked("wh_9"))), "Hold"),
        (adopting(None).got("wh_9", Ok(unmarked("wh_9"))).with(|case| case.settings.dry_run = true), "DryRun"),
        (adopting(None).got("other", Ok(unmarked("other"))), "Get wh_9"),
        (no_get(adopting(None)), "List"),
        (no_get(adopting(None)).got("wh_9", Err(answer(404))), "List"),
        (no_get(adopting(None)).listed(Ok(list(START, &[unmarked("wh_9")]))), "Hold"),
        (no_get(adopting(None)).listed(Ok(list(START, &[]))), "AdoptionFailed"),
        (no_get(adopting(None)).listed(Ok(flawed(START, &[]))), "RemoteProtocolError"),
        (no_get(adopting(None)).listed(Err(answer(503))), "OrionUnavailable"),
        (no_get(adopting(None)).listed(Err(answer(404))), "AdoptionFailed"),
        (no_get(adopting(None)).capabilities(|can| can.list = Support::Absent), "AdoptionFailed"),
    ] {
        assert_eq!(case.short(), expected, "{:?}", case.round);
    }
}

#[test]
fn adoption_comes_after_stored_id_and_marker_and_before_create() {
    let at = START + secs(61);
    let adopt = || Case::open("t").spec(|spec| spec.adopt = Some(AdoptSpec { id: "wh_9".into(), force: None }));
    let looked = |webhooks: &[RemoteWebhook]| {
        let case = adopt().after(70).with(|case| case.fresh = true).read();
        let case = case.with(|case| case.memory.doubt.as_mut().unwrap().lists = vec![at]);
        case.listed(Ok(list(START + secs(67), webhooks)))
    };
    assert_eq!(looked(&[ours("wh_1")]).settles().status.webhook_id.as_deref(), Some("wh_1"));
    assert_eq!(looked(&[]).short(), "Get wh_9");
    assert_eq!(looked(&[unmarked("wh_9")]).short(), "Get wh_9");
    let settlement = looked(&[]).got("wh_9", Ok(unmarked("wh_9"))).settles();
    assert_eq!(settlement.guard, Guard::Attempt("t".into()), "the attempt ends with it");
    assert_eq!(
        Case::stored("wh_1")
            .synced()
            .spec(|spec| spec.adopt = Some(AdoptSpec { id: "wh_9".into(), force: None }))
            .short(),
        "Synced"
    );
}

#[test]
fn by_force_our_marker_is_put_on() {
    let mut script = Script::new();
    script.world.orion.insert("wh_9".into(), foreign("wh_9"));
    script.world.object.as_mut().unwrap().spec.adopt = Some(AdoptSpec { id: "wh_9".into(), force: Some(true) });
    script.live(10);
    assert_eq!((script.world.reason(), script.world.marked()), ("Synced".into(), vec!["wh_9"]));
}

#[test]
fn a_person_does_not_get_around_a_connection_that_denies_adoption() {
    let mut other = unmarked("wh_9");
    other.url = Some("https://elsewhere.example.com/".into());
    let edited = RemoteWebhook { url: other.url.clone(), ..ours("wh_9") };
    for (there, expected) in [
        (unmarked("wh_9"), "Synced"),
        (ours("wh_9"), "Synced"),
        (edited, "Progressing"),
        (foreign("wh_9"), "NotAllowed"),
        (other, "NotAllowed"),
    ] {
        let case = Case::open("t").facts(|facts| facts.adoption = false).annotate(RESOLVE, "adopt=wh_9");
        assert_eq!(case.got("wh_9", Ok(there)).read().short(), expected);
    }
}

#[test]
fn on_a_persons_word_an_id_is_taken_that_nothing_can_look_at() {
    let blind = |get: Support| {
        let case = Case::open("t").annotate(RESOLVE, "adopt=wh_1");
        case.capabilities(|can| (can.list, can.get) = (Support::Absent, get))
    };
    let unseen = || blind(Support::Unknown).got("wh_1", Err(answer(404)));
    let update = |case: Case, put, patch| case.capabilities(|can| (can.put, can.patch) = (put, patch));
    let no_update = || update(unseen(), Support::Unknown, Support::Unknown);
    let secret = SecretProblem { reason: Reason::SecretNotFound, message: "There is no Secret".into() };
    for (case, expected) in [
        // Something can look, or may be able to.
        (blind(Support::Unknown), "Get wh_1"),
        (blind(Support::Proven).got("wh_1", Err(answer(404))), "AdoptionFailed"),
        (blind(Support::Unknown).got("wh_2", Err(answer(404))), "Get wh_1"),
        (blind(Support::Unknown).got("wh_1", Err(answer(503))), "OrionUnavailable"),
        (blind(Support::Absent).capabilities(|can| can.list = Support::Unknown), "List"),
        (unseen().with(|case| drop(case.holders.insert("wh_1".into(), "team-b/other".into()))), "Conflict"),
        // An update that is proven to work makes sure.
        (unseen(), "Progressing"),
        (update(unseen(), Support::Proven, Support::Unknown), "Progressing"),
        (update(unseen(), Support::Unknown, Support::Proven), "Progressing"),
        (no_update(), "ReadSecrets"),
        (no_update().read(), "Synced"),
        (no_update().with(|case| case.round.secrets = Some(Err(secret))), "Progressing"),
    ] {
        assert_eq!(case.short(), expected, "{:?}", case.round);
        if let ("Progressing" | "Synced", Step::Settle(settlement)) = (expected, case.step()) {
            assert_eq!(settlement.status.webhook_id.as_deref(), Some("wh_1"));
            assert_eq!(settlement.status.endpoint.as_deref(), Some(ENDPOINT));
            assert_eq!(settlement.guard, Guard::Attempt("t".into()));
            // At once: the annotation comes off, or the update follows.
            assert_eq!(settlement.wake, Some(START));
        }
    }
}

#[test]
fn it_waits_for_the_holder_of_an_id() {
    let case = adopting(None).with(|case| drop(case.holders.insert("wh_9".into(), "team-b/other".into())));
    let settlement = case.settles();
    assert_eq!(settlement.wake, Some(START + secs(600)), "who lets go wakes nobody");
    let message = &settlement.readiness.message;
    assert!(message.starts_with("A Webhook of another namespace already holds wh_9. "), "{message}");
    assert!(!message.contains("team-b"), "{message}");
    // Only what is of the same namespace is named.
    for (holder, named) in [
        ("team-a/other", "The Webhook team-a/other"),
        ("team-ab/other", "A Webhook of another namespace"),
        ("other", "A Webhook of another namespace"),
    ] {
        let case = Case::new().with(|case| drop(case.holders.insert("wh_9".into(), holder.into())));
        assert_eq!(case.view(|view| view.holder("wh_9")), named);
    }
    assert_eq!(Case::new().view(|view| view.holder("wh_9")), "A Webhook of another namespace");
}

#[test]
fn only_the_named_id_is_taken_by_force() {
    // Without `force` a marker of another's that came onto a stored id is left alone.
    let stored = |id: &str, force| {
        let case = Case::stored("wh_9").spec(|spec| spec.adopt = Some(AdoptSpec { id: id.into(), force }));
        case.got("wh_9", Ok(foreign("wh_9"))).read()
    };
    for (case, expected) in [
        (stored("wh_9", Some(true)), "Update wh_9"),
        (stored("wh_9", Some(true)).facts(|facts| facts.ownership = false), "Synced"),
        (stored("wh_9", Some(true)).got("wh_9", Ok(ours("wh_9"))), "Synced"),
        (stored("wh_9", Some(true)).got("wh_9", Ok(unmarked("wh_9"))), "Synced"),
        (stored("wh_9", Some(false)), "Synced"),
        (stored("wh_9", None), "Synced"),
        (stored("wh_1", Some(true)), "Synced"),
    ] {
        assert_eq!(case.short(), expected);
    }
}
