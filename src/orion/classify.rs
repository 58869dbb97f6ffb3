//! From what went wrong to a [`Failure`]: the one place where failures are classified.
//!
//! Messages say what happened and what to do, name the host and the method, and are the same each time: no port, time
//! or request id. They hold nothing that Orion sent but its status and, of a 422, the field names and error types.

use std::error::Error;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};

use super::reach::NotPublic;
use super::rejection;
use crate::api::{Failure, FailureClass, Sent};

/// The longest time that a `Retry-After` is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// What was asked of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The host, for messages.
    pub(super) host: &'a str,
    /// The method, for messages.
    pub(super) method: &'a Method,
}

/// An answer that says success and cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Its body is larger than the cap.
    TooLarge,
    /// Its body ended early.
    CutOff,
    /// Its body is not JSON.
    NotJson,
    /// A create without a readable id.
    NoId,
    /// Not a list.
    NotAList,
    /// A login without a token, or with one that is no bearer token.
    NoToken,
    /// Not a webhook, or one with another id than was asked for.
    NotTheWebhook,
}

impl Asked<'_> {
    /// No answer: the request could not be made, or its answer did not come.
    pub(super) fn no_answer(&self, error: &reqwest::Error) -> Failure {
        let (host, method) = (self.host, self.method);
        let connecting = error.is_connect() || error.is_builder();
        let sent = if connecting { Sent::No } else { Sent::Maybe };
        let kind = find::<std::io::Error>(error).map(std::io::Error::kind);
        // Only TLS reads anything while it connects: an end of file or garbage there is a failed handshake.
        let handshake = connecting && matches!(kind, Some(ErrorKind::UnexpectedEof | ErrorKind::InvalidData));
        // The method is left out of what every call would meet: a connection's trouble reads the same for all.
        let (class, message) = if find::<NotPublic>(error).is_some() {
            let message = format!(
                "the host name of Orion, {host}, leads to an address that is not public: only with --allow-insecure-connections may it be used"
            );
            (FailureClass::Insecure, message)
        } else if error.is_timeout() {
            let message = match sent {
                Sent::No => format!("Orion at {host} could not be reached in time"),
                Sent::Maybe => format!("Orion at {host} did not answer in time ({method})"),
            };
            (FailureClass::Timeout, message)
        } else if let Some(tls) = find::<rustls::Error>(error) {
            (FailureClass::Tls, format!("no trusted TLS connection to Orion at {host}: {}", tls_problem(tls)))
        } else if handshake {
            (FailureClass::Tls, format!("no TLS connection to Orion at {host}: the handshake was cut off"))
        } else if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
            let message = format!(
                "the answer of Orion at {host} ({method}) is not HTTP: check scheme and port of the connection"
            );
            (FailureClass::Protocol, message)
        } else {
            let message = match (sent, kind) {
                (Sent::No, _) if error.is_dns() => {
                    format!("the host name of Orion, {host}, did not resolve")
                }
                (Sent::No, Some(ErrorKind::ConnectionRefused)) => {
                    format!("Orion at {host} refused the connection")
                }
                (Sent::No, _) => format!("Orion at {host} could not be reached"),
                (Sent::Maybe, _) => {
                    format!("Orion at {host} closed the connection without an answer ({method})")
                }
            };
            (FailureClass::Unreachable, message)
        };
        Failure { class, status: None, sent, json: false, retry_after: None, message }
    }

    /// The answer said success, but did not end in time.
    pub(super) fn unfinished(&self, status: StatusCode) -> Failure {
        self.answered(
            FailureClass::Timeout,
            status,
            format!("the answer of Orion at {} did not end in time ({})", self.host, self.method),
        )
    }

    /// The answer says success and cannot be used.
    pub(super) fn unusable(&self, status: StatusCode, why: Unusable) -> Failure {
        let problem = match why {
            Unusable::TooLarge => "is larger than 1 MiB",
            Unusable::CutOff => "was cut off",
            Unusable::NotJson => "is not JSON",
            Unusable::NoId => "holds no webhook id",
            Unusable::NotAList => "is not a list of webhooks",
            Unusable::NoToken => "holds no bearer token",
            Unusable::NotTheWebhook => "is not the webhook that was asked for",
        };
        self.answered(
            FailureClass::Protocol,
            status,
            format!("the answer of Orion at {} ({}, {}) {problem}", self.host, self.method, status.as_u16()),
        )
    }

    /// The answer is not a success.
    pub(super) fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        let (class, told) = match status.as_u16() {
            300..=399 => (FailureClass::Redirect, "answered with a redirect"),
            401 => (FailureClass::Unauthorized, "does not accept the credentials"),
            403 => (FailureClass::Forbidden, "does not allow this with these credentials"),
            404 => (FailureClass::NotFound, "does not know this path"),
            405 | 501 => (FailureClass::MethodNotAllowed, "does not have this operation"),
            409 => (FailureClass::Conflict, "says that this conflicts with what it has"),
            429 => (FailureClass::RateLimited, "asks for fewer requests"),
            400..=499 => (FailureClass::Rejected, "refused the request"),
            500..=599 => (FailureClass::ServerError, "failed to answer the request"),
            _ => (FailureClass::Protocol, "answered with a status that HTTP does not have"),
        };
        let mut message = format!("Orion at {} {told} ({}, {})", self.host, self.method, status.as_u16());
        if class == FailureClass::Rejected
            && let Some(details) = rejection::summary(body)
        {
            message.push_str(": ");
            message.push_str(&details);
        }
        Failure {
            json: is_json_object(body),
            retry_after: matches!(status.as_u16(), 429 | 503)
                .then(|| {
                    retry_after(
                        headers.get(RETRY_AFTER)?.to_str().ok()?,
                        served(headers).unwrap_or_else(SystemTime::now),
                    )
                })
                .flatten(),
            ..self.answered(class, status, message)
        }
    }

    fn answered(&self, class: FailureClass, status: StatusCode, message: String) -> Failure {
        Failure { class, status: Some(status.as_u16()), sent: Sent::Maybe, json: false, retry_after: None, message }
    }
}

