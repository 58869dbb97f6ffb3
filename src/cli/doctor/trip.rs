//! A webhook that is made to look what becomes of it, and deleted: what that shows. Pure.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;

use super::line::{Check, Line};
use super::names::{Names, todo};
use crate::api::{Capabilities, Desired, Failure, FailureClass, InstanceId, RemoteWebhook, Support};

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

/// Why none is made: it could not be deleted.
pub(super) fn refusal(capabilities: Capabilities) -> Option<Line> {
    let why = match (capabilities.delete, capabilities.list) {
        (Support::Absent, _) => "this Orion has no DELETE",
        (Support::Unknown, Support::Absent | Support::Unknown) => "nothing shows that this Orion has a DELETE",
        (Support::Proven, _) | (Support::Unknown, Support::Proven) => return None,
    };
    Some(Line::skipped(Check::Write, format!("{why}, so the webhook could not be removed: none was made")))
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
    Failed(Failure),
}

/// Between two tries to remove it.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// How often that is tried.
pub(super) const TRIES: usize = 3;

/// What it has shown.
pub(super) fn lines(trip: &Trip, endpoint: &str, names: &Names) -> Vec<Line> {
    let mut lines = vec![written(trip, endpoint, names)];
    lines.extend(trip.removed.as_ref().map(|(id, removal)| cleanup(id, removal, endpoint)));
    lines
}

fn written(trip: &Trip, endpoint: &str, names: &Names) -> Line {
    let check = Check::Write;
    let id = match &trip.made {
        Ok(id) => id,
        Err(failure) => return not_made(trip, failure, endpoint, names),
    };
    if trip.interrupted {
        return Line::skipped(check, format!("interrupted after {id} was made"));
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

fn cleanup(id: &str, removal: &Removal, endpoint: &str) -> Line {
    let check = Check::Cleanup;
    let in_a_path = utf8_percent_encode(id, IN_A_PATH);
    let by_hand =
        format!("Delete it by hand: curl -X DELETE -H 'Authorization: Bearer TOKEN' '{endpoint}/webhooks/{in_a_path}'");
    match removal {
        Removal::Gone => Line::ok(check, format!("{id} was deleted, and is gone")),
        Removal::Still => Line::fail(check, format!("Orion says that {id} is deleted, and shows it still"), by_hand),
        Removal::Failed(failure) => Line::fail(check, format!("{id} is left at Orion: {}", failure.message), by_hand),
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
        use Status::{Fail, Ok as Good, Skipped, Warn};
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
            (Trip { interrupted: true, ..good() }, Skipped, "interrupted"),
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
        for (removal, status) in
            [(Removal::Gone, Status::Ok), (Removal::Still, Status::Fail), (Removal::Failed(broken()), Status::Fail)]
        {
            let line = cleanup("a b';$(x)", &removal, AT);
            assert_eq!(line.status, status);
            if status == Status::Fail {
                let todo = line.todo.unwrap();
                assert!(todo.ends_with("'https://acme.example.com/v1alpha/webhooks/a%20b%27%3B%24%28x%29'"), "{todo}");
            }
        }
    }

    #[test]
    fn none_is_made_that_could_not_be_deleted() {
        use Support::{Absent, Proven, Unknown};
        for (delete, list, refused) in [
            (Proven, Absent, false),
            (Unknown, Proven, false),
            (Unknown, Unknown, true),
            (Unknown, Absent, true),
            (Absent, Proven, true),
        ] {
            let capabilities = Capabilities { delete, list, ..Capabilities::default() };
            assert_eq!(refusal(capabilities).is_some(), refused, "{delete:?} {list:?}");
        }
    }

    #[test]
    fn the_webhook_is_nobodys() {
        let made = desired("user-7", "abc");
        assert_eq!((made.user_id.as_str(), made.presence_name.as_str()), ("user-7", "orion-operator-doctor-abc"));
        assert!(made.url.starts_with("https://orion-operator-doctor.invalid/"));
        assert_ne!(made.owner, desired("user-7", "abd").owner);
    }
}
