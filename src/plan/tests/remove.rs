//! Deletion: the finalizer goes when nothing of ours is left at Orion.

use super::*;
use crate::api::DeletionPolicy;

fn deleting() -> Case {
    Case::stored("wh_1").deleting()
}

fn delete_failed(failure: Failure) -> Case {
    deleting().called(CallKind::Delete { id: "wh_1".into() }, Err(failure))
}

#[test]
fn a_delete_costs_one_call_and_one_write() {
    for suspend in [false, true] {
        let mut script = Script::synced();
        script.world.edit(|object| object.spec.suspend = Some(suspend));
        script.world.delete();
        assert_eq!(script.steps(), "Delete wh_1 Release");
        assert_eq!((script.world.writes, script.world.orion.len()), (1, 0));
        assert!(script.world.object.is_none());
    }
}

#[test]
fn what_was_never_created_is_let_go_at_once() {
    for (case, expected) in [
        (Case::new().deleting(), "Deleting"),
        (Case::new().held().with(|case| case.memory.held = true).deleting(), "Release"),
        (Case::open("t").status(|status| status.settled_attempt = Some("t".into())).deleting(), "Release"),
        (Case::new().carrying("t", START).deleting(), "Release"),
        (Case::new().held().deleting(), "CreateUncertain"),
        (Case::open("t").deleting(), "CreateUncertain"),
        (Case::open("t").deleting().annotate(RESOLVE, "abandon"), "Release"),
        (Case::open("t").deleting().with(|case| case.settings.dry_run = true).annotate(RESOLVE, "abandon"), "DryRun"),
    ] {
        assert_eq!(case.short(), expected);
    }
}

#[test]
fn what_stands_before_a_delete_and_it_is_never_stalled() {
    let connection = |connection: Connection| deleting().with(|case| case.connection = connection);
    let message = || "Because".to_owned();
    let policy = |policy: DeletionPolicy| deleting().spec(|spec| spec.deletion_policy = Some(policy));
    for (case, expected) in [
        (deleting(), "Delete wh_1"),
        (deleting().annotate(RESOLVE, "abandon"), "Release"),
        (deleting().annotate(RESOLVE, "adopt=wh_1"), "Delete wh_1"),
        (connection(Connection::Missing { message: message(), lost: false }), "ConnectionNotFound"),
        (connection(Connection::NotReady { message: message(), lost: false }), "ConnectionNotReady"),
        (connection(Connection::NotAllowed { message: message() }), "NotAllowed"),
        (deleting().facts(|facts| facts.trouble = Some(trouble())), "OrionUnavailable"),
        (deleting().status(|status| status.endpoint = Some("https://old.example.com".into())), "EndpointChanged"),
        (deleting().capabilities(|can| can.delete = Support::Absent), "DeleteUnsupported"),
        (deleting().capabilities(|can| can.delete = Support::Unknown), "Delete wh_1"),
        (deleting().with(|case| case.settings.dry_run = true), "DryRun"),
        (policy(DeletionPolicy::Unknown), "InvalidSpec"),
        (policy(DeletionPolicy::Orphan), "ReadSecrets"),
        (policy(DeletionPolicy::Orphan).read(), "Unmark wh_1"),
        (policy(DeletionPolicy::Orphan).capabilities(|can| can.put = Support::Absent), "ReadSecrets"),
        (policy(DeletionPolicy::Orphan).capabilities(|can| can.patch = Support::Absent), "ReadSecrets"),
        (policy(DeletionPolicy::Orphan).facts(|facts| facts.ownership = false), "Release"),
        (
            policy(DeletionPolicy::Orphan)
                .capabilities(|can| (can.put, can.patch) = (Support::Absent, Support::Absent)),
            "Release",
        ),
    ] {
        assert_eq!(case.short(), expected);
        if let Step::Settle(settlement) = case.step() {
            assert_eq!(condition(&settlement.status, "Stalled"), None, "{expected}");
            assert_eq!(condition(&settlement.status, "Ready"), Some("False"), "{expected}");
        }
    }
    // What is blocked says how to let go, once; what is under way does not.
    let missing = connection(Connection::Missing { message: message(), lost: false }).settles().readiness.message;
    let abandon =
        format!("kubectl annotate webhook -n {NAMESPACE} {NAME} orion-operator.dev/resolve=abandon --overwrite");
    assert_eq!(missing, format!("Because. To let this object go and leave Orion as it is: {abandon}"));
    let unsupported = deleting().capabilities(|can| can.delete = Support::Absent).settles().readiness.message;
    assert_eq!(unsupported.matches(&abandon).count(), 1);
    let next = deleting().called(CallKind::Update { id: "wh_1".into() }, Ok("wh_1")).settles();
    assert_eq!(next.readiness.message, "Deleting the webhook at Orion");
    for (case, value) in [
        (deleting().capabilities(|can| can.delete = Support::Absent), "abandon"),
        (deleting().status(|status| status.endpoint = Some("https://old.example.com".into())), "abandon"),
    ] {
        let message = case.settles().readiness.message;
        assert!(message.contains(&format!(
            "let this object go: kubectl annotate webhook -n {NAMESPACE} {NAME} orion-operator.dev/resolve={value}"
        )));
    }
}

