use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::detail::{self, Told};
use super::line::{Line, Standing, Summary};
use super::table;
use crate::api::Reason;
use crate::cli::objects::{Kind, Object};
use crate::cli::plugin::Program;

fn now() -> Timestamp {
    "2026-11-27T03:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> String {
    (now() - seconds.seconds()).to_string()
}

/// A Webhook of an hour ago, at generation 2, without a status.
fn webhook(name: &str) -> Value {
    json!({
        "apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook",
        "metadata": {"name": name, "namespace": "team-a", "uid": "u", "generation": 2, "creationTimestamp": ago(3600)},
        "spec": {"url": "https://hooks.example.com/s3cret-path?k=s3cret", "userId": "user-42", "presenceName": name,
                 "headers": [{"name": "X-Plain", "value": "s3cret-value"}]},
    })
}

fn status(generation: i64, ready: &str, reason: &str, message: &str) -> Value {
    let condition = json!({
        "type": "Ready", "status": ready, "reason": reason, "message": message,
        "observedGeneration": generation, "lastTransitionTime": ago(720),
    });
    json!({"observedGeneration": generation, "conditions": [condition]})
}

fn with(mut object: Value, more: Value) -> Value {
    json_patch::merge(&mut object, &more);
    object
}

fn said(name: &str, ready: &str, reason: &str, message: &str) -> Value {
    with(webhook(name), json!({"status": status(2, ready, reason, message)}))
}

fn read(object: Value) -> Object {
    let kind = match object["kind"].as_str().unwrap() {
        "Webhook" => Kind::Webhook,
        "OrionConnection" => Kind::Connection,
        _ => Kind::ClusterConnection,
    };
    Object::new(kind, serde_json::from_value(object).unwrap())
}

fn line(object: Value) -> Line {
    Line::new(&read(object), now(), Program::Plugin)
}

#[test]
fn each_state_says_what_it_needs() {
    let deleting = |finalizers: Value| json!({"metadata": {"deletionTimestamp": ago(60), "generation": 3, "finalizers": finalizers}});
    let ours = json!(["orion-operator.dev/webhook"]);
    let at_3 = |reason: &str| json!({"status": status(3, "False", reason, "m")});
    let young = json!({"metadata": {"creationTimestamp": ago(3)}});
    let edited = |seconds: i64| json!({"metadata": {"managedFields": [{"manager": "kubectl", "time": ago(seconds)}]}});
    let old = || with(webhook("a"), json!({"status": status(1, "True", "Synced", "fine")}));
    for (object, standing, message, step) in [
        (said("a", "True", "Synced", "fine"), Standing::Ready, "fine", "nothing"),
        (
            with(said("a", "True", "Synced", "fine"), json!({"spec": {"suspend": true}})),
            Standing::Ready,
            "fine",
            "nothing",
        ),
        (said("a", "False", "Suspended", "m"), Standing::Suspended, "m", "kubectl orion resume a -n team-a"),
        (said("a", "Unknown", "CreateUncertain", "m"), Standing::Waiting, "m", "wait"),
        (said("a", "False", "OrionUnavailable", "m"), Standing::Waiting, "m", "wait"),
        (said("a", "False", "SecretNotFound", "m"), Standing::NeedsYou, "m", "create the Secret"),
        (said("a", "False", "CreateUnresolved", "m"), Standing::NeedsYou, "m", "kubectl orion resolve a -n team-a"),
        (said("a", "False", "OfTheFuture", "m"), Standing::Waiting, "m", "do what the message says"),
        (webhook("a"), Standing::NeedsYou, "none seems to watch here", "and watches team-a"),
        (
            with(webhook("a"), json!({"status": {"observedGeneration": -1}})),
            Standing::NeedsYou,
            "none seems to watch",
            "look",
        ),
        (with(webhook("a"), young), Standing::Waiting, "New", "wait"),
        (old(), Standing::NeedsYou, "the status is of generation 1, this is 2. Before, it said: fine", "look whether"),
        (with(old(), edited(3)), Standing::Waiting, "has looked at its last change", "wait"),
        (with(old(), edited(30)), Standing::NeedsYou, "has looked at its last change", "look whether"),
        (
            with(webhook("a"), with(deleting(ours.clone()), at_3("Deleting"))),
            Standing::Waiting,
            "Being deleted, held by orion-operator.dev/webhook: m",
            "wait",
        ),
        (
            with(webhook("a"), with(deleting(ours.clone()), at_3("Unauthorized"))),
            Standing::NeedsYou,
            "Being deleted",
            "To let it go and leave Orion as it is: kubectl orion resolve a -n team-a abandon",
        ),
        (
            with(webhook("a"), with(deleting(ours.clone()), at_3("DeleteUnsupported"))),
            Standing::NeedsYou,
            "Being deleted",
            "remove the webhook at Orion by other means, then: kubectl orion resolve a -n team-a abandon",
        ),
        (
            with(webhook("a"), with(deleting(json!(["else.example/x"])), at_3("Deleting"))),
            Standing::Waiting,
            "others hold it: else.example/x",
            "wait for who",
        ),
        (with(webhook("a"), deleting(ours)), Standing::NeedsYou, "held by orion-operator.dev/webhook", "look whether"),
    ] {
        let told = line(object.clone());
        let context = format!("{object}\n{told:?}");
        assert_eq!(told.standing, standing, "{context}");
        assert!(told.message.contains(message), "{message}: {context}");
        assert!(told.next_step.contains(step), "{step}: {context}");
    }
}

