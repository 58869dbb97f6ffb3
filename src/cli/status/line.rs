//! How one object stands, in a few words: the pure part of `status`.

use std::cmp::Ordering;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::api::{Attempt, CONNECTION_FINALIZER, FINALIZER, Reason};
use crate::cli::objects::{Kind, Object};
use crate::cli::plugin::Program;
use crate::cli::printable;
use crate::plan::url_host;

/// An operator that runs has said something within this time: after 5 s at the latest that it is at work.
const SEEN_WITHIN: SignedDuration = SignedDuration::from_secs(15);

/// What an object needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Standing {
    /// A person.
    NeedsYou,
    /// Time, or Orion.
    Waiting,
    /// It was told to stand still.
    Suspended,
    /// Nothing.
    Ready,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
    /// As these commands take it, without its namespace.
    #[serde(skip)]
    pub named: String,
    pub standing: Standing,
    /// `True`, `False` or `Unknown`; nothing where no operator has said so.
    pub ready: Option<String>,
    pub reason: Option<String>,
    /// When `ready` became what it is; where nothing is said, when the object was made.
    pub since: Option<Timestamp>,
    pub message: String,
    pub next_step: String,
    pub generation: Option<i64>,
    pub observed_generation: Option<i64>,
    pub suspended: bool,
    pub deleting: bool,
    pub reconcile_requested_at: Option<String>,
    pub last_handled_reconcile_at: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<OfAWebhook>,
}

/// What only a Webhook has. Of its url the host, and of its headers nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfAWebhook {
    pub host: String,
    pub presence_name: String,
    pub user_id: String,
    pub webhook_id: Option<String>,
    pub endpoint: Option<String>,
    pub open_create_attempt: Option<String>,
}

impl Line {
    pub(super) fn new(object: &Object, now: Timestamp, program: Program) -> Self {
        let ready = object.ready();
        let judged = judge(object, now, program);
        Self {
            kind: object.kind.name(),
            namespace: object.meta.namespace.clone(),
            name: object.name().to_owned(),
            named: object.named().to_string(),
            standing: judged.standing,
            ready: ready.map(|ready| ready.status.clone()),
            reason: ready.map(|ready| printable(&ready.reason)),
            since: ready
                .map(|ready| &ready.last_transition_time)
                .or(object.meta.creation_timestamp.as_ref())
                .map(|t| t.0),
            message: printable(&judged.message),
            next_step: judged.next_step,
            generation: object.meta.generation,
            observed_generation: object.seen.observed_generation.filter(|generation| *generation >= 0),
            suspended: object.is_suspended(),
            deleting: object.is_deleting(),
            reconcile_requested_at: object.requested_at().map(printable),
            last_handled_reconcile_at: object.seen.last_handled_reconcile_at.as_deref().map(printable),
            webhook: object.decoded().map(|webhook| OfAWebhook {
                host: url_host(&webhook.spec.url),
                presence_name: printable(&webhook.spec.presence_name),
                user_id: printable(&webhook.spec.user_id),
                webhook_id: object.stored_id().map(printable),
                endpoint: object.seen.endpoint.as_deref().map(printable),
                open_create_attempt: object.open_attempt().map(|Attempt { token, .. }| printable(&token)),
            }),
        }
    }

    /// Those in trouble first, then by name.
    pub(super) fn worst_first(&self, other: &Self) -> Ordering {
        let key = |line: &Self| (line.standing, line.kind, line.namespace.clone(), line.name.clone());
        key(self).cmp(&key(other))
    }
}

struct Judged {
    standing: Standing,
    message: String,
    next_step: String,
}

