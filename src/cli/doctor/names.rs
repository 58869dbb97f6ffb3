//! What a setting is called where it is to be put right: a flag, or a field of a connection. Pure.

use crate::api::{Failure, FailureClass};

/// The names of the settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) url: &'static str,
    pub(super) prefix: &'static str,
    pub(super) ca: &'static str,
    pub(super) credentials: &'static str,
    pub(super) login_path: &'static str,
    pub(super) scopes: &'static str,
    pub(super) timeout: &'static str,
    pub(super) rate_limit: &'static str,
}

/// Of the default connection.
pub(super) const FLAGS: Names = Names {
    url: "--orion-url",
    prefix: "--orion-path-prefix",
    ca: "--orion-ca-file",
    credentials: "--orion-token-file, or --orion-username-file and --orion-password-file",
    login_path: "--orion-login-path",
    scopes: "--orion-scopes",
    timeout: "--orion-timeout",
    rate_limit: "--orion-rate-limit",
};

/// Of a connection that is an object.
pub(super) const FIELDS: Names = Names {
    url: "spec.url",
    prefix: "spec.pathPrefix",
    ca: "spec.caSecretRef",
    credentials: "the Secret that spec.auth names",
    login_path: "spec.auth.passwordSecretRef.loginPath",
    scopes: "spec.auth.passwordSecretRef.scopes",
    timeout: "spec.timeout",
    rate_limit: "spec.rateLimit",
};

/// What to do about a failed call.
pub(super) fn todo(failure: &Failure, names: &Names) -> String {
    let Names { url, prefix, ca, credentials, login_path, scopes, timeout, rate_limit } = names;
    match failure.class {
        FailureClass::Unreachable => format!(
            "Correct host and port in {url}, or see what closes the connections: firewall, proxy, NetworkPolicy"
        ),
        FailureClass::Timeout => {
            format!("See whether Orion is busy, or something on the way swallows the calls; {timeout} may be longer")
        }
        FailureClass::Tls => format!("Give the CA by {ca}, or let who runs Orion renew its certificate"),
        FailureClass::RateLimited => format!("Run this again in a while, and lower {rate_limit}"),
        FailureClass::ServerError => "Let who runs Orion look at it, or at the gateway in front of it".into(),
        FailureClass::Protocol => {
            format!("Something else than Orion answers: correct scheme, host and port in {url}, and {prefix}")
        }
        FailureClass::Rejected | FailureClass::Conflict => "Let who runs Orion say what this means".into(),
        FailureClass::Unauthorized => format!("Correct {credentials}"),
        FailureClass::Forbidden => format!("Give these credentials the right, or ask for more by {scopes}"),
        FailureClass::NotFound | FailureClass::MethodNotAllowed => format!("Correct {prefix}"),
        FailureClass::NoLogin => format!("Correct {login_path}, or {prefix}"),
        FailureClass::Redirect => format!("Put where it redirects to into {url} and {prefix}: no redirect is followed"),
        FailureClass::Insecure => format!("Correct {url}, or let an admin allow it with --allow-insecure-connections"),
    }
}
