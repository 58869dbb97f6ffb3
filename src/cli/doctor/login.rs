//! Whether Orion takes the credentials, or something in front of it refuses them. Pure.

use super::api::{Facts, Given};
use super::line::{Check, Line};
use super::names::{Names, todo};
use crate::api::{Failure, FailureClass};

/// Whether the credentials are accepted.
pub(super) fn login(facts: &Facts, names: &Names) -> Line {
    let check = Check::Login;
    if let Err(failure) = &facts.prepared {
        return not_had(facts.given, failure, names);
    }
    let is_shown = match &facts.list {
        Some(Ok(_)) => true,
        Some(Err(failure)) if failure.class == FailureClass::Unauthorized => {
            return unauthorized(facts.given, failure, names);
        }
        Some(Err(failure)) if is_refused_by_orion(failure) && facts.given == Given::Nothing => {
            return Line::fail(
                check,
                "Orion wants credentials, and none are given (403)",
                format!("Give {}", names.credentials),
            );
        }
        Some(Err(failure)) => is_refused_by_orion(failure),
        None => false,
    };
    match (facts.given, is_shown) {
        (Given::Nothing, true) => Line::ok(check, "no credentials are given, and Orion wants none"),
        (Given::Nothing, false) => Line::skipped(check, "no credentials are given"),
        (Given::Token, true) => Line::ok(check, "Orion accepts the token"),
        (Given::Token, false) => {
            Line::skipped(check, "a token is given; whether Orion accepts it is not shown by any call that reads")
        }
        (Given::Password, true) => {
            Line::ok(check, "Orion accepts the username and password, and the token that they give")
        }
        (Given::Password, false) => Line::ok(check, "Orion accepts the username and password"),
    }
}

/// A 403 that Orion itself says: it knows who asks.
fn is_refused_by_orion(failure: &Failure) -> bool {
    failure.class == FailureClass::Forbidden && failure.json
}

/// There are no credentials, or no token came of them. The message says where they are.
fn not_had(given: Given, failure: &Failure, names: &Names) -> Line {
    if failure.class != FailureClass::Unauthorized {
        return Line::fail(Check::Login, &failure.message, todo(failure, names));
    }
    // Without a password there was no login, but a file or a Secret that is not there.
    if given == Given::Password && !failure.json {
        return in_front(&failure.message, names);
    }
    let todo = "Put the right ones there: the operator takes them at once, without a restart";
    Line::fail(Check::Login, &failure.message, todo)
}

/// A refusal that is not in the form of Orion's API.
fn in_front(message: &str, names: &Names) -> Line {
    let Names { credentials, url, .. } = names;
    Line::fail(
        Check::Login,
        format!("{message}; but this is not how Orion's API says so: something in front of it may ask for credentials"),
        format!(
            "See whether a gateway or proxy is in front of Orion: it must let these calls pass, or {url} must lead around it. If none is, correct {credentials}"
        ),
    )
}

fn unauthorized(given: Given, failure: &Failure, names: &Names) -> Line {
    let check = Check::Login;
    if failure.status.is_some() && !failure.json {
        return in_front(&failure.message, names);
    }
    match given {
        // What was refused is the login, by the second try at the latest.
        Given::Password if failure.status.is_none() => not_had(given, failure, names),
        Given::Password => Line::fail(
            check,
            "the login works, but the token that it gives is refused (401)",
            format!(
                "Look at the clocks, and at {}; is the login at {} that of this API?",
                names.scopes, names.login_path
            ),
        ),
        Given::Token => Line::fail(
            check,
            &failure.message,
            format!("The token is wrong, or has expired: put a new one into what is named by {}", names.credentials),
        ),
        Given::Nothing => Line::fail(
            check,
            "Orion wants credentials, and none are given (401)",
            format!("Give {}", names.credentials),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::api::tests::{failure, good};
    use super::super::line::Status;
    use super::super::names::FIELDS;
    use super::*;

    #[test]
    fn credentials_are_told_by_what_was_given() {
        let unauthorized = |status| Some(Err(failure(FailureClass::Unauthorized, status, true)));
        let gateway = || Some(Err(failure(FailureClass::Unauthorized, Some(401), false)));
        let forbidden = |json| Some(Err(failure(FailureClass::Forbidden, Some(403), json)));
        let absent = || Some(Err(failure(FailureClass::MethodNotAllowed, Some(405), true)));
        let good_list = || Some(Ok((2, None)));
        use Status::{Fail, Ok as Good, Skipped};
        for (given, list, status, words) in [
            (Given::Nothing, good_list(), Good, "wants none"),
            (Given::Token, good_list(), Good, "accepts the token"),
            (Given::Password, good_list(), Good, "the token that they give"),
            (Given::Nothing, absent(), Skipped, "no credentials"),
            (Given::Token, absent(), Skipped, "not shown"),
            (Given::Password, absent(), Good, "accepts the username"),
            (Given::Nothing, unauthorized(Some(401)), Fail, "none are given"),
            (Given::Token, unauthorized(Some(401)), Fail, "it says Unauthorized"),
            (Given::Password, unauthorized(Some(401)), Fail, "the token that it gives is refused"),
            (Given::Password, unauthorized(None), Fail, "it says Unauthorized"),
            (Given::Nothing, gateway(), Fail, "something in front"),
            (Given::Token, gateway(), Fail, "something in front"),
            (Given::Password, gateway(), Fail, "something in front"),
            (Given::Nothing, forbidden(true), Fail, "none are given (403)"),
            (Given::Token, forbidden(true), Good, "accepts the token"),
            (Given::Password, forbidden(true), Good, "the token that they give"),
            (Given::Nothing, forbidden(false), Skipped, "no credentials"),
            (Given::Token, forbidden(false), Skipped, "not shown"),
            (Given::Password, forbidden(false), Good, "accepts the username and password"),
        ] {
            let line = login(&Facts { given, list, ..good() }, &FIELDS);
            assert!(line.status == status && line.found.contains(words), "{words}: {line:?}");
        }
        for (given, json, is_in_front) in
            [(Given::Password, true, false), (Given::Password, false, true), (Given::Nothing, false, false)]
        {
            let prepared = Err(failure(FailureClass::Unauthorized, None, json));
            let line = login(&Facts { given, prepared, ..good() }, &FIELDS);
            assert_eq!(line.found.contains("in front of it"), is_in_front, "{line:?}");
        }
    }
}
