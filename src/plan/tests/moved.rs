//! A stored id on a connection that leads elsewhere now.

use super::*;

#[test]
fn another_endpoint_needs_our_marker_there() {
    let moved = || {
        Case::stored("wh_1").status(|status| status.endpoint = Some("https://old.example.com/v1alpha".into())).read()
    };
    // An attempt to replace it is in doubt, and two lists were read.
    let doubtful = |webhooks: &[RemoteWebhook]| {
        let case = moved().got("wh_1", Err(answer(404))).attempt("t").doubt("t", START).after(70);
        let case = case.listed(Ok(list(START + secs(67), webhooks)));
        case.with(|case| {
            case.fresh = true;
            case.memory.doubt.as_mut().unwrap().lists = vec![START + secs(61)];
        })
    };
    for (case, expected) in [
        (moved(), "Get wh_1"),
        (moved().got("wh_1", Ok(ours("wh_1"))), "Synced"),
        (moved().got("wh_1", Ok(differing())), "Progressing"),
        (moved().got("wh_1", Ok(unmarked("wh_1"))), "EndpointChanged"),
        (moved().got("wh_1", Ok(foreign("wh_1"))), "EndpointChanged"),
        (moved().got("wh_1", Err(answer(404))), "EndpointChanged"),
        (moved().got("wh_1", Err(answer(503))), "OrionUnavailable"),
        (moved().capabilities(|can| can.get = Support::Absent), "EndpointChanged"),
        (moved().facts(|facts| facts.trouble = Some(trouble())), "OrionUnavailable"),
        (moved().got("wh_1", Err(answer(404))).prepared().annotate(RESOLVE, "recreate=wh_1"), "BeginAttempt resolved"),
        (moved().got("wh_1", Err(answer(404))).prepared().annotate(RESOLVE, "recreate=wh_2"), "EndpointChanged"),
        // One that was begun already and is in doubt comes first.
        (
            moved().got("wh_1", Err(answer(404))).attempt("t").doubt("t", START).annotate(RESOLVE, "recreate=wh_1"),
            "CreateUncertain",
        ),
        (doubtful(&[ours("wh_5")]), "Synced"),
        (doubtful(&[unmarked("wh_5")]), "CreateUnresolved"),
        (doubtful(&[]), "EndpointChanged"),
        (doubtful(&[]).facts(|facts| facts.proven = false), "CreateUnresolved"),
        (doubtful(&[]).facts(|facts| facts.proven = false).annotate(RESOLVE, "recreate=wh_1"), "CreateUnresolved"),
        (doubtful(&[]).prepared().annotate(RESOLVE, "recreate=wh_1"), "BeginAttempt resolved"),
        (Case::stored("wh_1").status(|status| status.endpoint = None).synced(), "Synced"),
    ] {
        assert_eq!(case.short(), expected, "{:?}", case.round.remote);
    }
    let settlement = moved().got("wh_1", Ok(ours("wh_1"))).settles();
    assert_eq!(settlement.status.endpoint.as_deref(), Some(ENDPOINT));
    let message = moved().got("wh_1", Err(answer(404))).settles().readiness.message;
    assert!(
        message.contains(&format!(
            "kubectl annotate webhook -n {NAMESPACE} {NAME} orion-operator.dev/resolve=recreate=wh_1"
        ))
    );
}

#[test]
fn a_person_recreates_on_another_endpoint_once() {
    let mut script = Script::synced();
    script.world.orion.clear();
    script
        .world
        .edit(|object| object.status.as_mut().unwrap().endpoint = Some("https://old.example.com/v1alpha".into()));
    script.live(3000);
    assert_eq!((script.world.reason(), script.world.posts.len()), ("EndpointChanged".into(), 0));
    script.world.annotate(RESOLVE, "recreate=wh_1");
    script.world.faults.push_back(Fault::lost(20));
    script.reconcile();
    assert_eq!((script.world.reason(), script.world.posts.len()), ("CreateUncertain".into(), 1));
    script.world.annotate(RESOLVE, "recreate=wh_1");
    script.live(600);
    assert_eq!((script.world.reason(), script.world.posts.len()), ("Synced".into(), 1));
    assert_eq!(script.world.status().webhook_id.as_deref(), Some("wh_2"));
}