/// The connection of the Webhook's own namespace is gone.
fn gone_with_it() -> Case {
    deleting().with(|case| case.connection = Connection::Missing { message: "Because".into(), lost: true })
}

fn in_namespace(case: Case, is_terminating: bool) -> Case {
    case.with(|case| case.round.namespace_is_terminating = Some(is_terminating))
}

fn stranded(case: Case) -> Case {
    in_namespace(case, true).with(|case| case.memory.stranded = Some(START))
}

#[test]
fn what_cannot_come_back_is_left_behind_after_ten_minutes() {
    let not_ready =
        |case: Case| case.with(|case| case.connection = Connection::NotReady { message: "Because".into(), lost: true });
    let orphan = |case: Case| case.spec(|spec| spec.deletion_policy = Some(DeletionPolicy::Orphan));
    let open = || Case::open("t").deleting().with(|case| case.connection = gone_with_it().connection);
    let ended = "Release left behind";
    for (case, expected) in [
        (gone_with_it(), "LookAtNamespace"),
        (not_ready(gone_with_it()), "LookAtNamespace"),
        (in_namespace(gone_with_it(), false), "ConnectionNotFound"),
        (in_namespace(gone_with_it(), false).after(3000), "ConnectionNotFound"),
        (in_namespace(not_ready(gone_with_it()), false), "ConnectionNotReady"),
        (in_namespace(gone_with_it(), true), "ConnectionNotFound"),
        (stranded(gone_with_it()).after(599), "ConnectionNotFound"),
        (stranded(not_ready(gone_with_it())).after(599), "ConnectionNotReady"),
        (stranded(gone_with_it()).after(600), ended),
        (stranded(not_ready(gone_with_it())).after(600), ended),
        (stranded(open()).after(599), "ConnectionNotFound"),
        (stranded(open()).after(600), ended),
        (stranded(gone_with_it()).after(600).with(|case| case.settings.dry_run = true), "DryRun"),
        // The word of a look of before is none.
        (stranded(gone_with_it()).after(600).with(|case| case.round = Round::default()), "LookAtNamespace"),
        // It needs no credentials to be left.
        (orphan(gone_with_it()), "LookAtNamespace"),
        (in_namespace(orphan(gone_with_it()), false), "ConnectionNotFound"),
        (in_namespace(orphan(gone_with_it()), true), "Release"),
        (stranded(orphan(open())).after(599), "ConnectionNotFound"),
        (stranded(orphan(open())).after(600), ended),
        (gone_with_it().annotate(RESOLVE, "abandon"), "Release"),
        // A Webhook that lives loses nothing.
        (Case::stored("wh_1").with(|case| case.connection = gone_with_it().connection), "ConnectionNotFound"),
    ] {
        assert_eq!(case.short(), expected, "{:?}", case.round);
    }
    let Step::Release { why, .. } = in_namespace(orphan(gone_with_it()), true).step() else { panic!() };
    assert!(why.contains("with its marker"), "{why}");
}

