//! Which decisions a Webhook leaves to a person, and what each does: the pure part of `resolve`.

use crate::api::{FINALIZER, Reason};
use crate::cli::objects::Object;
use crate::cli::plugin::Program;
use crate::cli::printable;
use crate::plan::{Decision, NO_TOKEN, decision};

/// One decision that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `adopt=<id>`, of any id.
    Adopt,
    /// `retry=<token>`.
    Retry(String),
    /// `recreate=<id>`.
    Recreate(String),
    /// `abandon`.
    Abandon,
}

impl Way {
    /// As the annotation has it.
    fn value(&self) -> String {
        match self {
            Self::Adopt => "adopt=<id>".to_owned(),
            Self::Retry(token) => format!("retry={token}"),
            Self::Recreate(id) => format!("recreate={id}"),
            Self::Abandon => "abandon".to_owned(),
        }
    }

    fn does(&self) -> String {
        match self {
            Self::Adopt => {
                "the webhook <id> at Orion is this Webhook's: it is taken over, and nothing is created".to_owned()
            }
            Self::Retry(_) => {
                "the create took no effect: one is sent again. If it did take effect, there are two webhooks then"
                    .to_owned()
            }
            Self::Recreate(id) => format!("{id} is given up: a new webhook is created, and nothing is deleted"),
            Self::Abandon => {
                "the object is let go and nothing is sent to Orion: what is there stays, and delivers on".to_owned()
            }
        }
    }
}

/// A decision that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub value: String,
    pub does: String,
}

/// The decisions that are open, by what is stored in the object. While the operator finds it out by itself there are none.
pub(super) fn open(object: &Object) -> Vec<Way> {
    if object.is_deleting() {
        let is_held = object.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
        return if is_held { vec![Way::Abandon] } else { Vec::new() };
    }
    let reason: Option<Reason> = object.ready().and_then(|ready| ready.reason.parse().ok());
    let attempt = object.open_attempt().map(|attempt| attempt.token);
    match (reason, attempt, object.stored_id()) {
        (Some(Reason::MassDrift | Reason::EndpointChanged), None, Some(id)) => vec![Way::Recreate(id.to_owned())],
        (None | Some(Reason::Synced | Reason::Progressing | Reason::CreateUncertain | Reason::DryRun), _, _) => {
            Vec::new()
        }
        // A decision of before may have led elsewhere: to a Conflict, say.
        (Some(_), Some(token), _) => vec![Way::Adopt, Way::Retry(token)],
        (Some(Reason::CreateUnresolved), None, _) => vec![Way::Adopt, Way::Retry(NO_TOKEN.to_owned())],
        (Some(_), None, _) => Vec::new(),
    }
}

/// What is open, in words.
pub(super) fn told(object: &Object, open: &[Way], program: Program) -> String {
    let name = object.full_name();
    let (reason, message) = said(object);
    let mut text = match open {
        [] => format!("Nothing is to be decided about {name}. {reason}: {message}\n"),
        [..] => format!("{name} is {reason}: {message}\n\nWhat you can decide:\n"),
    };
    for way in open {
        let does = way.does();
        text.push_str(&format!(
            "  {program} resolve {} '{}'\n      {does}\n",
            object.argument(),
            printable(&way.value())
        ));
    }
    if let Some(value) = object.decision() {
        text.push_str(&format!("Decided already, and not acted on yet: {}\n", printable(value)));
    }
    text
}

/// The decision, if it is open; else which are.
pub(super) fn chosen(object: &Object, open: &[Way], given: &str, program: Program) -> Result<Choice, String> {
    let value = given.trim();
    let way = open.iter().find(|way| match (decision(value), way) {
        (Some(Decision::Adopt(id)), Way::Adopt) => is_id(id),
        (Some(Decision::Retry(token)), Way::Retry(open)) => token == open,
        (Some(Decision::Recreate(id)), Way::Recreate(stored)) => id == stored,
        (Some(Decision::Abandon), Way::Abandon) => true,
        (
            Some(Decision::Adopt(_) | Decision::Retry(_) | Decision::Recreate(_) | Decision::Abandon) | None,
            Way::Adopt | Way::Retry(_) | Way::Recreate(_) | Way::Abandon,
        ) => false,
    });
    if let Some(way) = way {
        let id = value.split_once('=').map_or("", |(_, id)| id);
        return Ok(Choice { value: value.to_owned(), does: way.does().replace("<id>", id) });
    }
    let fitting: Vec<String> = open.iter().map(|way| printable(&way.value())).collect();
    let (reason, _) = said(object);
    Err(match fitting.as_slice() {
        [] => format!(
            "{} does not fit: nothing is to be decided about {}, which is {reason}. More: {program} status {}",
            printable(value),
            object.full_name(),
            object.argument()
        ),
        [..] => format!(
            "{} does not fit {}, which is {reason}. What fits: {}. What each does: {program} resolve {}",
            printable(value),
            object.full_name(),
            fitting.join(", "),
            object.argument()
        ),
    })
}

fn said(object: &Object) -> (String, String) {
    object.ready().map_or_else(
        || ("without a status".to_owned(), "no operator has looked at it yet".to_owned()),
        |ready| (printable(&ready.reason), printable(&ready.message)),
    )
}

/// As the definition has the ids that `spec.adopt` may name.
fn is_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
    (1..=256).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(is_plain)
}
