//! The straight way of a create.

use super::*;

#[test]
fn a_create_costs_two_writes_and_one_call() {
    let mut script = Script::new();
    assert_eq!(script.steps(), "ReadSecrets Prepare BeginAttempt Post t0 Synced");
    let status = script.world.status();
    assert_eq!((script.world.writes, script.world.posts.len()), (2, 1));
    assert_eq!(status.webhook_id.as_deref(), Some("wh_1"));
    assert_eq!(status.endpoint.as_deref(), Some(ENDPOINT));
    assert_eq!(status.settled_attempt.as_deref(), Some("t0"));
    assert_eq!((status.observed_generation, condition(&status, "Ready")), (Some(1), Some("True")));
    assert_eq!(status.conditions.len(), 1);
    // Afterwards nothing but reading, and rarely.
    assert_eq!(script.steps(), "Synced");
    script.pass(700);
    assert_eq!(script.steps(), "List ReadSecrets Synced");
    assert_eq!((script.world.writes, script.world.posts.len()), (2, 1));
}

#[test]
fn all_that_a_post_needs_is_had_before_an_attempt_is_begun() {
    let secret = SecretProblem { reason: Reason::SecretNotFound, message: "There is no Secret".into() };
    let invalid = SecretProblem { reason: Reason::SecretInvalid, ..secret.clone() };
    for (case, expected) in [
        (Case::new(), "ReadSecrets"),
        (Case::new().read(), "Prepare"),
        (Case::new().prepared(), "BeginAttempt"),
        (Case::new().facts(|facts| facts.trouble = Some(trouble())), "OrionUnavailable"),
        (Case::new().with(|case| case.round.secrets = Some(Err(secret))), "SecretNotFound"),
        (Case::new().with(|case| case.round.secrets = Some(Err(invalid))), "SecretInvalid"),
        (
            Case::new().read().with(|case| case.round.prepared = Some(Err(unsent(FailureClass::Unreachable)))),
            "OrionUnavailable",
        ),
        (Case::new().read().with(|case| case.round.prepared = Some(Err(answer(401)))), "Unauthorized"),
        (Case::new().read().with(|case| case.round.prepared = Some(Err(answer(429)))), "RateLimited"),
    ] {
        assert_eq!(case.short(), expected);
    }
}

#[test]
fn a_post_follows_the_apiservers_word_within_two_seconds() {
    let moments = [(0, "Post t"), (1999, "Post t"), (2000, "Refresh"), (47_000, "Refresh"), (47_001, "BeginAttempt")];
    for (millis, expected) in moments {
        let case = Case::new().carrying("t", START).prepared().at(START + Duration::from_millis(millis));
        assert_eq!(case.short(), expected, "{millis} ms");
    }
    // A young word does not help when the call could end after the settle time: another may hold it for settled by then.
    for (confirmed, expected) in [(47_000, "Post t"), (47_001, "BeginAttempt")] {
        let case = Case::new().carrying("t", START).prepared().after(48);
        let confirmed = START + Duration::from_millis(confirmed);
        let case = case.with(|case| case.memory.carrying.as_mut().unwrap().confirmed = confirmed);
        assert_eq!(case.short(), expected);
    }
    let case = Case::new().carrying("t", START);
    assert_eq!(case.short(), "ReadSecrets", "header values are read in each round");
    assert_eq!(case.with(|case| case.memory.posting()).short(), "CreateUncertain", "sent is sent");
}

#[test]
fn the_attempt_is_recorded_for_people_and_for_this_installation() {
    let text = Case::new().view(|view| attempt_text(view, "tok"));
    assert_eq!(text, format!("tok 2027-01-15T08:16:40Z {}", settings().instance.prefix()));
}

