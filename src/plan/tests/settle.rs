//! The new status, and when to look again.

use super::*;
use crate::api::{REQUESTED_AT, State};

#[test]
fn the_back_off_is_jittered_grows_and_ends_at_five_minutes() {
    for (failures, ceiling) in [(0, 2), (1, 4), (2, 8), (7, 256), (8, 300), (31, 300), (u32::MAX, 300)] {
        assert_eq!(backoff(failures, 0.0), secs(1));
        assert_eq!(backoff(failures, 1.0), secs(ceiling));
        assert_eq!(backoff(failures, 7.0), secs(ceiling));
        assert!(backoff(failures, 0.5) > secs(1) && backoff(failures, 0.5) < secs(ceiling));
    }
}

#[test]
fn failures_add_up_until_something_succeeds_or_changes() {
    let mut script = Script::new();
    for failures in 1..5 {
        script.world.faults.push_back(Fault::refused(answer(429)));
        script.reconcile();
        assert_eq!(script.process.memory.failures, failures);
        script.pass(300);
    }
    let transitions = script.world.status().conditions[0].last_transition_time.clone();
    assert_eq!(transitions.0, wall(START), "retries do not touch the time");
    script.world.annotate(REQUESTED_AT, "now");
    script.world.faults.push_back(Fault::refused(answer(429)));
    script.reconcile();
    assert_eq!(script.process.memory.failures, 1);
    script.pass(300);
    script.reconcile();
    assert_eq!((script.world.reason(), script.process.memory.failures), ("Synced".into(), 0));
}

#[test]
fn only_time_passing_changes_no_status() {
    let connection = |connection: Connection| Case::new().with(|case| case.connection = connection);
    let message = || "Because".to_owned();
    for case in [
        Case::stored("wh_1").synced(),
        Case::open("t"),
        Case::open("t").capabilities(|can| can.list = Support::Absent),
        Case::new().spec(|spec| spec.suspend = Some(true)),
        Case::new().facts(|facts| facts.trouble = Some(trouble())),
        Case::new().with(|case| case.settings.dry_run = true).read().listed(Ok(list(START, &[]))),
        connection(Connection::Missing { message: message(), lost: false }),
        connection(Connection::NotReady { message: message(), lost: false }),
        connection(Connection::NotAllowed { message: message() }),
    ] {
        let first = case.settles().status;
        let later = case.status(|status| *status = first.clone());
        for seconds in [0, 1, 30] {
            let again = later.step_at(seconds);
            assert_eq!(again, first);
        }
    }
}

impl Case {
    fn step_at(&self, seconds: u64) -> WebhookStatus {
        let now = self.now + secs(seconds);
        self.view(|view| settled(plan(&View { now, clock: wall(now), ..copy(view) }))).status
    }
}

fn copy<'a>(view: &View<'a>) -> View<'a> {
    View { ..*view }
}

#[test]
fn a_standing_verdict_is_kept_until_its_time_or_a_change() {
    let stalled = Case::new().with(|case| case.connection = Connection::NotAllowed { message: "Ask".into() });
    let settlement = stalled.settles();
    let case =
        stalled.with(|case| case.memory.settled(&settlement)).status(|status| *status = settlement.status.clone());
    assert_eq!((case.short(), case.settles().wake), ("NotAllowed".into(), None));
    // A retry has a time; what it was decided from has not changed before it.
    let retry = || Case::new().read().with(|case| case.round.prepared = Some(Err(answer(429))));
    let settlement = retry().settles();
    let wake = settlement.wake.unwrap();
    let waiting = || {
        let case = Case::new().status(|status| *status = settlement.status.clone());
        case.with(|case| case.memory.settled(&settlement))
    };
    for (case, expected) in [
        (waiting(), "RateLimited"),
        (waiting().at(wake - Duration::from_millis(1)), "RateLimited"),
        (waiting().at(wake), "ReadSecrets"),
        (waiting().with(|case| case.webhook.metadata.generation = Some(2)), "ReadSecrets"),
        (waiting().annotate(REQUESTED_AT, "now"), "ReadSecrets"),
        (waiting().annotate(RESOLVE, "nonsense"), "ReadSecrets"),
        (waiting().facts(|facts| facts.credentials = 1), "ReadSecrets"),
        (waiting().facts(|facts| facts.recoveries = 1), "ReadSecrets"),
        (waiting().secret("7"), "ReadSecrets"),
        (waiting().held(), "CreateUncertain"),
        (waiting().status(|status| status.webhook_id = Some("wh_1".into())), "Hold"),
        (waiting().held().deleting().with(|case| case.memory.held = true), "Release"),
    ] {
        assert_eq!(case.short(), expected);
    }
    assert_eq!(waiting().settles().wake, Some(wake), "no later than it was");
    // What somebody took out of the status, or wrote for an older generation, is said again.
    let said = &settlement.status.conditions;
    for case in [
        waiting().status(|status| status.conditions.clear()),
        waiting().status(|status| (status.observed_generation, status.conditions[0].message) = (Some(0), "Old".into())),
    ] {
        let again = case.settles().status;
        assert_eq!((again.observed_generation, &again.conditions), (Some(1), said));
    }
}