fn judge(object: &Object, now: Timestamp, program: Program) -> Judged {
    let Some(ready) = object.ready() else { return unseen(object, now) };
    if object.is_deleting()
        && let Some(judged) = held_by_others(object)
    {
        return judged;
    }
    if !object.is_current() {
        return outdated(object, &ready.message, now);
    }
    let reason: Option<Reason> = ready.reason.parse().ok();
    let standing = match (ready.status.as_str(), reason) {
        ("True", _) if !object.is_deleting() => Standing::Ready,
        (_, Some(Reason::Suspended)) => Standing::Suspended,
        (_, Some(reason)) if reason.needs_a_person() => Standing::NeedsYou,
        (_, Some(_) | None) => Standing::Waiting,
    };
    let mut message = ready.message.clone();
    let mut next_step = match reason {
        Some(reason) => program.step(reason, &object.argument()),
        // Of an operator that is newer than this program.
        None => "do what the message says".to_owned(),
    };
    if object.is_deleting() {
        message = format!("Being deleted, held by {}: {message}", object.finalizers().join(", "));
        if object.kind == Kind::Webhook && reason != Some(Reason::Deleting) && !next_step.ends_with(" abandon") {
            let object = object.argument();
            next_step.push_str(&format!(
                ". To let it go and leave Orion as it is: {} resolve {object} abandon",
                program.as_str()
            ));
        }
    }
    Judged { standing, message, next_step }
}

/// No operator has said anything of it.
fn unseen(object: &Object, now: Timestamp) -> Judged {
    if is_young(object, now) {
        let message = "New: no operator has looked at it yet".to_owned();
        return Judged { standing: Standing::Waiting, message, next_step: "wait".to_owned() };
    }
    let held = match object.finalizers() {
        [] => String::new(),
        finalizers if object.is_deleting() => format!(". It is being deleted, held by {}", finalizers.join(", ")),
        [..] => String::new(),
    };
    Judged {
        standing: Standing::NeedsYou,
        message: format!("No operator has looked at it: none seems to watch here{held}"),
        next_step: lower(&Program::watching(object.meta.namespace.as_deref())),
    }
}

/// The status speaks of what the object was before.
fn outdated(object: &Object, message: &str, now: Timestamp) -> Judged {
    let generation = object.meta.generation.unwrap_or_default();
    let (standing, next_step) = if is_young(object, now) {
        (Standing::Waiting, "wait".to_owned())
    } else {
        (Standing::NeedsYou, lower(&Program::watching(object.meta.namespace.as_deref())))
    };
    let what = if object.is_deleting() { "its deletion" } else { "its last change" };
    let of = match object.seen.observed_generation {
        Some(observed) if observed >= 0 => format!("the status is of generation {observed}, this is {generation}"),
        Some(_) | None => format!("the status is of no generation, this is {generation}"),
    };
    let message = format!("No operator has looked at {what}: {of}. Before, it said: {message}");
    Judged { standing, message, next_step }
}

/// All that holds it is somebody else's.
fn held_by_others(object: &Object) -> Option<Judged> {
    let ours = [FINALIZER, CONNECTION_FINALIZER];
    let others = object.finalizers();
    if others.is_empty() || others.iter().any(|finalizer| ours.contains(&finalizer.as_str())) {
        return None;
    }
    Some(Judged {
        standing: Standing::Waiting,
        message: format!("Being deleted; this operator is done with it, but others hold it: {}", others.join(", ")),
        next_step: "wait for who put those finalizers on".to_owned(),
    })
}

fn is_young(object: &Object, now: Timestamp) -> bool {
    object.last_change().is_none_or(|then| now.duration_since(then) < SEEN_WITHIN)
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// How all stand together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    total: usize,
    ready: usize,
    suspended: usize,
    waiting: usize,
    needs_you: usize,
}

impl Summary {
    pub(super) fn of(lines: &[Line]) -> Self {
        let count = |standing: Standing| lines.iter().filter(|line| line.standing == standing).count();
        Self {
            total: lines.len(),
            ready: count(Standing::Ready),
            suspended: count(Standing::Suspended),
            waiting: count(Standing::Waiting),
            needs_you: count(Standing::NeedsYou),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, ready, suspended, waiting, needs_you } = *self;
        let webhooks = if total == 1 { "Webhook" } else { "Webhooks" };
        write!(f, "{total} {webhooks}: {ready} ready")?;
        let need = if needs_you == 1 { "needs you" } else { "need you" };
        for (count, word) in [(suspended, "suspended"), (waiting, "waiting"), (needs_you, need)] {
            if count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        Ok(())
    }
}