/// After each failure of a POST: the reason, and whether it is known that nothing was created.
#[test]
fn a_refusal_is_known_and_anything_else_is_uncertain() {
    use FailureClass as C;
    for (failure, reason, settled) in [
        (unsent(C::Unreachable), "OrionUnavailable", true),
        (unsent(C::Tls), "TLSFailed", true),
        (unsent(C::Timeout), "Timeout", true),
        (answer(307), "UnexpectedRedirect", true),
        (answer(400), "Rejected", true),
        (answer(403), "Forbidden", true),
        (answer(404), "EndpointNotFound", true),
        (answer(405), "EndpointNotFound", true),
        (answer(413), "Rejected", true),
        (answer(415), "Rejected", true),
        (answer(418), "Rejected", true),
        (answer(422), "Rejected", true),
        (answer(429), "RateLimited", true),
        (lost(C::Unreachable), "CreateUncertain", false),
        (lost(C::Timeout), "CreateUncertain", false),
        (lost(C::Protocol), "CreateUncertain", false),
        (answer(408), "CreateUncertain", false),
        (answer(425), "CreateUncertain", false),
        (answer(500), "CreateUncertain", false),
        (answer(501), "CreateUncertain", false),
        (answer(502), "CreateUncertain", false),
        (answer(503), "CreateUncertain", false),
    ] {
        let text = format!("{failure:?}");
        let mut script = Script::new();
        script.world.faults.push_back(Fault::refused(failure.clone()));
        assert_eq!(script.steps(), format!("ReadSecrets Prepare BeginAttempt Post t0 {reason}"), "{text}");
        let status = script.world.status();
        let state = failure.reason().state();
        let stalled = settled && state == crate::api::State::Stalled;
        // What will be tried again by itself is tried under the same attempt: no write for it.
        assert_eq!((status.settled_attempt.is_some(), status.webhook_id), (stalled, None), "{text}");
        assert_eq!(script.world.writes, 2);
        // What stalls waits for a change; what may pass is tried again; what is uncertain waits out the settle time.
        let posts = |script: &Script| script.world.posts.len();
        script.live(50);
        let retries = settled && state == crate::api::State::Retrying;
        assert_eq!(posts(&script) > 1, retries, "{text}");
        script.live(600);
        assert_eq!(script.world.reason() == "Synced", !stalled, "{text}");
        script.world.annotate(crate::api::REQUESTED_AT, "now");
        script.live(100);
        assert_eq!(script.world.reason(), "Synced", "{text}");
        assert_eq!(script.world.marked().len(), 1);
    }
}

#[test]
fn a_passing_refusal_is_tried_again_under_the_same_attempt_after_a_fresh_read() {
    let mut script = Script::new();
    script.world.faults.push_back(Fault::refused(answer(429)));
    assert_eq!(script.steps(), "ReadSecrets Prepare BeginAttempt Post t0 RateLimited");
    assert_eq!(script.steps(), "RateLimited");
    script.pass(3);
    assert_eq!(script.steps(), "ReadSecrets Prepare Refresh Post t0 Synced");
    assert_eq!(script.world.writes, 3);
    // However young the word of before is.
    let mut memory = Case::new().carrying("t", START).memory;
    memory.posting();
    memory.posted(&Err(answer(429)), &webhook(), &values(&webhook().spec, "1"), facts().account(), START);
    assert_eq!(Case::new().carrying("t", START).prepared().with(|case| case.memory = memory).short(), "Refresh");
    // What came into the spec meanwhile counts.
    let adopt = crate::api::AdoptSpec { id: "wh_9".into(), force: None };
    let case = Case::new().carrying("t", START).spec(|spec| spec.adopt = Some(adopt));
    assert_eq!(case.short(), "Get wh_9");
}

