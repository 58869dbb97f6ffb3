//! What answers over HTTP: Orion, or something else; with these credentials, or not. Pure.

use std::time::{Duration, SystemTime};

use super::handshake::told;
use super::line::{Check, Line};
use super::login::login;
use super::names::{Names, todo};
use crate::api::{Capabilities, Failure, FailureClass, Sent, Support};

/// Clocks that are further apart than this are worth a word.
const SKEW: Duration = Duration::from_secs(30);

/// What the answers' headers said.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// Something has answered in HTTP.
    pub(super) answered: bool,
    /// `Date`, and our own time when it came.
    pub(super) date: Option<(SystemTime, SystemTime)>,
    /// Headers that speak of rate limits.
    pub(super) limits: Vec<(String, String)>,
}

/// Which credentials are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Nothing,
    Token,
    Password,
}

/// What calls that change nothing have shown.
#[derive(Debug)]
pub(super) struct Facts {
    /// The API base.
    pub(super) endpoint: String,
    /// The proxy that the calls go through.
    pub(super) proxy: Option<String>,
    pub(super) given: Given,
    pub(super) heard: Heard,
    /// Whether `/openapi.json` was asked for without trouble of the connection,
    pub(super) discovered: Result<(), Failure>,
    /// and what it says of webhooks at this prefix, if it says anything.
    pub(super) document: Option<Capabilities>,
    /// The prefix under which it has them, if that is another one.
    pub(super) elsewhere: Option<String>,
    /// What came of the credentials.
    pub(super) prepared: Result<(), Failure>,
    /// The number of webhooks, and what is wrong with the list; nothing where it was not asked for.
    pub(super) list: Option<Result<(usize, Option<String>), Failure>>,
    /// All that is known by now of what it can do.
    pub(super) capabilities: Capabilities,
}

impl Facts {
    fn failed_list(&self) -> Option<&Failure> {
        self.list.as_ref().and_then(|list| list.as_ref().err())
    }

    /// The first trouble.
    fn trouble(&self) -> Option<&Failure> {
        self.discovered.as_ref().err().or(self.prepared.as_ref().err()).or_else(|| self.failed_list())
    }

    /// What to do about a call that failed on this way.
    fn todo(&self, failure: &Failure, names: &Names) -> String {
        let usual = todo(failure, names);
        if self.endpoint.starts_with("http://") && may_be_of_tls(failure) {
            return format!("This port may speak TLS: put https into {}. If it does not: {usual}", names.url);
        }
        match &self.proxy {
            Some(proxy) if may_be_of_a_proxy(failure) => {
                format!("See whether the proxy {proxy} lets it pass, or except Orion's host by NO_PROXY. Else: {usual}")
            }
            Some(_) | None => usual,
        }
    }

    pub(super) fn is_documented(&self) -> bool {
        self.document.is_some()
    }

    /// The document says that there are webhooks here, and that they cannot be listed.
    fn is_without_list(&self) -> bool {
        self.document.is_some_and(|said| said.list != Support::Proven)
    }
}

/// What a port that speaks TLS makes of HTTP: another kind of answer, an end, or a refusal.
fn may_be_of_tls(failure: &Failure) -> bool {
    match failure.class {
        FailureClass::Protocol => failure.status.is_none(),
        FailureClass::Unreachable => failure.sent == Sent::Maybe,
        FailureClass::Rejected => failure.status == Some(400) && !failure.json,
        FailureClass::Timeout
        | FailureClass::Tls
        | FailureClass::RateLimited
        | FailureClass::ServerError
        | FailureClass::Unauthorized
        | FailureClass::Forbidden
        | FailureClass::NotFound
        | FailureClass::MethodNotAllowed
        | FailureClass::Conflict
        | FailureClass::Redirect
        | FailureClass::NoLogin
        | FailureClass::Insecure => false,
    }
}

/// What a proxy makes of a call that it does not let pass, or that leads nowhere.
fn may_be_of_a_proxy(failure: &Failure) -> bool {
    match failure.class {
        FailureClass::Unreachable | FailureClass::Timeout => true,
        FailureClass::ServerError | FailureClass::Rejected | FailureClass::Protocol => !failure.json,
        FailureClass::Tls
        | FailureClass::RateLimited
        | FailureClass::Unauthorized
        | FailureClass::Forbidden
        | FailureClass::NotFound
        | FailureClass::MethodNotAllowed
        | FailureClass::Conflict
        | FailureClass::Redirect
        | FailureClass::NoLogin
        | FailureClass::Insecure => false,
    }
}