#[test]
fn what_is_stranded_says_what_is_left_and_until_when() {
    let nowhere = |case: Case| case.status(|status| status.endpoint = None);
    let created =
        Created { token: "t".into(), id: "wh_2".into(), endpoint: ENDPOINT.into(), versions: Vec::new(), digest: 0 };
    let open = Case::open("t").deleting().with(|case| case.connection = gone_with_it().connection);
    for (case, what) in [
        (gone_with_it(), format!("wh_1 at {ENDPOINT}")),
        (nowhere(gone_with_it()), "wh_1".to_owned()),
        (open.with(|case| case.memory.created = Some(Box::new(created))), format!("wh_2 at {ENDPOINT}")),
        (gone_with_it().with(|case| case.memory.deleted("wh_1")).attempt("t"), "what may be left at Orion".to_owned()),
    ] {
        let case = stranded(case).after(10);
        let settlement = case.settles();
        assert_eq!((settlement.wake, settlement.failed), (Some(START + secs(600)), false));
        assert_eq!(condition(&settlement.status, "Stalled"), None);
        let message = settlement.readiness.message;
        let abandon =
            format!("kubectl annotate webhook -n {NAMESPACE} {NAME} orion-operator.dev/resolve=abandon --overwrite");
        assert_eq!(
            message,
            format!(
                "Because. The namespace is terminating, so that nothing can delete {what} any more. 10 minutes after this was \
                 first seen it is left behind, and this object is let go. To let this object go and leave Orion as it is: \
                 {abandon}"
            )
        );
        let Step::Release { left_behind: Some(told), .. } = case.after(600).step() else { panic!("{what}") };
        assert!(told.starts_with(&format!("Nothing can delete {what} any more")), "{told}");
    }
    // Seen in this very round.
    let first = in_namespace(gone_with_it(), true).settles();
    assert_eq!(first.wake, Some(START + secs(600)));
}

#[test]
fn a_terminating_namespace_waits_ten_minutes_in_all() {
    let missing = || Some(Connection::Missing { message: "Because".into(), lost: true });
    let mut script = Script::synced();
    script.world.no_connection = missing();
    script.world.delete();
    assert_eq!(script.steps(), "LookAtNamespace ConnectionNotFound");
    assert_eq!(script.steps(), "ConnectionNotFound", "one look, and then its verdict stands");
    script.world.terminating = true;
    script.live(300);
    assert_eq!(script.world.reason(), "ConnectionNotFound");
    let (writes, looks) =
        (script.world.writes, script.world.log.iter().filter(|step| *step == "LookAtNamespace").count());
    assert!(looks < 12, "{:?}", script.world.log);
    script.live(290);
    assert_eq!(script.world.writes, writes, "only time has passed");
    // It comes back, and goes again: the time begins anew.
    script.world.no_connection = Some(Connection::Missing { message: "Because".into(), lost: false });
    script.reconcile();
    script.world.no_connection = missing();
    script.live(590);
    assert!(script.world.object.is_some());
    script.live(20);
    assert!(script.world.object.is_none());
    assert_eq!(script.world.log.last().map(String::as_str), Some("Release left behind"));
    assert_eq!((script.world.marked(), script.world.left_behind.is_some()), (vec!["wh_1"], true));
    // Where it comes back in time, it is deleted.
    let mut script = Script::synced();
    (script.world.no_connection, script.world.terminating) = (missing(), true);
    script.world.delete();
    script.live(590);
    script.world.no_connection = None;
    assert_eq!(script.steps(), "Delete wh_1 Release");
}

#[test]
fn an_unrecorded_id_of_another_endpoint_is_not_deleted_at_this_one() {
    let created = |endpoint: &str| Created {
        token: "t".into(),
        id: "wh_2".into(),
        endpoint: endpoint.into(),
        versions: Vec::new(),
        digest: 0,
    };
    let case = |endpoint: &str| {
        Case::open("t").deleting().with(|case| case.memory.created = Some(Box::new(created(endpoint))))
    };
    assert_eq!(case(ENDPOINT).short(), "Delete wh_2");
    let settlement = case("https://old.example.com").settles();
    assert_eq!(settlement.readiness.reason, Reason::EndpointChanged);
    let message = settlement.readiness.message;
    assert!(
        message
            .starts_with(&format!("wh_2 is at https://old.example.com, and the connection now leads to {ENDPOINT}."))
    );
    // The stored one is of its own endpoint.
    let both = case("https://old.example.com").status(|status| {
        (status.webhook_id, status.endpoint) = (Some("wh_1".into()), Some(ENDPOINT.into()));
    });
    assert_eq!(both.short(), "Delete wh_1");
    assert_eq!(both.with(|case| case.memory.deleted("wh_1")).short(), "EndpointChanged");
}