#[test]
fn after_401_the_credentials_are_read_again_once() {
    let mut script = Script::new();
    script.world.faults.push_back(Fault::refused(answer(401)));
    let expected = "ReadSecrets Prepare BeginAttempt Post t0 Refresh Prepare Post t0 Synced";
    assert_eq!(script.steps(), expected);
    let mut script = Script::new();
    script.world.faults.extend([Fault::refused(answer(401)), Fault::refused(answer(401))]);
    assert!(script.steps().ends_with("Refresh Prepare Post t0 Unauthorized"));
    assert_eq!(script.steps(), "Unauthorized", "it waits");
    script.world.facts.credentials += 1;
    assert!(script.steps().ends_with("Synced"), "other credentials");
}

#[test]
fn on_409_the_marker_decides() {
    let conflict = || Fault::refused(answer(409));
    for (there, expected) in [
        (vec![], "List Conflict"),
        (vec![unmarked("wh_a"), foreign("wh_b")], "List Conflict"),
        (vec![unmarked("wh_a"), ours("wh_b")], "List Synced"),
    ] {
        let mut script = Script::new();
        script.world.orion.extend(there.into_iter().map(|webhook| (webhook.id.clone(), webhook)));
        script.world.faults.push_back(conflict());
        assert_eq!(script.steps(), format!("ReadSecrets Prepare BeginAttempt Post t0 {expected}"));
        assert_eq!(script.world.status().settled_attempt.as_deref(), Some("t0"));
    }
    for (case, expected) in [
        (Case::new().facts(|facts| facts.ownership = false), "Conflict"),
        (Case::new().capabilities(|can| can.list = Support::Absent), "Conflict"),
        (Case::new().listed(Err(answer(503))), "OrionUnavailable"),
        (Case::new().listed(Err(answer(403))), "Conflict"),
        (Case::new().listed(Ok(flawed(START, &[ours("wh_1")]))), "Synced"),
    ] {
        let case = case.held().attempt("t").doubt("t", START).read();
        let case = case.called(CallKind::Post { token: "t".into() }, Err(answer(409)));
        assert_eq!(case.short(), expected);
    }
}

#[test]
fn an_id_is_recorded_only_under_its_own_attempt() {
    let created = |token: &str| Created {
        token: token.into(),
        id: "wh_1".into(),
        endpoint: ENDPOINT.into(),
        versions: Vec::new(),
        digest: 0,
    };
    let case =
        |token: &str| Case::new().held().attempt("t").with(|case| case.memory.created = Some(Box::new(created(token))));
    let settlement = case("t").settles();
    assert_eq!(settlement.guard, Guard::Attempt("t".into()));
    assert_eq!(settlement.status.webhook_id.as_deref(), Some("wh_1"));
    assert_eq!(case("other").settles().status.webhook_id, None);
    let mut memory = case("t").memory;
    memory.settled(&case("other").settles());
    assert!(memory.created.is_some());
    memory.settled(&settlement);
    assert!(memory.created.is_none());
    // Orion may give the stored id again.
    let again = case("t").status(|status| status.webhook_id = Some("wh_1".into())).settles();
    assert_eq!(again.status.settled_attempt.as_deref(), Some("t"));
    // The attempt was taken over by another process between the POST and its record.
    let lost = Case::new().held().attempt("other").read().called(CallKind::Post { token: "t".into() }, Ok("wh_1"));
    assert_eq!((lost.short(), lost.settles().status.webhook_id), ("Progressing".into(), None));
}