/// The lines up to the webhooks: what follows the first that fails is not in it.
pub(super) fn reached(facts: &Facts, names: &Names) -> Vec<Line> {
    let first = http(facts, names);
    let mut lines = vec![first];
    lines.extend(clock(&facts.heard));
    if super::line::cause(&lines).is_none() {
        lines.push(login(facts, names));
    }
    if super::line::cause(&lines).is_none() {
        lines.push(api(facts, names));
    }
    lines
}

fn http(facts: &Facts, names: &Names) -> Line {
    let check = Check::Http;
    match (&facts.discovered, facts.trouble()) {
        (Err(failure), _) => Line::fail(check, &failure.message, facts.todo(failure, names)),
        (Ok(()), Some(failure)) if !facts.heard.answered && failure.class != FailureClass::Unauthorized => {
            Line::fail(check, &failure.message, facts.todo(failure, names))
        }
        (Ok(()), _) if facts.is_documented() => {
            Line::ok(check, format!("it answers, and its openapi.json has webhooks for {}", facts.endpoint))
        }
        (Ok(()), _) if !facts.heard.answered => Line::skipped(check, "nothing was asked yet"),
        (Ok(()), _) => match &facts.elsewhere {
            None => Line::ok(check, format!("it answers; no openapi.json tells of webhooks at {}", facts.endpoint)),
            Some(prefix) => Line::warn(
                check,
                format!("it answers, but its openapi.json has webhooks under {prefix} only"),
                format!("Put {prefix} into {}, if that is the one", names.prefix),
            ),
        },
    }
}

fn clock(heard: &Heard) -> Option<Line> {
    let check = Check::Clock;
    let Some((theirs, ours)) = heard.date else {
        return heard.answered.then(|| Line::skipped(check, "the answers have no Date"));
    };
    let (apart, word) = match ours.duration_since(theirs) {
        Ok(apart) => (apart, "behind"),
        Err(before) => (before.duration(), "ahead of"),
    };
    Some(if apart > SKEW {
        Line::warn(
            check,
            format!("Orion's clock is {} s {word} that of this machine, which says {}", apart.as_secs(), told(ours)),
            "Set the one that is wrong, by NTP: tokens and certificates may look expired, or not valid yet",
        )
    } else {
        Line::ok(check, format!("Orion's and that of this machine are within {} s", SKEW.as_secs()))
    })
}

fn api(facts: &Facts, names: &Names) -> Line {
    let check = Check::Api;
    let at = &facts.endpoint;
    match &facts.list {
        None => Line::skipped(check, "not asked"),
        Some(Ok((count, None))) => Line::ok(check, format!("{} at {at}", webhooks(*count))),
        Some(Ok((count, Some(flaw)))) => Line::warn(
            check,
            format!("{} at {at}, but {flaw}", webhooks(*count)),
            "The operator neither creates again nor deletes by such a list. Run this again; if it stays, let who runs Orion look",
        ),
        Some(Err(failure)) => match failure.class {
            FailureClass::MethodNotAllowed => {
                Line::ok(check, format!("webhooks are at {at}, but cannot be listed ({})", status(failure)))
            }
            FailureClass::NotFound if facts.is_without_list() => {
                Line::ok(check, format!("webhooks are at {at} by openapi.json, but cannot be listed (404)"))
            }
            FailureClass::NotFound if !failure.json => Line::fail(
                check,
                format!("nothing is known at {at}/webhooks/, and what says so (404) is not Orion's API"),
                format!("Correct {}, or host and port in {}", names.prefix, names.url),
            ),
            FailureClass::NotFound => {
                let found = format!("nothing is known at {at}/webhooks/ (404)");
                match &facts.elsewhere {
                    Some(prefix) => {
                        let todo = format!("Put {prefix} into {}: its openapi.json has webhooks there", names.prefix);
                        Line::fail(check, found, todo)
                    }
                    // An API that can only create may answer so too.
                    None if !facts.is_documented() => Line::warn(
                        check,
                        format!(
                            "{found}: the path is wrong, or this Orion cannot list webhooks; no openapi.json says which"
                        ),
                        format!(
                            "Correct {}, what the paths of Orion's API begin with; if it is right, nothing",
                            names.prefix
                        ),
                    ),
                    None => Line::fail(
                        check,
                        found,
                        format!("Correct {}, what the paths of Orion's API begin with", names.prefix),
                    ),
                }
            }
            FailureClass::Forbidden if !failure.json => Line::fail(
                check,
                "something in front of Orion refuses the call: what answers (403) is not Orion's API",
                format!("Let the gateway, proxy or firewall pass it, or correct host and port in {}", names.url),
            ),
            FailureClass::Forbidden => Line::fail(
                check,
                &failure.message,
                format!("Give these credentials the right to list webhooks, or ask for more by {}", names.scopes),
            ),
            FailureClass::Unreachable
            | FailureClass::Timeout
            | FailureClass::Tls
            | FailureClass::RateLimited
            | FailureClass::ServerError
            | FailureClass::Protocol
            | FailureClass::Rejected
            | FailureClass::Unauthorized
            | FailureClass::Conflict
            | FailureClass::Redirect
            | FailureClass::NoLogin
            | FailureClass::Insecure => Line::fail(check, &failure.message, facts.todo(failure, names)),
        },
    }
}

