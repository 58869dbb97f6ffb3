//! Which decisions a Webhook leaves to a person, and what each does: the pure part of `resolve`.

use crate::api::{FINALIZER, Reason, shell_quoted, shell_word};
use crate::cli::objects::Object;
use crate::cli::plugin::Program;
use crate::cli::printable;
use crate::plan::{ADOPT, Decision, NO_TOKEN, decision};

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
    pub(super) fn value(&self) -> String {
        match self {
            Self::Adopt => ADOPT.to_owned(),
            Self::Retry(token) => format!("retry={token}"),
            Self::Recreate(id) => format!("recreate={id}"),
            Self::Abandon => "abandon".to_owned(),
        }
    }

    /// As it is to be typed. Tokens and ids are what others have written.
    fn typed(&self) -> String {
        match self {
            Self::Adopt => self.value(),
            Self::Retry(_) | Self::Recreate(_) | Self::Abandon => shell_word(&printable(&self.value())),
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
                "as a last resort: the object is let go and nothing is sent to Orion: what is there stays, and delivers on".to_owned()
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
        let does = printable(&way.does());
        text.push_str(&format!(
            "  {program} resolve {} {}\n      {does}\n",
            object.argument(),
            shell_quoted(&printable(&way.value()))
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
    let fitting: Vec<String> = open.iter().map(Way::typed).collect();
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::objects::Kind;

    fn object(reason: Option<&str>, more: Value) -> Object {
        let mut object = json!({
            "apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook",
            "metadata": {"name": "jobs", "namespace": "team-a", "generation": 1},
            "spec": {"url": "https://hooks.example.com/", "userId": "u", "presenceName": "p"},
            "status": {"observedGeneration": 1},
        });
        if let Some(reason) = reason {
            object["status"]["conditions"] = json!([{
                "type": "Ready", "status": "False", "reason": reason, "message": "m", "lastTransitionTime": "2026-11-27T03:00:00Z",
            }]);
        }
        json_patch::merge(&mut object, &more);
        Object::new(Kind::Webhook, serde_json::from_value(object).unwrap())
    }

    fn attempt() -> Value {
        json!({"metadata": {"annotations": {"orion-operator.dev/create-attempt": "tok 2026-11-27T02:00:00Z abcdefgh"}}})
    }

    #[test]
    fn what_is_open_is_what_the_operator_acts_on() {
        let settled = json!({"metadata": attempt()["metadata"], "status": {"settledAttempt": "tok"}});
        let stored = json!({"status": {"webhookId": "wh_1"}});
        let deleting = |finalizer: &str| json!({"metadata": {"deletionTimestamp": "2026-11-27T03:00:00Z", "finalizers": [finalizer]}});
        for (object, values) in [
            (object(Some("CreateUnresolved"), attempt()), &["adopt=<id>", "retry=tok"][..]),
            (object(Some("CreateUnresolved"), json!({})), &["adopt=<id>", "retry=none"]),
            (object(Some("Conflict"), attempt()), &["adopt=<id>", "retry=tok"]),
            (object(Some("Conflict"), settled), &[]),
            (object(Some("MassDrift"), stored.clone()), &["recreate=wh_1"]),
            (object(Some("EndpointChanged"), stored.clone()), &["recreate=wh_1"]),
            (object(Some("MassDrift"), json!({})), &[]),
            (object(Some("CreateUncertain"), attempt()), &[]),
            (object(Some("Progressing"), attempt()), &[]),
            (object(None, attempt()), &[]),
            (object(Some("Synced"), stored), &[]),
            (object(Some("Unauthorized"), json!({})), &[]),
            (object(Some("Unauthorized"), deleting(FINALIZER)), &["abandon"]),
            (object(None, deleting(FINALIZER)), &["abandon"]),
            (object(Some("Deleting"), deleting("else.example/x")), &[]),
        ] {
            let found: Vec<String> = open(&object).iter().map(Way::value).collect();
            assert_eq!(found, values, "{object:?}");
        }
    }

    #[test]
    fn only_what_is_open_can_be_chosen() {
        let unresolved = object(Some("CreateUnresolved"), attempt());
        let choose = |value: &str| chosen(&unresolved, &open(&unresolved), value, Program::Plugin);
        assert_eq!(choose("retry=tok").unwrap().value, "retry=tok");
        let adopt = choose(" adopt=wh_7 ").unwrap();
        assert_eq!(adopt.value, "adopt=wh_7");
        assert!(adopt.does.contains("the webhook wh_7 at Orion"), "{}", adopt.does);
        for value in [
            "retry=other",
            "retry=none",
            "recreate=wh_1",
            "abandon",
            "adopt=<id>",
            "adopt=",
            "adopt=..",
            "nonsense",
            "",
        ] {
            let why = choose(value).unwrap_err();
            assert!(why.contains("What fits: adopt=<id>, retry=tok"), "{value}: {why}");
        }
        let fine = object(Some("Synced"), json!({}));
        assert!(chosen(&fine, &[], "abandon", Program::Plugin).unwrap_err().contains("nothing is to be decided"));
    }

    #[test]
    fn what_is_open_is_told_with_commands_to_paste() {
        let unresolved = object(Some("CreateUnresolved"), attempt());
        let told = told(&unresolved, &open(&unresolved), Program::Plugin);
        assert_eq!(
            told,
            "team-a/jobs is CreateUnresolved: m

What you can decide:
  kubectl orion resolve jobs -n team-a 'adopt=<id>'
      the webhook <id> at Orion is this Webhook's: it is taken over, and nothing is created
  kubectl orion resolve jobs -n team-a 'retry=tok'
      the create took no effect: one is sent again. If it did take effect, there are two webhooks then
"
        );
    }

    #[test]
    fn what_others_wrote_runs_nothing_when_it_is_pasted() {
        let attempt =
            json!({"metadata": {"annotations": {"orion-operator.dev/create-attempt": "x';a\u{202e}b;'$(id)"}}});
        let unresolved = object(Some("CreateUnresolved"), attempt);
        let ways = open(&unresolved);
        for text in [
            told(&unresolved, &ways, Program::Plugin),
            chosen(&unresolved, &ways, "abandon", Program::Plugin).unwrap_err(),
        ] {
            assert!(text.contains("'retry=x'\\'';a\u{fffd}b;'\\''$(id)'"), "{text}");
        }
    }
}
