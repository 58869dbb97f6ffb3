//! What can go wrong with one call to Orion, classified once.

use std::time::Duration;

use super::reason::Reason;

/// Whether any byte of the request may have reached Orion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The connection never came to be: nothing was sent.
    No,
    /// It may have been sent, or was.
    Maybe,
}

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// The classes of failure. Every decision about a failed call is a match on this.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FailureClass { $($(#[$doc])* $name,)+ }

        impl FailureClass {
            /// Every class.
            pub const ALL: &'static [FailureClass] = &[$(FailureClass::$name,)+];

            /// Its name, in logs and metrics.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(FailureClass::$name => stringify!($name),)+ }
            }
        }
    };
}

classes! {
    /// Refused, reset, or the name did not resolve.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// No TLS connection, or a certificate that is not trusted.
    Tls,
    /// 429.
    RateLimited,
    /// 5xx.
    ServerError,
    /// An answer that cannot be understood: too large, cut off, not JSON, without the id.
    Protocol,
    /// 400, 413, 415, 422 and every other 4xx without a class of its own.
    Rejected,
    /// 401 after the credentials were read afresh, a login that was refused, or no credentials to be had.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 405 or 501.
    MethodNotAllowed,
    /// 409.
    Conflict,
    /// 3xx.
    Redirect,
    /// There is no login where one was expected: 404, 405 or 501. Not `NotFound`, which would speak of a webhook.
    NoLogin,
    /// The connection's address is not allowed: the host name leads to an address that is not public.
    Insecure,
}

impl FailureClass {
    /// Answers that mean that Orion does not have what was asked for: the route or the id.
    #[must_use]
    pub fn is_absent(self) -> bool {
        matches!(self, Self::NotFound | Self::MethodNotAllowed)
    }
}

/// A failed call to Orion. `message` says what happened without any secret and without text of the answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its class.
    pub class: FailureClass,
    /// The HTTP status, where there was one. `None` for what went wrong before this call was made, as at a login.
    pub status: Option<u16>,
    /// Whether the request may have reached Orion.
    pub sent: Sent,
    /// The answer, to this call or to the login before it, was a refusal with a JSON body: it comes from the API itself and
    /// not from something in front of it.
    pub json: bool,
    /// How long Orion asks us to wait, at most 10 minutes.
    pub retry_after: Option<Duration>,
    /// What happened, for people; stable.
    pub message: String,
}

impl Failure {
    /// Nothing was created by a POST that failed so: the call never left, or the answer is a refusal
    /// (design section 4, "Known refusal"). Everything else is uncertain.
    #[must_use]
    pub fn is_known_refusal(&self) -> bool {
        if self.sent == Sent::No {
            return true;
        }
        match self.class {
            FailureClass::Unreachable
            | FailureClass::Timeout
            | FailureClass::Tls
            | FailureClass::ServerError
            | FailureClass::Protocol
            | FailureClass::Conflict => false,
            FailureClass::Rejected => !matches!(self.status, Some(408 | 425)),
            FailureClass::RateLimited
            | FailureClass::Unauthorized
            | FailureClass::Forbidden
            | FailureClass::NotFound
            | FailureClass::Redirect
            | FailureClass::NoLogin
            | FailureClass::Insecure => true,
            // 405 is a refusal, 501 is one of the 5xx.
            FailureClass::MethodNotAllowed => self.status == Some(405),
        }
    }

    /// The trouble is the connection's and not of this one call: every other call would meet it too.
    #[must_use]
    pub fn is_of_the_connection(&self) -> bool {
        match self.class {
            FailureClass::RateLimited | FailureClass::NoLogin | FailureClass::Insecure => true,
            // What breaks after the request was sent may be this one request's fate. What breaks before it, at the
            // login, is everybody's.
            FailureClass::Unreachable
            | FailureClass::Tls
            | FailureClass::Timeout
            | FailureClass::ServerError
            | FailureClass::Protocol
            | FailureClass::Redirect => self.sent == Sent::No,
            FailureClass::Rejected
            | FailureClass::Unauthorized
            | FailureClass::Forbidden
            | FailureClass::NotFound
            | FailureClass::MethodNotAllowed
            | FailureClass::Conflict => false,
        }
    }

