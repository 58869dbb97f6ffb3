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