fn status(failure: &Failure) -> String {
    failure.status.map_or_else(|| "no answer".into(), |status| status.to_string())
}

fn webhooks(count: usize) -> String {
    if count == 1 { "1 webhook".to_owned() } else { format!("{count} webhooks") }
}

#[cfg(test)]
pub(super) mod tests {
    use Support::{Absent, Proven};

    use super::super::line::Status;
    use super::super::names::FLAGS;
    use super::*;

    const ALL: Capabilities = Capabilities { list: Proven, get: Proven, put: Proven, patch: Proven, delete: Proven };

    pub(in super::super) fn good() -> Facts {
        Facts {
            endpoint: "https://acme.example.com/v1alpha".into(),
            proxy: None,
            given: Given::Token,
            heard: Heard { answered: true, ..Heard::default() },
            discovered: Ok(()),
            document: Some(ALL),
            elsewhere: None,
            prepared: Ok(()),
            list: Some(Ok((2, None))),
            capabilities: ALL,
        }
    }

    pub(in super::super) fn failure(class: FailureClass, status: Option<u16>, json: bool) -> Failure {
        let message = format!("it says {}", class.as_str());
        Failure { class, status, sent: Sent::Maybe, json, retry_after: None, message }
    }

    /// The first line that fails, or the last one.
    #[track_caller]
    fn ends(facts: &Facts, check: Check, status: Status, words: &[&str]) {
        let lines = reached(facts, &FLAGS);
        let failed = lines.iter().find(|line| line.status == Status::Fail);
        let last = failed.or(lines.last()).unwrap();
        let text = format!("{} -> {}", last.found, last.todo.clone().unwrap_or_default());
        assert_eq!((last.check, last.status), (check, status), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    }

    #[test]
    fn each_failure_of_the_list_has_its_line() {
        use FailureClass as C;
        let document = Some(Capabilities { list: Absent, ..ALL });
        let listed = |class, status, json| Facts { list: Some(Err(failure(class, status, json))), document, ..good() };
        for (class, status, check, fails, words) in [
            (C::Unreachable, None, Check::Api, true, &["--orion-url"][..]),
            (C::Timeout, None, Check::Api, true, &["--orion-timeout"]),
            (C::Tls, None, Check::Api, true, &["--orion-ca-file"]),
            (C::RateLimited, Some(429), Check::Api, true, &["--orion-rate-limit"]),
            (C::ServerError, Some(500), Check::Api, true, &["who runs Orion"]),
            (C::Protocol, Some(200), Check::Api, true, &["Something else than Orion"]),
            (C::Rejected, Some(422), Check::Api, true, &["who runs Orion"]),
            (C::Unauthorized, Some(401), Check::Login, true, &["wrong, or has expired"]),
            (C::Forbidden, Some(403), Check::Api, true, &["the right to list"]),
            (C::NotFound, Some(404), Check::Api, false, &["by openapi.json", "cannot be listed"]),
            (C::MethodNotAllowed, Some(405), Check::Api, false, &["cannot be listed (405)"]),
            (C::Conflict, Some(409), Check::Api, true, &["who runs Orion"]),
            (C::Redirect, Some(307), Check::Api, true, &["no redirect is followed"]),
            (C::NoLogin, None, Check::Api, true, &["--orion-login-path"]),
            (C::Insecure, None, Check::Api, true, &["--allow-insecure-connections"]),
        ] {
            let status_of = if fails { Status::Fail } else { Status::Ok };
            ends(&listed(class, status, true), check, status_of, words);
        }
        for (json, status, words) in [
            (true, Status::Warn, "Correct --orion-path-prefix"),
            (true, Status::Warn, "or this Orion cannot list"),
            (false, Status::Fail, "is not Orion's API"),
        ] {
            let facts = Facts { document: None, ..listed(C::NotFound, Some(404), json) };
            ends(&facts, Check::Api, status, &["/v1alpha/webhooks/", words]);
            let words = if json { "Correct --orion-path-prefix" } else { words };
            // A document that says the list is here speaks of another place.
            ends(&Facts { document: Some(ALL), ..facts }, Check::Api, Status::Fail, &[words]);
        }
        let elsewhere = || Facts { elsewhere: Some("/v2".into()), document: None, ..good() };
        let refused = listed(C::Forbidden, Some(403), false);
        ends(&refused, Check::Api, Status::Fail, &["in front of Orion refuses"]);
        let facts = Facts { list: listed(C::NotFound, Some(404), true).list, ..elsewhere() };
        ends(&facts, Check::Api, Status::Fail, &["Put /v2 into --orion-path-prefix"]);
        let line = http(&elsewhere(), &FLAGS);
        assert!(line.status == Status::Warn && line.found.contains("under /v2 only"), "{line:?}");
    }

    #[test]
    fn what_fails_before_the_list_is_the_cause() {
        use FailureClass as C;
        let unlisted = || Facts { list: None, ..good() };
        let not_found = Facts { discovered: Err(failure(C::ServerError, Some(502), false)), ..unlisted() };
        ends(&not_found, Check::Http, Status::Fail, &["it says ServerError"]);
        let silent = || Facts { heard: Heard::default(), document: None, ..good() };
        let cut = Facts { list: Some(Err(failure(C::Unreachable, None, false))), ..silent() };
        ends(&cut, Check::Http, Status::Fail, &["it says Unreachable"]);
        let no_login = Facts { prepared: Err(failure(C::Timeout, None, false)), list: None, ..silent() };
        ends(&no_login, Check::Http, Status::Fail, &["it says Timeout"]);
        let refused = Facts { prepared: Err(failure(C::Unauthorized, None, false)), ..unlisted() };
        ends(&refused, Check::Login, Status::Fail, &["it says Unauthorized", "at once"]);
        let gone = Facts { prepared: Err(failure(C::NoLogin, None, false)), ..unlisted() };
        ends(&gone, Check::Login, Status::Fail, &["--orion-login-path"]);
    }

    #[test]
    fn what_may_be_tls_or_a_proxy_is_told_first() {
        use FailureClass as C;
        let at = |endpoint: &str, proxy: Option<&str>| Facts {
            endpoint: endpoint.into(),
            proxy: proxy.map(str::to_owned),
            ..good()
        };
        let plain = "http://acme.example.com/v1alpha";
        for (class, status, json, is_told) in [
            (C::Protocol, None, false, true),
            (C::Protocol, Some(200), false, false),
            (C::Unreachable, None, false, true),
            (C::Rejected, Some(400), false, true),
            (C::Rejected, Some(400), true, false),
            (C::Forbidden, Some(403), false, false),
        ] {
            let failure = failure(class, status, json);
            let told = at(plain, None).todo(&failure, &FLAGS);
            assert_eq!(told.starts_with("This port may speak TLS: put https into --orion-url"), is_told, "{told}");
            assert!(!at(&good().endpoint, None).todo(&failure, &FLAGS).contains("TLS"));
        }
        for (class, status, json, is_told) in [
            (C::Unreachable, None, false, true),
            (C::Timeout, None, false, true),
            (C::ServerError, Some(503), false, true),
            (C::ServerError, Some(503), true, false),
            (C::Conflict, Some(409), false, false),
        ] {
            let told = at(&good().endpoint, Some("proxy.example:3128")).todo(&failure(class, status, json), &FLAGS);
            assert_eq!(told.contains("the proxy proxy.example:3128"), is_told, "{told}");
        }
    }

    #[test]
    fn a_list_that_cannot_be_trusted_is_told() {
        let flawed = Facts { list: Some(Ok((1, Some("it shows an id twice".into())))), ..good() };
        ends(&flawed, Check::Api, Status::Warn, &["1 webhook at", "twice"]);
        ends(&good(), Check::Api, Status::Ok, &["2 webhooks at"]);
    }

    #[test]
    fn clocks_are_compared() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (theirs, status, words) in [
            (1000, Status::Ok, "within"),
            (1030, Status::Ok, "within"),
            (970, Status::Ok, "within"),
            (1031, Status::Warn, "31 s ahead of"),
            (969, Status::Warn, "31 s behind"),
        ] {
            let heard = Heard { date: Some((at(theirs), at(1000))), ..good().heard };
            let line = clock(&heard).unwrap();
            assert!(line.status == status && line.found.contains(words), "{words}: {line:?}");
        }
        assert_eq!(clock(&good().heard).unwrap().status, Status::Skipped);
        assert!(clock(&Heard::default()).is_none());
    }
}