#[test]
fn the_interval_is_raised_and_never_overflows() {
    for (interval, expected) in [
        (None, 600),
        (Some("1s"), 30),
        (Some("1h"), 3600),
        (Some("nonsense"), 600),
        (Some("5000000000000000h"), 10 * 365 * 24 * 3600),
    ] {
        let case = Case::new().spec(|spec| spec.interval = interval.map(str::to_owned));
        assert_eq!(case.view(|view| view.interval()), secs(expected));
    }
    let huge = Case::stored("wh_1").spec(|spec| spec.interval = Some("5000000000000000h".into())).read();
    assert_eq!(huge.listed(Ok(list(START, &[ours("wh_1")]))).short(), "Synced");
}

#[test]
fn a_slow_step_is_told_once() {
    let said = |case: &Case| case.view(progressing);
    let status = said(&Case::new()).unwrap();
    assert_eq!((condition(&status, "Ready"), condition(&status, "Reconciling")), (Some("Unknown"), Some("True")));
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(said(&Case::stored("wh_1")), None);
    let newer = |case: Case| case.with(|case| case.webhook.metadata.generation = Some(2));
    assert!(said(&newer(Case::stored("wh_1"))).is_some());
    let deleting = said(&newer(Case::stored("wh_1").deleting())).unwrap();
    assert_eq!((condition(&deleting, "Ready"), condition(&deleting, "Stalled")), (Some("False"), None));
    assert_eq!(ready_condition(&deleting.conditions).unwrap().reason, "Deleting");
    assert_eq!(said(&newer(Case::stored("wh_1").deleting()).status(|status| *status = deleting.clone())), None);
    // What was said of it while it lived, or of an older generation, says nothing of its deletion.
    let was = |reason: Reason, generation: i64| {
        let conditions = conditions(&[], &Readiness::new(reason, "m"), generation, Timestamp::UNIX_EPOCH);
        let case = Case::stored("wh_1").deleting().status(|status| {
            (status.observed_generation, status.conditions) = (Some(generation), conditions);
        });
        said(&case).is_some()
    };
    assert!(was(Reason::Synced, 1) && was(Reason::Suspended, 1) && was(Reason::OrionUnavailable, 0));
    assert!(!was(Reason::OrionUnavailable, 1));
}

#[test]
fn a_connection_in_trouble_is_waited_for_without_attempts() {
    let settlement = Case::new().facts(|facts| facts.trouble = Some(trouble())).settles();
    assert_eq!((settlement.wake, settlement.failed), (Some(START + secs(300)), false));
}

/// Every class of failure gives one stable message with the next step, and no more than was in the failure.
#[test]
fn every_failure_is_explained() {
    use FailureClass as C;
    let statuses = [307, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 425, 429, 500, 501, 503];
    let failures = statuses.into_iter().map(answer);
    let failures =
        failures.chain([C::Unreachable, C::Timeout, C::Tls, C::Protocol, C::NoLogin, C::Insecure].map(unsent));
    for failure in failures {
        let text = explain(&failure);
        assert!(text.starts_with(failure.message.as_str()) && text.len() > failure.message.len() + 10, "{text}");
        let settlement = Case::stored("wh_1").synced().spec(|spec| spec.user_id = "u".into()).read();
        let settlement = settlement.called(CallKind::Update { id: "wh_1".into() }, Err(failure.clone())).settles();
        let stalled = settlement.readiness.reason.state() == State::Stalled;
        assert_eq!(settlement.wake.is_none(), stalled, "{text}");
        assert_eq!(settlement.failed, !stalled || settlement.readiness.reason == Reason::Progressing, "{text}");
        assert!(!settlement.readiness.message.contains(URL_SECRET));
    }
    for (failure, advice) in [
        (answer(503), "Orion is up"),
        (answer(425), "Orion is up"),
        (unsent(C::Timeout), "timeout"),
        (answer(408), "timeout"),
        (answer(422), "Correct the spec"),
        (unsent(C::NoLogin), "by itself"),
        (unsent(C::Insecure), "public address"),
    ] {
        assert!(explain(&failure).contains(advice), "{failure:?}");
    }
}

#[test]
fn a_dry_run_names_the_host_and_nothing_else() {
    let case = Case::new().with(|case| case.settings.dry_run = true).read().listed(Ok(list(START, &[])));
    assert_eq!(case.settles().wake, Some(START + secs(600)));
    let message = case.settles().readiness.message;
    assert!(message.contains("hooks.example.com") && !message.contains(URL_SECRET), "{message}");
    let message = case.spec(|spec| spec.url = "not a url".into()).settles().readiness.message;
    assert!(!message.contains("not a url"), "{message}");
}

#[test]
fn an_annotation_is_echoed_with_care() {
    let long = format!("bad\nvalue {}", "x".repeat(1000));
    let message = Case::stored("wh_1").synced().annotate(RESOLVE, &long).settles().readiness.message;
    assert!(message.contains("badvalue") && !message.contains('\n') && message.len() < 500, "{message}");
}

#[test]
fn a_step_is_logged_by_its_name() {
    let (id, token) = (|| "wh_1".to_owned(), || "t".to_owned());
    for step in [
        Step::Refresh,
        Step::ReadSecrets,
        Step::Get { id: id() },
        Step::List { begun_after: START },
        Step::LookAtOthers,
        Step::LookAtNamespace,
        Step::Prepare,
        Step::BeginAttempt { token: token(), resolved: false },
        Step::Hold,
        Step::ClearResolve,
        Step::Post { token: token() },
        Step::Update { id: id() },
        Step::Unmark { id: id() },
        Step::Delete { id: id() },
        Step::release("nothing was created"),
        Case::stored("wh_1").synced().step(),
    ] {
        let debug = format!("{step:?}");
        assert_eq!(debug.split([' ', '(']).next(), Some(step.name()));
    }
}
