//! A webhook that is made to look what becomes of it, and deleted: what that shows. Pure.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;

use super::line::{Check, Line};
use super::names::{Names, todo};
use crate::api::{Capabilities, Desired, Failure, FailureClass, InstanceId, RemoteWebhook, Support, shell_quoted};

/// Nobody receives at a name that ends so (RFC 6761).
const HOST: &str = "orion-operator-doctor.invalid";
/// Its presence name begins so, and so does its header.
const NAME: &str = "orion-operator-doctor";
/// All but the unreserved characters of RFC 3986: nothing in a line to copy may mean something to a shell.
const IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The webhook. Its marker is of no installation, so no operator takes it for its own.
pub(super) fn desired(user_id: &str, random: &str) -> Desired {
    Desired {
        url: format!("https://{HOST}/{random}"),
        user_id: user_id.to_owned(),
        presence_name: format!("{NAME}-{random}"),
        headers: vec![("X-Orion-Operator-Doctor".to_owned(), SecretString::from(random))],
        owner: Some(InstanceId::new(format!("{NAME} {random}")).owner(NAME, random)),
    }
}

/// Whether this is the webhook that was made: its name and its marker are random.
pub(super) fn is_ours(webhook: &RemoteWebhook, desired: &Desired) -> bool {
    webhook.presence_name.as_ref() == Some(&desired.presence_name)
        || (webhook.owner().is_some() && webhook.owner() == desired.owner)
}

/// Why none is made: it might stay. `may_stay`: somebody has said that it may.
pub(super) fn refusal(capabilities: Capabilities, may_stay: bool) -> Option<Line> {
    let Capabilities { delete, get, list, .. } = capabilities;
    let why = match (delete, get, list) {
        (Support::Absent, ..) => "this Orion has no DELETE",
        (Support::Unknown, ..) => "no openapi.json says that this Orion has a DELETE",
        (Support::Proven, Support::Absent, Support::Absent | Support::Unknown) => {
            "this Orion shows no webhook, and only one that is seen to be that which was made is deleted"
        }
        (Support::Proven, Support::Proven | Support::Unknown, _) | (Support::Proven, _, Support::Proven) => {
            return None;
        }
    };
    let told =
        format!("{why}, so the webhook might stay: none was made. With --even-if-it-stays it is made all the same");
    (!may_stay).then(|| Line::skipped(Check::Write, told))
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Trip {
    pub(super) presence_name: String,
    pub(super) made: Result<String, Failure>,
    /// How it was shown, by its id or in the list; nothing where neither is there.
    pub(super) read: Option<Result<Option<RemoteWebhook>, Failure>>,
    /// Nothing where there is no update.
    pub(super) updated: Option<Result<(), Failure>>,
    pub(super) interrupted: bool,
    /// Nothing where there is nothing to remove.
    pub(super) removed: Option<(String, Removal)>,
}

/// Whether it is gone again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// After so many tries.
    Gone,
    /// Orion said that it is deleted, and shows it still.
    Still,
    /// It was deleted, or was not there, but whether it is gone was not seen.
    Unseen(String),
    Failed(Failure),
    /// It was not touched.
    NotOurs(Foreign),
}

/// Why the id that Orion gave is not known to be that of the webhook that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// The list had it before.
    WasThere,
    /// It shows another name, and no marker of ours.
    Another,
    /// It is not shown.
    NotShown,
}

/// Between two tries to remove it.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// How often that is tried.
pub(super) const TRIES: usize = 3;

/// What it has shown.
pub(super) fn lines(trip: &Trip, endpoint: &str, names: &Names) -> Vec<Line> {
    let mut lines = vec![written(trip, endpoint, names)];
    lines.extend(trip.removed.as_ref().map(|(id, removal)| cleanup(id, removal, trip, endpoint)));
    lines
}

fn written(trip: &Trip, endpoint: &str, names: &Names) -> Line {
    let check = Check::Write;
    let id = match &trip.made {
        Ok(id) => id,
        Err(failure) => return not_made(trip, failure, endpoint, names),
    };
    if let Some((_, Removal::NotOurs(foreign @ (Foreign::WasThere | Foreign::Another)))) = &trip.removed {
        let why = match foreign {
            Foreign::WasThere => "was there before",
            Foreign::Another | Foreign::NotShown => "has another presence name",
        };
        return Line::fail(
            check,
            format!("Orion answered the POST with the id {id}, which {why}"),
            "Let who runs Orion say whether a POST may give a webhook that is there already: the operator would take it for its own",
        );
    }
    if trip.interrupted {
        return Line::fail(check, format!("interrupted after {id} was made"), "Run this again");
    }
    let read = match &trip.read {
        None => "not read, as there is no way to",
        Some(Ok(Some(_))) => "read back",
        Some(Ok(None)) => {
            return Line::fail(
                check,
                format!("{id} was made, and Orion does not show it"),
                "Let who runs Orion look: the operator would take such a webhook for lost",
            );
        }
        Some(Err(failure)) => {
            return Line::fail(
                check,
                format!("{id} was made, but not read: {}", failure.message),
                todo(failure, names),
            );
        }
    };
    let updated = match &trip.updated {
        None => "not changed, as there is no way to",
        Some(Ok(())) => "changed",
        Some(Err(failure)) if failure.class.is_absent() => {
            return Line::warn(
                check,
                format!("{id} was made and {read}, but cannot be changed: {}", failure.message),
                "A Webhook whose spec changes says UpdateUnsupported. Delete it, and create it again",
            );
        }
        Some(Err(failure)) => {
            return Line::fail(
                check,
                format!("{id} was made and {read}, but not changed: {}", failure.message),
                todo(failure, names),
            );
        }
    };
    Line::ok(check, format!("{id} was made, {read}, {updated}"))
}