    /// The reason that the Ready condition gives for it (design section 3).
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self.class {
            FailureClass::Unreachable | FailureClass::ServerError => Reason::OrionUnavailable,
            FailureClass::Timeout => Reason::Timeout,
            FailureClass::Tls => Reason::TLSFailed,
            FailureClass::RateLimited => Reason::RateLimited,
            FailureClass::Protocol => Reason::RemoteProtocolError,
            FailureClass::Rejected => match self.status {
                Some(408) => Reason::Timeout,
                Some(425) => Reason::OrionUnavailable,
                _ => Reason::Rejected,
            },
            FailureClass::Unauthorized => Reason::Unauthorized,
            FailureClass::Forbidden => Reason::Forbidden,
            FailureClass::NotFound | FailureClass::MethodNotAllowed | FailureClass::NoLogin => Reason::EndpointNotFound,
            FailureClass::Conflict => Reason::Conflict,
            FailureClass::Redirect => Reason::UnexpectedRedirect,
            FailureClass::Insecure => Reason::InsecureConnection,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(class: FailureClass, status: Option<u16>, sent: Sent) -> Failure {
        Failure { class, status, sent, json: true, retry_after: None, message: String::new() }
    }

    #[test]
    fn known_refusals_are_those_of_the_contract() {
        use FailureClass as C;
        for (class, status, sent, known) in [
            (C::Unreachable, None, Sent::No, true),
            (C::Unreachable, None, Sent::Maybe, false),
            (C::Tls, None, Sent::No, true),
            (C::Timeout, None, Sent::No, true),
            (C::Timeout, None, Sent::Maybe, false),
            (C::Redirect, Some(307), Sent::Maybe, true),
            (C::Rejected, Some(422), Sent::Maybe, true),
            (C::Rejected, Some(408), Sent::Maybe, false),
            (C::Rejected, Some(425), Sent::Maybe, false),
            (C::Conflict, Some(409), Sent::Maybe, false),
            (C::RateLimited, Some(429), Sent::Maybe, true),
            (C::Unauthorized, Some(401), Sent::Maybe, true),
            (C::NotFound, Some(404), Sent::Maybe, true),
            (C::MethodNotAllowed, Some(405), Sent::Maybe, true),
            (C::MethodNotAllowed, Some(501), Sent::Maybe, false),
            (C::ServerError, Some(503), Sent::Maybe, false),
            (C::Protocol, Some(201), Sent::Maybe, false),
            (C::ServerError, None, Sent::No, true),
            (C::Protocol, None, Sent::No, true),
            (C::NoLogin, None, Sent::No, true),
            (C::Insecure, None, Sent::No, true),
        ] {
            assert_eq!(failure(class, status, sent).is_known_refusal(), known, "{class:?} {status:?} {sent:?}");
        }
    }

    #[test]
    fn trouble_of_a_login_is_of_the_connection() {
        use FailureClass as C;
        for (class, sent, everybodys) in [
            (C::Unreachable, Sent::No, true),
            (C::Unreachable, Sent::Maybe, false),
            (C::ServerError, Sent::No, true),
            (C::ServerError, Sent::Maybe, false),
            (C::Protocol, Sent::No, true),
            (C::Redirect, Sent::No, true),
            (C::Redirect, Sent::Maybe, false),
            (C::NoLogin, Sent::No, true),
            (C::Insecure, Sent::No, true),
            // The credentials' trouble: it ends when a person changes them.
            (C::Unauthorized, Sent::No, false),
        ] {
            assert_eq!(failure(class, None, sent).is_of_the_connection(), everybodys, "{class:?} {sent:?}");
        }
        assert_eq!(failure(C::Insecure, None, Sent::No).reason(), Reason::InsecureConnection);
        assert_eq!(failure(C::NoLogin, None, Sent::No).reason(), Reason::EndpointNotFound);
    }
}