/// An id belongs to the endpoint that was called, and losing the connection must not lose it.
#[test]
fn an_id_is_recorded_whatever_became_of_the_connection() {
    let old = "https://old.example.com/v1alpha";
    let created = |endpoint: &str| Created {
        token: "t".into(),
        id: "wh_1".into(),
        endpoint: endpoint.into(),
        versions: vec![AppliedSecret { name: SECRET.into(), resource_version: "7".into() }],
        digest: digest(&webhook().spec, &[]),
    };
    let case = |endpoint: &str| {
        Case::new().held().attempt("t").with(|case| case.memory.created = Some(Box::new(created(endpoint))))
    };
    let on = |connection: Connection| case(ENDPOINT).with(|case| case.connection = connection);
    let message = || "Because".to_owned();
    for (case, endpoint, reason, wakes, failed) in [
        (case(ENDPOINT), ENDPOINT, Reason::Synced, Some(START + secs(230)), false),
        (case(old), old, Reason::Progressing, Some(START), false),
        (on(Connection::Missing { message: message(), lost: false }), ENDPOINT, Reason::ConnectionNotFound, None, true),
        (on(Connection::Missing { message: message(), lost: true }), ENDPOINT, Reason::ConnectionNotFound, None, true),
        (on(Connection::NotReady { message: message(), lost: true }), ENDPOINT, Reason::ConnectionNotReady, None, true),
        (on(Connection::NotAllowed { message: message() }), ENDPOINT, Reason::NotAllowed, None, false),
    ] {
        let settlement = case.settles();
        assert_eq!((settlement.readiness.reason, settlement.failed), (reason, failed));
        assert_eq!(settlement.wake.is_some(), failed || wakes.is_some());
        assert!(wakes.is_none() || settlement.wake == wakes, "{reason}");
        assert_eq!(settlement.guard, Guard::Attempt("t".into()));
        let status = &settlement.status;
        assert_eq!((status.webhook_id.as_deref(), status.endpoint.as_deref()), (Some("wh_1"), Some(endpoint)));
        assert_eq!((status.settled_attempt.as_deref(), status.applied_secrets.len()), (Some("t"), 1));
        assert_eq!(settlement.synced, Some(Some(digest(&webhook().spec, &[]))));
        let mut memory = case.memory;
        memory.settled(&settlement);
        assert!(memory.created.is_none());
    }
}

#[test]
fn an_attempt_that_another_process_took_over_keeps_its_id() {
    let mut script = Script::new();
    while script.world.posts.is_empty() {
        assert_eq!(script.process.step(&mut script.world), None);
    }
    let text = format!("theirs 2026-11-25T00:00:00Z {}", settings().instance.prefix());
    script.world.annotate(CREATE_ATTEMPT, &text);
    script.reconcile();
    assert_eq!(script.world.status().webhook_id, None);
    script.live(300);
    assert_eq!((script.world.marked(), script.world.posts.len()), (vec!["wh_1"], 1));
    assert_eq!(script.world.status().webhook_id.as_deref(), Some("wh_1"));
    assert_eq!(script.world.status().settled_attempt.as_deref(), Some("theirs"));
}

#[test]
fn a_spec_that_changed_during_the_post_is_sent_next() {
    let mut script = Script::new();
    while script.world.posts.is_empty() {
        assert_eq!(script.process.step(&mut script.world), None);
    }
    script.world.edit(|object| object.spec.url = "https://hooks.example.com/other".into());
    assert_eq!(script.steps(), "Synced", "recorded on what the process has read");
    assert_eq!(script.world.status().observed_generation, Some(1));
    assert_eq!(script.steps(), "ReadSecrets Update wh_1 Synced");
    assert_eq!(script.world.status().observed_generation, Some(2));
    // The same, where the new spec is at hand when the id is recorded.
    let created =
        Created { token: "t".into(), id: "wh_1".into(), endpoint: ENDPOINT.into(), versions: Vec::new(), digest: 7 };
    let case = Case::new().held().attempt("t").with(|case| case.memory.created = Some(Box::new(created)));
    let settlement = case.settles();
    assert_eq!((settlement.readiness.reason, settlement.wake), (Reason::Progressing, Some(START)));
    assert_eq!(settlement.status.webhook_id.as_deref(), Some("wh_1"));
}