fn not_made(trip: &Trip, failure: &Failure, endpoint: &str, names: &Names) -> Line {
    let check = Check::Write;
    if failure.is_known_refusal() {
        let todo = match failure.class {
            FailureClass::Rejected => "Does Orion know the user? Give one by --user-id".to_owned(),
            FailureClass::Unreachable
            | FailureClass::Timeout
            | FailureClass::Tls
            | FailureClass::RateLimited
            | FailureClass::ServerError
            | FailureClass::Protocol
            | FailureClass::Unauthorized
            | FailureClass::Forbidden
            | FailureClass::NotFound
            | FailureClass::MethodNotAllowed
            | FailureClass::Conflict
            | FailureClass::Redirect
            | FailureClass::NoLogin
            | FailureClass::Insecure => todo(failure, names),
        };
        return Line::fail(check, format!("none was made: {}", failure.message), todo);
    }
    let todo = match &trip.removed {
        Some(_) => todo(failure, names),
        None => format!(
            "It may be made all the same: look for the presence name {} at {endpoint}/webhooks/ in a minute, and delete it",
            trip.presence_name
        ),
    };
    Line::fail(check, format!("whether one was made is not known: {}", failure.message), todo)
}

fn cleanup(id: &str, removal: &Removal, trip: &Trip, endpoint: &str) -> Line {
    let check = Check::Cleanup;
    let name = &trip.presence_name;
    let in_a_path = utf8_percent_encode(id, IN_A_PATH);
    let by_hand = format!(
        "Delete it by hand: curl -X DELETE -H 'Authorization: Bearer TOKEN' {}",
        shell_quoted(&format!("{endpoint}/webhooks/{in_a_path}"))
    );
    match removal {
        Removal::Gone => Line::ok(check, format!("{id} was deleted, and is gone")),
        Removal::Still => Line::fail(check, format!("Orion says that {id} is deleted, and shows it still"), by_hand),
        Removal::Unseen(why) => Line::warn(
            check,
            format!("{id} was deleted, but whether it is gone was not seen: {why}"),
            format!("Look for the presence name {name} at {endpoint}/webhooks/, and delete what has it"),
        ),
        Removal::Failed(failure) => {
            // There is no DELETE to give to anybody.
            let todo = if failure.class.is_absent() {
                format!("Have who runs Orion remove the webhook {id}, with the presence name {name}")
            } else {
                by_hand
            };
            Line::fail(check, format!("{id} is left at Orion: {}", failure.message), todo)
        }
        Removal::NotOurs(Foreign::WasThere | Foreign::Another) => Line::warn(
            check,
            format!("{id} is not the webhook that was made here: it was neither changed nor deleted"),
            format!("Let who owns {id} look whether the POST changed it"),
        ),
        Removal::NotOurs(Foreign::NotShown) => Line::fail(
            check,
            format!("Orion does not show {id} as the webhook that was made here, so it was not deleted"),
            format!("Look for the presence name {name} at {endpoint}/webhooks/, and delete what has it"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Status;
    use super::super::names::FLAGS;
    use super::*;
    use crate::api::Sent;

    const AT: &str = "https://acme.example.com/v1alpha";

    fn failure(class: FailureClass, sent: Sent) -> Failure {
        let message = format!("it says {}", class.as_str());
        Failure { class, status: None, sent, json: true, retry_after: None, message }
    }

    fn broken() -> Failure {
        failure(FailureClass::ServerError, Sent::Maybe)
    }

    fn shown() -> RemoteWebhook {
        RemoteWebhook { id: "wh_1".into(), url: None, user_id: None, presence_name: None, headers: None }
    }

    fn good() -> Trip {
        Trip {
            presence_name: "p".into(),
            made: Ok("wh_1".into()),
            read: Some(Ok(Some(shown()))),
            updated: Some(Ok(())),
            interrupted: false,
            removed: Some(("wh_1".into(), Removal::Gone)),
        }
    }

    #[test]
    fn each_step_is_told() {
        use Status::{Fail, Ok as Good, Warn};
        let left = |foreign| Trip { removed: Some(("wh_1".into(), Removal::NotOurs(foreign))), ..good() };
        let gone = |trip| Trip { removed: None, ..trip };
        let absent = failure(FailureClass::MethodNotAllowed, Sent::Maybe);
        let refused = failure(FailureClass::Rejected, Sent::No);
        for (trip, status, words) in [
            (good(), Good, "wh_1 was made, read back, changed"),
            (Trip { read: None, updated: None, ..good() }, Good, "no way to"),
            (Trip { read: Some(Ok(None)), ..good() }, Fail, "does not show it"),
            (Trip { read: Some(Err(broken())), ..good() }, Fail, "but not read"),
            (Trip { updated: Some(Err(broken())), ..good() }, Fail, "but not changed"),
            (Trip { updated: Some(Err(absent)), ..good() }, Warn, "cannot be changed"),
            (Trip { interrupted: true, ..good() }, Fail, "interrupted"),
            (left(Foreign::WasThere), Fail, "the id wh_1, which was there before"),
            (left(Foreign::Another), Fail, "the id wh_1, which has another presence name"),
            (gone(Trip { made: Err(refused), ..good() }), Fail, "none was made: it says Rejected"),
            (gone(Trip { made: Err(broken()), ..good() }), Fail, "is not known"),
            (Trip { made: Err(broken()), ..good() }, Fail, "is not known"),
        ] {
            let lines = lines(&trip, AT, &FLAGS);
            assert!(lines[0].status == status && lines[0].found.contains(words), "{words}: {lines:?}");
            assert_eq!(lines.len() == 2, trip.removed.is_some());
        }
        let lost = gone(Trip { made: Err(broken()), ..good() });
        assert!(lines(&lost, AT, &FLAGS)[0].todo.clone().unwrap().contains("presence name p at"));
    }

    #[test]
    fn what_is_left_is_told_with_how_to_delete_it() {
        use FailureClass::{MethodNotAllowed, NotFound};
        let failed = |class| Removal::Failed(failure(class, Sent::Maybe));
        let curl = "'https://acme.example.com/v1alpha/webhooks/a%20b%27%3B%24%28x%29'";
        for (removal, status, end) in [
            (Removal::Gone, Status::Ok, ""),
            (Removal::Still, Status::Fail, curl),
            (Removal::Unseen("x".into()), Status::Warn, "delete what has it"),
            (Removal::Failed(broken()), Status::Fail, curl),
            (failed(MethodNotAllowed), Status::Fail, "with the presence name p"),
            (failed(NotFound), Status::Fail, "with the presence name p"),
            (Removal::NotOurs(Foreign::WasThere), Status::Warn, "the POST changed it"),
            (Removal::NotOurs(Foreign::Another), Status::Warn, "the POST changed it"),
            (Removal::NotOurs(Foreign::NotShown), Status::Fail, "delete what has it"),
        ] {
            let line = cleanup("a b';$(x)", &removal, &good(), AT);
            let todo = line.todo.unwrap_or_default();
            assert!(line.status == status && todo.ends_with(end), "{removal:?}: {todo}");
            assert_eq!(todo.contains("curl"), end == curl, "{todo}");
        }
    }

    #[test]
    fn none_is_made_that_might_stay() {
        use Support::{Absent, Proven, Unknown};
        for (delete, get, list, refused) in [
            (Proven, Proven, Absent, false),
            (Proven, Unknown, Unknown, false),
            (Proven, Absent, Proven, false),
            (Proven, Absent, Unknown, true),
            (Proven, Absent, Absent, true),
            (Unknown, Proven, Proven, true),
            (Unknown, Unknown, Absent, true),
            (Absent, Proven, Proven, true),
        ] {
            let capabilities = Capabilities { delete, get, list, ..Capabilities::default() };
            assert_eq!(refusal(capabilities, false).is_some(), refused, "{delete:?} {get:?} {list:?}");
            assert!(refusal(capabilities, true).is_none());
        }
    }

    #[test]
    fn the_webhook_is_nobodys() {
        let made = desired("user-7", "abc");
        assert_eq!((made.user_id.as_str(), made.presence_name.as_str()), ("user-7", "orion-operator-doctor-abc"));
        assert!(made.url.starts_with("https://orion-operator-doctor.invalid/"));
        let other = desired("user-7", "abd");
        assert_ne!(made.owner, other.owner);
        assert!(!is_ours(&shown(), &made));
        let named = RemoteWebhook { presence_name: Some(made.presence_name.clone()), ..shown() };
        assert!(is_ours(&named, &made) && !is_ours(&named, &other));
    }
}
