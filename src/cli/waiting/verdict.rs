//! Whether what was asked for is done.

use crate::api::Reason;
use crate::cli::objects::{Kind, Object};
use crate::cli::plugin::Program;
use crate::cli::printable;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Asked {
    /// A reconcile, by this value of the annotation.
    Reconcile(String),
    /// Another spec.
    Change,
    /// A person's decision, while the status said this.
    Decision { value: String, before: String },
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done(String),
    Failed(String),
    Waiting(String),
}

/// How it stands with this object; `None` where it is gone.
pub(super) fn verdict(object: Option<&Object>, asked: &Asked, program: Program) -> Verdict {
    let Some(object) = object else {
        let abandoned = matches!(asked, Asked::Decision { value, .. } if value == "abandon");
        return if abandoned {
            Verdict::Done("gone".into())
        } else {
            Verdict::Failed("it was deleted meanwhile".into())
        };
    };
    if object.is_deleting() {
        return Verdict::Waiting(format!("is being deleted. {}", said(object)));
    }
    if let (Asked::Decision { value, .. }, Some(other)) = (asked, object.decision())
        && other != value
    {
        return Verdict::Failed(format!("somebody has decided otherwise meanwhile: {}", printable(other)));
    }
    if !is_answered(object, asked) {
        return match asked {
            Asked::Decision { value, .. } if said(object).contains(&format!("{value} fits nothing")) => {
                Verdict::Failed(said(object))
            }
            Asked::Decision { .. } | Asked::Reconcile(_) | Asked::Change => {
                Verdict::Waiting("the operator has not answered yet".into())
            }
        };
    }
    let Some(ready) = object.ready().filter(|_| object.is_current()) else {
        return Verdict::Waiting("the operator is at work".into());
    };
    if ready.status == "True" {
        return Verdict::Done(said(object));
    }
    let reason: Option<Reason> = ready.reason.parse().ok();
    let is_as_before = matches!(asked, Asked::Decision { before, .. } if *before == ready.message);
    let is_final =
        reason.is_some_and(|reason| reason.needs_a_person() || matches!(reason, Reason::Suspended | Reason::DryRun));
    // A connection does not say whether it has been looked at since.
    let may_be_old = object.kind != Kind::Webhook || is_as_before;
    if !is_final || may_be_old {
        return Verdict::Waiting(said(object));
    }
    Verdict::Failed(with_step(object, program))
}

/// Why it was waited for in vain.
pub(super) fn given_up(object: &Object, asked: &Asked, program: Program) -> String {
    if object.is_deleting() {
        return format!("is being deleted. {}", said(object));
    }
    if !is_answered(object, asked) || object.ready().is_none() {
        return format!("no operator has answered. {}", Program::watching(object.meta.namespace.as_deref()));
    }
    with_step(object, program)
}

fn is_answered(object: &Object, asked: &Asked) -> bool {
    match asked {
        Asked::Reconcile(at) => {
            object.kind != Kind::Webhook || object.seen.last_handled_reconcile_at.as_deref() == Some(at)
        }
        Asked::Change => object.is_current(),
        // It is taken off as it is acted on.
        Asked::Decision { value, .. } => object.decision() != Some(value),
    }
}

/// Ready, in the operator's words.
fn said(object: &Object) -> String {
    object.ready().map_or_else(String::new, |ready| {
        let word = if ready.status == "True" { "Ready" } else { ready.reason.as_str() };
        printable(&format!("{word}: {}", ready.message))
    })
}