#[test]
fn what_stands_before_a_create() {
    let bad_kind = |spec: &mut WebhookSpec| {
        spec.connection_ref =
            Some(crate::api::ConnectionRef { kind: Some(crate::api::ConnectionKind::Unknown), name: "x".into() });
    };
    let connection = |connection: Connection| Case::new().with(|case| case.connection = connection);
    let message = || "Because".to_owned();
    for (case, expected) in [
        (Case::new().spec(|spec| spec.interval = Some("soon".into())), "InvalidSpec"),
        (Case::new().spec(|spec| spec.deletion_policy = Some(crate::api::DeletionPolicy::Unknown)), "InvalidSpec"),
        (Case::new().spec(bad_kind), "InvalidSpec"),
        (connection(Connection::Missing { message: message(), lost: false }), "ConnectionNotFound"),
        (connection(Connection::NotReady { message: message(), lost: false }), "ConnectionNotReady"),
        (connection(Connection::NotAllowed { message: message() }), "NotAllowed"),
        (Case::new().spec(|spec| spec.suspend = Some(true)), "Suspended"),
        (Case::new().with(|case| case.settings.dry_run = true), "ReadSecrets"),
        (Case::new().facts(|facts| facts.last_list = Some(list(START, &[ours("wh_1")]))), "CreateUncertain"),
        (Case::new().facts(|facts| facts.last_list = Some(list(START, &[foreign("wh_1")]))), "ReadSecrets"),
    ] {
        assert_eq!(case.short(), expected);
    }
}

#[test]
fn a_dry_run_finds_out_what_would_be_in_the_way() {
    let dry = || Case::new().with(|case| case.settings.dry_run = true);
    let read = || dry().read();
    let listed = |result| read().listed(result);
    for (case, expected) in [
        (dry().facts(|facts| facts.trouble = Some(trouble())), "OrionUnavailable"),
        (dry(), "ReadSecrets"),
        (read(), "List"),
        (listed(Err(answer(401))), "Unauthorized"),
        (listed(Err(answer(403))), "Forbidden"),
        (listed(Err(answer(500))), "OrionUnavailable"),
        // There may be no list: that says nothing.
        (listed(Err(answer(404))), "DryRun"),
        (read().capabilities(|can| can.list = Support::Absent), "DryRun"),
        (listed(Ok(list(START, &[]))), "DryRun"),
    ] {
        assert_eq!(case.short(), expected);
    }
    let said = |case: Case| case.settles().readiness.message;
    let like = || listed(Ok(list(START, &[unmarked("wh_7")])));
    assert!(said(like()).contains("wh_7 is like it already: spec.adopt.id"), "{}", said(like()));
    let other = listed(Ok(list(START, &[differing()])));
    assert!(said(other).contains("at Orion. Start"));
    // One whose url is not shown could be any.
    let hidden = listed(Ok(list(START, &[RemoteWebhook { url: None, ..unmarked("wh_7") }])));
    assert!(said(hidden).contains("at Orion. Start"));
    let held = like().with(|case| _ = case.holders.insert("wh_7".into(), "team-b/other".into()));
    assert!(said(held).contains("at Orion. Start"));
}

#[test]
fn a_marker_in_the_last_list_is_resolved_before_a_first_attempt() {
    let mut script = Script::new();
    script.world.orion.insert("wh_old".into(), ours("wh_old"));
    script.world.facts.last_list = Some(list(START, &[ours("wh_old")]));
    assert_eq!(script.steps(), "CreateUncertain");
    script.live(100);
    assert_eq!(script.world.status().webhook_id.as_deref(), Some("wh_old"));
    assert!(script.world.posts.is_empty());
    // One list that does not show it any more does not end the doubt, and one with a flaw even less.
    let mut script = Script::new().with(|script| script.world.flaws = 1);
    script.world.facts.last_list = Some(list(START, &[ours("wh_old")]));
    script.reconcile();
    script.pass(61);
    assert_eq!(script.steps(), "Refresh List CreateUncertain");
    assert!(script.world.posts.is_empty());
    script.live(100);
    assert_eq!((script.world.lists.len(), script.world.posts.len()), (2, 1));
    assert!(script.world.lists[1] >= script.world.lists[0] + secs(5));
}