#[test]
fn every_reason_has_a_row_that_says_what_to_do() {
    for reason in Reason::ALL {
        let told = line(said("a", "False", reason.as_str(), "m"));
        assert!(!told.next_step.contains("NAME"), "{told:?}");
    }
}

#[test]
fn what_does_not_decode_is_told_all_the_same() {
    let broken = with(said("a", "False", "InvalidSpec", "does not decode"), json!({"spec": {"url": 7}}));
    let told = line(broken.clone());
    assert_eq!((told.standing, told.reason.as_deref()), (Standing::NeedsYou, Some("InvalidSpec")));
    assert_eq!(told.webhook, None);
    assert!(full(broken, None).contains("Unreadable:"));
}

fn full(object: Value, connection: Option<Result<Line, String>>) -> String {
    let object = read(object);
    let line = Line::new(&object, now(), Program::Plugin);
    let event = json!({"metadata": {}, "involvedObject": {}, "reason": "Unauthorized", "message": "it says no", "eventTime": ago(720)});
    let events = Ok(vec![serde_json::from_value(event).unwrap()]);
    let told = Told { object: &object, line: &line, connection: connection.as_ref(), events: &events, now: now() };
    let mut out = Vec::new();
    detail::write(&told, None, &mut out).unwrap();
    plain(&out)
}

fn plain(out: &[u8]) -> String {
    anstream::adapter::strip_str(std::str::from_utf8(out).unwrap()).to_string()
}

#[test]
fn the_table_has_those_in_trouble_first_with_what_to_do() {
    let mut lines: Vec<Line> = [
        said("fine", "True", "Synced", "Orion has it"),
        said("slow", "False", "Timeout", "Orion at acme.example.com does not answer"),
        said("jobs", "False", "Unauthorized", "Orion at acme.example.com refuses the credentials. Renew the connection's credentials; it is tried again when they change"),
        with(said("still", "True", "Synced", "Orion has it"), json!({"spec": {"suspend": true}})),
        webhook("unseen"),
    ]
    .map(line)
    .into();
    lines.sort_by(Line::worst_first);
    let mut out = Vec::new();
    table::write(&lines.iter().collect::<Vec<_>>(), now(), Some(76), &mut out).unwrap();
    assert!(out.contains(&0x1b), "READY has a colour");
    assert_eq!(plain(&out), TABLE);
    assert_eq!(Summary::of(&lines).to_string(), "5 Webhooks: 2 ready, 1 waiting, 2 need you");
    assert_eq!(Summary::of(&lines[..1]).to_string(), "1 Webhook: 0 ready, 1 needs you");
}