/// A failure before anything was sent, for a reason of our own.
pub(super) fn unsendable(what: &str) -> Failure {
    Failure {
        class: FailureClass::Rejected,
        status: None,
        sent: Sent::No,
        json: false,
        retry_after: None,
        message: format!("the request to Orion was not sent: {what}"),
    }
}

/// A change that was not sent because this process leads no longer: another one makes it.
pub(super) fn stepped_down() -> Failure {
    Failure { class: FailureClass::Unreachable, ..unsendable("this process leads no longer") }
}

/// When an answer was made, by the clock of who made it. A date in the same answer is best compared with this.
pub(super) fn served(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// `Retry-After` as seconds or as a date, at most 10 minutes. `None` for anything else.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let asked = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(asked.min(MAX_RETRY_AFTER))
}

/// The API answers with objects. Text in front of it that happens to be JSON, like `404`, does not count.
fn is_json_object(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "only what a person can act on has words of its own")]
fn tls_problem(error: &rustls::Error) -> &'static str {
    use rustls::{CertificateError as Certificate, Error as Tls};
    match error {
        Tls::InvalidCertificate(Certificate::UnknownIssuer) => {
            "its certificate is not signed by a known authority; give the connection its CA"
        }
        Tls::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "its certificate has expired"
        }
        Tls::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            "its certificate is for another name"
        }
        Tls::InvalidCertificate(_) => "its certificate is not valid",
        Tls::InvalidMessage(_) => "it does not speak TLS there; check scheme and port of the connection",
        _ => "the handshake failed",
    }
}

/// The innermost error of this type in the chain of causes. An [`std::io::Error`] hides the one it wraps from `source()`.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut found = None;
    let mut next = Some(error);
    while let Some(error) = next {
        found = error.downcast_ref().or(found);
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Failure {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Asked { host: "acme.example.com", method: &Method::POST }.refused(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body,
        )
    }

    #[test]
    fn every_status_has_its_class() {
        use FailureClass as C;
        for (status, class) in [
            (300, C::Redirect),
            (301, C::Redirect),
            (307, C::Redirect),
            (400, C::Rejected),
            (401, C::Unauthorized),
            (403, C::Forbidden),
            (404, C::NotFound),
            (405, C::MethodNotAllowed),
            (408, C::Rejected),
            (409, C::Conflict),
            (413, C::Rejected),
            (415, C::Rejected),
            (418, C::Rejected),
            (422, C::Rejected),
            (425, C::Rejected),
            (429, C::RateLimited),
            (500, C::ServerError),
            (501, C::MethodNotAllowed),
            (502, C::ServerError),
            (599, C::ServerError),
            (600, C::Protocol),
        ] {
            let failure = refused(status, &[], b"<html>secret</html>");
            assert_eq!((failure.class, failure.status), (class, Some(status)));
            assert!(failure.message.contains("acme.example.com") && failure.message.contains("POST"), "{failure:?}");
            assert!(!failure.message.contains("secret") && !failure.json);
        }
    }

    #[test]
    fn json_is_an_object_that_parses() {
        for (body, json) in [
            (r#"{"detail":"Not Found"}"#, true),
            (" \n{}", true),
            ("404", false),
            ("", false),
            ("{\"detail\":", false),
            ("404 page not found", false),
            ("<html>", false),
        ] {
            assert_eq!(refused(404, &[], body.as_bytes()).json, json, "{body}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_capped() {
        let now = httpdate::parse_http_date("Wed, 25 Nov 2026 10:00:00 GMT").unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("31536000", Some(600)),
            ("99999999999999999999999", Some(600)),
            ("Wed, 25 Nov 2026 10:00:30 GMT", Some(30)),
            ("Wednesday, 25-Nov-26 10:00:30 GMT", Some(30)),
            ("Wed Nov 25 10:00:30 2026", Some(30)),
            ("Thu, 25 Nov 2027 10:00:00 GMT", Some(600)),
            ("Wed, 25 Nov 2026 09:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("5, 7", None),
            ("2026-11-25T10:00:30Z", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text:?}");
        }
        // Their clock is years away from ours: what counts is the difference.
        let theirs = [("date", "Fri, 25 Nov 2044 10:00:00 GMT"), ("retry-after", "Fri, 25 Nov 2044 10:00:30 GMT")];
        assert_eq!(refused(503, &theirs, b"").retry_after, Some(Duration::from_secs(30)));
        let header = [("retry-after", "5")];
        for (status, heard) in [(429, true), (503, true), (500, false), (403, false)] {
            assert_eq!(refused(status, &header, b"").retry_after.is_some(), heard, "{status}");
        }
    }

    #[test]
    fn wrapped_errors_are_found() {
        let tls = rustls::Error::General("x".into());
        let wrapped = std::io::Error::other(std::io::Error::new(ErrorKind::InvalidData, tls));
        assert!(find::<rustls::Error>(&wrapped).is_some());
        let refused = std::io::Error::other(std::io::Error::from(ErrorKind::ConnectionRefused));
        assert_eq!(find::<std::io::Error>(&refused).unwrap().kind(), ErrorKind::ConnectionRefused);
        let told = std::io::Error::new(ErrorKind::UnexpectedEof, "tls handshake eof");
        assert_eq!(find::<std::io::Error>(&told).unwrap().kind(), ErrorKind::UnexpectedEof);
    }
}