#[test]
fn what_a_failed_delete_leads_to() {
    let unproven = |failure: Failure| delete_failed(failure).capabilities(|can| can.delete = Support::Unknown);
    let html = || Failure { json: false, ..answer(404) };
    let no_get = |case: Case| case.capabilities(|can| can.get = Support::Absent);
    for (case, expected) in [
        (delete_failed(answer(404)), "Release"),
        (delete_failed(html()), "Get wh_1"),
        (unproven(answer(404)), "Get wh_1"),
        (unproven(answer(404)).got("wh_1", Err(answer(404))), "Release"),
        (unproven(answer(404)).got("wh_1", Err(html())), "List"),
        (unproven(answer(404)).got("wh_1", Err(answer(404))).capabilities(|can| can.get = Support::Unknown), "List"),
        (unproven(answer(404)).got("wh_1", Ok(ours("wh_1"))), "DeleteUnsupported"),
        (unproven(answer(404)).got("wh_1", Err(answer(503))), "OrionUnavailable"),
        (no_get(unproven(answer(404))), "List"),
        (no_get(unproven(answer(404))).listed(Ok(list(START, &[ours("wh_1")]))), "DeleteUnsupported"),
        (no_get(unproven(answer(404))).listed(Ok(list(START, &[]))), "Release"),
        (no_get(unproven(answer(404))).listed(Ok(flawed(START, &[]))), "Deleting"),
        (no_get(unproven(answer(404))).listed(Err(answer(403))), "Forbidden"),
        (no_get(unproven(answer(404))).listed(Err(answer(404))), "DeleteUnsupported"),
        (no_get(unproven(answer(404))).capabilities(|can| can.list = Support::Absent), "DeleteUnsupported"),
        (delete_failed(answer(405)), "DeleteUnsupported"),
        (delete_failed(answer(401)), "Unauthorized"),
        (delete_failed(answer(403)), "Forbidden"),
        (delete_failed(answer(409)), "Conflict"),
        (delete_failed(answer(500)), "OrionUnavailable"),
        (delete_failed(lost(FailureClass::Timeout)), "Timeout"),
        (deleting().called(CallKind::Delete { id: "wh_1".into() }, Ok("wh_1")), "Release"),
        (deleting().called(CallKind::Unmark { id: "wh_1".into() }, Ok("wh_1")), "Release"),
        (deleting().called(CallKind::Unmark { id: "wh_1".into() }, Err(answer(404))), "Release"),
        (deleting().called(CallKind::Unmark { id: "wh_1".into() }, Err(answer(405))), "Release"),
        (deleting().called(CallKind::Unmark { id: "wh_1".into() }, Err(answer(422))), "Release"),
        (deleting().called(CallKind::Unmark { id: "wh_1".into() }, Err(answer(503))), "OrionUnavailable"),
        (deleting().called(CallKind::Post { token: "t".into() }, Ok("wh_2")), "Deleting"),
        (deleting().called(CallKind::Update { id: "wh_1".into() }, Ok("wh_1")), "Deleting"),
    ] {
        assert_eq!(case.short(), expected, "{:?}", case.round);
        if let Step::Settle(settlement) = case.step() {
            assert_eq!(condition(&settlement.status, "Stalled"), None);
            assert!(settlement.wake.is_some() || expected == "DeleteUnsupported");
        }
    }
}

/// Found by these tests: a 404 that proves nothing counted as deleted in the next reconcile.
#[test]
fn a_404_that_proves_nothing_never_lets_go() {
    let mut script = Script::synced();
    script.world.facts.capabilities.delete = Support::Unknown;
    script.world.delete();
    script.world.faults.push_back(Fault::refused(answer(404)));
    script.world.read_faults.push_back(answer(503));
    assert_eq!(script.steps(), "Delete wh_1 Get wh_1 OrionUnavailable");
    script.live(10);
    assert_eq!((script.world.object.is_none(), script.world.orion.len()), (true, 0));
}