const TABLE: &str = "\
NAMESPACE  NAME    READY  REASON             SINCE
team-a     jobs    False  Unauthorized       12m
  Orion at acme.example.com refuses the credentials. Renew the connection's
  credentials; it is tried again when they change
  To do: renew the connection's token or password: it is seen at once
team-a     unseen  -      -                  60m
  No operator has looked at it: none seems to watch here
  To do: look whether an operator runs and watches team-a (its
  --watch-namespaces and --watch-label-selector):
  kubectl get deployments -A -l app.kubernetes.io/name=orion-operator
team-a     slow    False  Timeout            12m
  Orion at acme.example.com does not answer
  To do: wait: it is tried again by itself. If it lasts, check the network,
  or raise the connection's timeout
team-a     fine    True   Synced             12m
team-a     still   True   Synced, suspended  12m
";

#[test]
fn one_in_full_says_all_and_nothing_secret() {
    let object = with(
        said("jobs", "False", "Unauthorized", "Orion refuses the credentials"),
        json!({
            "metadata": {"annotations": {
                "orion-operator.dev/create-attempt": "tok 2026-11-27T02:00:00Z abcdefgh",
                "reconcile.fluxcd.io/requestedAt": "then",
            }},
            "spec": {"connectionRef": {"name": "acme"}},
        }),
    );
    let connection = json!({
        "apiVersion": "orion-operator.dev/v1alpha1", "kind": "OrionConnection",
        "metadata": {"name": "acme", "namespace": "team-a", "generation": 1}, "spec": {},
        "status": status(1, "False", "Unauthorized", "the token is refused"),
    });
    let told = full(object, Some(Ok(line(connection))));
    assert_eq!(told, FULL);
    assert!(!told.contains("s3cret"));
}

const FULL: &str = "\
Webhook team-a/jobs
  Ready:         False, Unauthorized, for 12m
  What:          Orion refuses the credentials
  To do:         renew the connection's token or password: it is seen at once
  Receiver:      hooks.example.com (of the url, only the host is shown)
  Presence:      jobs, for the user user-42
  At Orion:      no webhook that is known of
  Connection:    OrionConnection acme: False, Unauthorized, for 12m. the token is refused
  Generation:    2, which the status is of
  Reconcile:     asked for at then, and not answered yet
  Create:        attempt tok of 2026-11-27T02:00:00Z by the installation abcdefgh: its result is not known
  Conditions:    Ready=False Unauthorized, for 12m
  Events:        12m ago, Unauthorized: it says no
";

#[test]
fn text_is_broken_at_spaces_and_what_is_to_be_pasted_stays_whole() {
    let wrapped = |text, width| table::wrapped(text, width);
    assert_eq!(wrapped("a bb ccc", Some(4)), ["a bb", "ccc"]);
    assert_eq!(wrapped("looooong a", Some(4)), ["looooong", "a"]);
    assert_eq!(wrapped("a bb ccc", None), ["a bb ccc"]);
    assert_eq!(wrapped("do: kubectl get x. Or not", Some(6)), ["do:", "kubectl get x.", "Or not"]);
    assert_eq!(wrapped("\u{1b}[1ma\u{1b}[0m b", Some(3)), ["\u{1b}[1ma\u{1b}[0m b"]);
}

#[test]
fn json_has_neither_url_nor_headers() {
    let told = serde_json::to_string(&line(said("a", "True", "Synced", "fine"))).unwrap();
    assert!(told.contains("\"host\":\"hooks.example.com\"") && told.contains("\"standing\":\"ready\""), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
}