fn with_step(object: &Object, program: Program) -> String {
    let reason: Option<Reason> = object.ready().and_then(|ready| ready.reason.parse().ok());
    match reason {
        Some(reason) => format!("{}. To do: {}", said(object), program.step(reason, &object.argument())),
        None => said(object),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// At generation 2, asked for a reconcile at `now`.
    fn object(observed: i64, ready: &str, reason: &str, more: Value) -> Object {
        let mut object = json!({
            "apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook",
            "metadata": {"name": "jobs", "namespace": "team-a", "generation": 2,
                         "annotations": {"reconcile.fluxcd.io/requestedAt": "now"}},
            "spec": {"url": "https://hooks.example.com/", "userId": "u", "presenceName": "p"},
            "status": {"observedGeneration": observed, "lastHandledReconcileAt": "now", "conditions": [{
                "type": "Ready", "status": ready, "reason": reason, "message": "m", "lastTransitionTime": "2026-11-27T03:00:00Z",
            }]},
        });
        json_patch::merge(&mut object, &more);
        Object::new(Kind::Webhook, serde_json::from_value(object).unwrap())
    }

    fn shape(object: &Object, asked: &Asked) -> &'static str {
        match verdict(Some(object), asked, Program::Plugin) {
            Verdict::Done(_) => "done",
            Verdict::Failed(_) => "failed",
            Verdict::Waiting(_) => "waiting",
        }
    }

    #[test]
    fn it_is_done_when_it_is_answered_and_ready() {
        let reconcile = Asked::Reconcile("now".into());
        let decision = |before: &str| Asked::Decision { value: "retry=tok".into(), before: before.into() };
        let plain = || json!({});
        let decided = json!({"metadata": {"annotations": {"orion-operator.dev/resolve": "retry=tok"}}});
        let misfit = json!({"metadata": decided["metadata"], "status": {"conditions": [{
            "type": "Ready", "status": "False", "reason": "CreateUnresolved", "lastTransitionTime": "2026-11-27T03:00:00Z",
            "message": "m. The annotation orion-operator.dev/resolve: retry=tok fits nothing here and was left alone",
        }]}});
        for (object, asked, expected) in [
            (object(2, "True", "Synced", plain()), &reconcile, "done"),
            (
                object(2, "True", "Synced", json!({"status": {"lastHandledReconcileAt": "before"}})),
                &reconcile,
                "waiting",
            ),
            (object(2, "True", "Synced", json!({"status": {"lastHandledReconcileAt": null}})), &reconcile, "waiting"),
            (object(1, "True", "Synced", plain()), &reconcile, "waiting"),
            (object(2, "False", "OrionUnavailable", plain()), &reconcile, "waiting"),
            (object(2, "Unknown", "CreateUncertain", plain()), &reconcile, "waiting"),
            (object(2, "False", "Rejected", plain()), &reconcile, "failed"),
            (object(2, "False", "SecretNotFound", plain()), &reconcile, "failed"),
            (object(2, "False", "Suspended", plain()), &reconcile, "failed"),
            (object(2, "Unknown", "DryRun", plain()), &reconcile, "failed"),
            (
                object(2, "True", "Synced", json!({"metadata": {"deletionTimestamp": "2026-11-27T03:00:00Z"}})),
                &reconcile,
                "waiting",
            ),
            (object(1, "False", "Suspended", plain()), &Asked::Change, "waiting"),
            (object(2, "True", "Synced", plain()), &Asked::Change, "done"),
            (object(2, "False", "CreateUnresolved", decided.clone()), &decision("m"), "waiting"),
            (
                object(
                    2,
                    "False",
                    "CreateUnresolved",
                    json!({"metadata": {"annotations": {"orion-operator.dev/resolve": "adopt=wh_1"}}}),
                ),
                &decision("m"),
                "failed",
            ),
            (object(2, "False", "CreateUnresolved", plain()), &decision("m"), "waiting"),
            (object(2, "False", "CreateUnresolved", plain()), &decision("before"), "failed"),
            (object(2, "False", "CreateUnresolved", misfit), &decision("m"), "failed"),
            (object(2, "True", "Synced", plain()), &decision("m"), "done"),
        ] {
            assert_eq!(shape(&object, asked), expected, "{asked:?} {object:?}");
        }
    }

    #[test]
    fn gone_is_what_abandon_is_for() {
        let abandon = Asked::Decision { value: "abandon".into(), before: String::new() };
        assert_eq!(verdict(None, &abandon, Program::Plugin), Verdict::Done("gone".into()));
        assert!(matches!(verdict(None, &Asked::Change, Program::Plugin), Verdict::Failed(_)));
    }

    #[test]
    fn a_connection_is_waited_for_as_it_does_not_say_when_it_was_looked_at() {
        let mut connection = object(2, "False", "Unauthorized", json!({}));
        connection.kind = Kind::Connection;
        assert_eq!(shape(&connection, &Asked::Reconcile("other".into())), "waiting");
    }

    #[test]
    fn who_waited_in_vain_is_told_what_to_do() {
        let reconcile = Asked::Reconcile("now".into());
        let unseen = object(2, "True", "Synced", json!({"status": {"lastHandledReconcileAt": null}}));
        assert!(given_up(&unseen, &reconcile, Program::Plugin).contains("no operator has answered. Look whether"));
        let waiting = object(2, "False", "Timeout", json!({}));
        assert!(given_up(&waiting, &reconcile, Program::Plugin).contains("Timeout: m. To do: wait"));
    }
}