#[test]
fn what_was_gone_already_does_not_hide_the_next() {
    let mut script = Script::synced();
    script.world.orion = [("wh_2".to_owned(), ours("wh_2")), ("wh_3".to_owned(), ours("wh_3"))].into();
    script.world.facts.last_list = Some(list(script.world.now, &[ours("wh_2"), ours("wh_3")]));
    script.world.delete();
    assert_eq!(script.steps(), "Delete wh_1 Deleting");
    assert_eq!(script.steps(), "Delete wh_2 Deleting");
    assert_eq!(script.steps(), "Delete wh_3 Release");
    // One that another Webhook holds stays.
    let mut script = Script::synced();
    script.world.facts.last_list = Some(list(script.world.now, &[ours("wh_1"), ours("wh_2")]));
    script.world.holders.insert("wh_2".into(), "team-b/other".into());
    script.world.delete();
    assert_eq!(script.steps(), "Delete wh_1 Release");
}

#[test]
fn an_uncertain_create_is_waited_out() {
    for (delay, steps) in [
        (Some(50), "CreateUncertain | Refresh List Delete wh_1 Release"),
        (None, "CreateUncertain | Refresh List CreateUncertain | Refresh List Release"),
    ] {
        let mut script = Script::new();
        script.world.faults.push_back(match delay {
            Some(delay) => Fault::lost(delay),
            None => Fault::refused(answer(502)),
        });
        script.reconcile();
        script.world.delete();
        let mut seen = vec![script.steps()];
        for wait in [61, 6] {
            script.pass(wait);
            if script.world.object.is_some() {
                seen.push(script.steps());
            }
        }
        assert_eq!(seen.join(" | "), steps);
        assert!(script.world.object.is_none() && script.world.orion.is_empty());
    }
}

#[test]
fn an_attempt_to_replace_a_stored_id_is_waited_out_too() {
    let mut script = Script::synced();
    script.world.orion.clear();
    script.world.faults.push_back(Fault::lost(50));
    script.live(240);
    assert_eq!((script.world.reason(), script.world.posts.len()), ("CreateUncertain".into(), 1));
    script.world.delete();
    script.live(300);
    assert!(script.world.object.is_none() && script.world.orion.is_empty() && script.world.late.is_empty());
}

#[test]
fn an_id_that_could_not_be_recorded_is_deleted_as_well() {
    let created =
        || Created { token: "t".into(), id: "wh_2".into(), endpoint: ENDPOINT.into(), versions: Vec::new(), digest: 0 };
    let case = |case: Case| case.attempt("t").deleting().with(|case| case.memory.created = Some(Box::new(created())));
    assert_eq!(case(Case::new().held()).short(), "Delete wh_2");
    assert_eq!(case(Case::stored("wh_1")).short(), "Delete wh_1");
    let after = case(Case::stored("wh_1")).called(CallKind::Delete { id: "wh_1".into() }, Err(answer(404)));
    let settlement = after.settles();
    assert_eq!((settlement.readiness.reason, settlement.gone.as_deref()), (Reason::Deleting, Some("wh_1")));
    let next = case(Case::stored("wh_1")).with(|case| case.memory.deleted("wh_1"));
    assert_eq!(next.short(), "Delete wh_2");
    assert_eq!(next.called(CallKind::Delete { id: "wh_2".into() }, Ok("wh_2")).short(), "Release");
}

#[test]
fn what_the_list_says_of_an_uncertain_create_decides() {
    let at = START + secs(61);
    let looked = |snapshot: Arc<Snapshot>| {
        Case::open("t").deleting().after(70).with(|case| case.fresh = true).listed(Ok(snapshot))
    };
    let policy =
        |policy: DeletionPolicy| looked(list(at, &[ours("wh_1")])).spec(|spec| spec.deletion_policy = Some(policy));
    let second = |webhooks: &[RemoteWebhook]| {
        looked(list(START + secs(67), webhooks)).with(|case| case.memory.doubt.as_mut().unwrap().lists = vec![at])
    };
    for (case, expected) in [
        (looked(list(at, &[ours("wh_1"), ours("wh_2")])), "Delete wh_1"),
        (looked(list(at, &[ours("wh_1")])).with(|case| case.memory.deleted("wh_1")), "Release"),
        (looked(flawed(at, &[ours("wh_1")])), "CreateUncertain"),
        (looked(list(at, &[])), "CreateUncertain"),
        (second(&[]), "Release"),
        (second(&[]).facts(|facts| facts.proven = false), "CreateUnresolved"),
        (second(&[unmarked("wh_1")]), "CreateUnresolved"),
        (second(&[unmarked("wh_1")]).facts(|facts| facts.markers_survive = true), "Release"),
        (policy(DeletionPolicy::Orphan), "Release"),
        (policy(DeletionPolicy::Unknown), "InvalidSpec"),
        (looked(list(at, &[ours("wh_1")])).capabilities(|can| can.delete = Support::Absent), "DeleteUnsupported"),
        (looked(list(at, &[ours("wh_1")])).with(|case| case.settings.dry_run = true), "DryRun"),
        (
            looked(list(at, &[ours("wh_1")])).with(|case| drop(case.holders.insert("wh_1".into(), "b/o".into()))),
            "Release",
        ),
        (looked(list(at, &[])).capabilities(|can| can.list = Support::Absent), "CreateUnresolved"),
    ] {
        assert_eq!(case.short(), expected, "{:?}", case.round.list);
    }
}

#[test]
fn orphan_takes_the_marker_off_and_leaves_it() {
    let orphan = || {
        let mut script = Script::synced();
        script.world.edit(|object| object.spec.deletion_policy = Some(DeletionPolicy::Orphan));
        script.world.delete();
        script
    };
    let mut script = orphan();
    assert_eq!(script.steps(), "ReadSecrets Unmark wh_1 Release");
    assert_eq!((script.world.orion.len(), script.world.marked().len()), (1, 0));
    // Without its Secrets no full body can be sent, and the webhook is worth more than its marker.
    let mut script = orphan();
    script.world.object.as_mut().unwrap().spec.headers.push(secret_header());
    script.world.secret = None;
    assert_eq!(script.steps(), "ReadSecrets Release");
    assert_eq!(script.world.marked(), ["wh_1"]);
}

#[test]
fn what_nobody_knows_of_is_not_left_behind() {
    let settled = || Case::open("t").status(|status| status.settled_attempt = Some("t".into())).deleting();
    let listed = |case: Case| case.facts(|facts| facts.last_list = Some(list(START, &[ours("wh_5")])));
    let created =
        Created { token: "t".into(), id: "wh_2".into(), endpoint: ENDPOINT.into(), versions: Vec::new(), digest: 0 };
    let unsent = || listed(Case::new().carrying("t", START).deleting());
    let orphan = |case: Case| case.spec(|spec| spec.deletion_policy = Some(DeletionPolicy::Orphan));
    for (case, expected) in [
        (settled(), "Release"),
        // Our marker is at Orion all the same, or another process settled what this one has an id of.
        (listed(settled()), "CreateUncertain"),
        (settled().with(|case| case.memory.created = Some(Box::new(created))), "Delete wh_2"),
        (unsent(), "Delete wh_5"),
        (orphan(unsent()), "Release"),
        (unsent().capabilities(|can| can.delete = Support::Absent), "Release"),
        (unsent().facts(|facts| facts.ownership = false), "Release"),
    ] {
        assert_eq!(case.short(), expected, "{:?}", case.memory);
    }
}

#[test]
fn a_list_from_before_a_delete_does_not_show_it_again() {
    let both = || deleting().facts(|facts| facts.last_list = Some(list(START, &[ours("wh_1"), ours("wh_2")])));
    let deleted = |case: Case, id: &str| case.called(CallKind::Delete { id: id.into() }, Ok(id));
    assert_eq!(deleted(both(), "wh_1").short(), "Deleting");
    let next = || both().with(|case| case.memory.deleted("wh_1"));
    assert_eq!(next().short(), "Delete wh_2");
    assert_eq!(deleted(next(), "wh_2").short(), "Release");
    assert_eq!(next().with(|case| case.memory.deleted("wh_2")).short(), "Release");
}
