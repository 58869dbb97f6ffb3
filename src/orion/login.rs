//! One login: `POST` of the OAuth2 password flow, and what its answer means.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use super::classify::Unusable;
use super::credentials::Password;
use super::lifetime::lifetime;
use super::limit::Limiter;
use super::transport::{Answer, Body, Call, ConfigError, Transport};
use crate::api::{Endpoint, Failure, FailureClass, Sent};
use crate::metrics::OrionCall;

/// How one connection logs in.
pub(super) struct Login {
    /// The login request takes the same way as all others,
    pub(super) transport: Arc<Transport>,
    /// and counts as one of them.
    pub(super) limiter: Arc<Limiter>,
    /// Where to.
    pub(super) url: Url,
    /// The scopes to ask for, separated by spaces; empty for none.
    pub(super) scopes: String,
}

/// What a login has brought.
pub(super) struct Granted {
    pub(super) token: SecretString,
    /// How long the token lives, from before the login was sent; `None` if that is not known.
    pub(super) lifetime: Option<Duration>,
}

/// The answer to a login. Its other fields are not even copied.
#[derive(Deserialize)]
struct Answered {
    access_token: SecretString,
    token_type: Option<String>,
    expires_in: Option<Value>,
}

impl Login {
    /// Logs in once. `place` is where a person gave the username and password.
    ///
    /// # Errors
    /// As every failure at a login, it says that nothing was sent: nothing was of the call that needs the token.
    pub(super) async fn run(&self, given: &Password, place: &str) -> Result<Granted, Failure> {
        let body = Some(Body::form(form(given, &self.scopes)));
        let url = self.url.clone();
        let call = Call { operation: OrionCall::Login, method: Method::POST, url, body, idempotency_key: None };
        let outcome = {
            match self.limiter.turn().await {
                Ok(_turn) => self.transport.send(call, None).await,
                // Orion has asked to wait: that is no word about the login.
                Err(failure) => return Err(failure),
            }
        };
        self.limiter.note(&outcome);
        outcome.and_then(|answer| granted(&answer)).map_err(|failure| self.failed(failure, place))
    }

    /// From the failure of a request to that of a login.
    fn failed(&self, failure: Failure, place: &str) -> Failure {
        let host = self.transport.host();
        let status = failure.status.unwrap_or_default();
        let refused = || {
            let scopes = if self.scopes.is_empty() { "" } else { ", and the scopes that are asked for" };
            format!(
                "Orion at {host} does not accept the username and password (login, {status}): check {place}{scopes}"
            )
        };
        // Without the status, which would be taken for an answer to the call that needs the token.
        let is = |class, message| Failure { class, status: None, sent: Sent::No, message, ..failure.clone() };
        let passing = |class| {
            // Who never got there reads the same whatever the call.
            let is_login = failure.sent == Sent::Maybe;
            is(class, format!("{}{}", if is_login { "cannot log in: " } else { "" }, failure.message))
        };
        match failure.class {
            FailureClass::Rejected if status == 408 => passing(FailureClass::Timeout),
            FailureClass::Rejected if status == 425 => passing(FailureClass::ServerError),
            FailureClass::Rejected | FailureClass::Unauthorized | FailureClass::Forbidden | FailureClass::Conflict => {
                is(FailureClass::Unauthorized, refused())
            }
            FailureClass::NotFound | FailureClass::MethodNotAllowed | FailureClass::NoLogin => {
                let message = format!(
                    "Orion at {host} has no login at this path ({status}): check --orion-login-path, or the loginPath of the connection"
                );
                is(FailureClass::NoLogin, message)
            }
            FailureClass::Unreachable
            | FailureClass::Timeout
            | FailureClass::Tls
            | FailureClass::RateLimited
            | FailureClass::ServerError
            | FailureClass::Protocol
            | FailureClass::Redirect
            | FailureClass::Insecure => passing(failure.class),
        }
    }
}

fn granted(answer: &Answer) -> Result<Granted, Failure> {
    let unusable = || answer.unusable(Unusable::NoToken);
    let Answered { access_token: token, token_type, expires_in } = answer.parse().ok_or_else(unusable)?;
    // RFC 6749, section 7.1: a token of a type that is not understood must not be used.
    let is_bearer = token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    let text = token.expose_secret();
    if !is_bearer || text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unusable());
    }
    let lifetime = lifetime(expires_in.as_ref(), text, answer.served(), SystemTime::now());
    Ok(Granted { token, lifetime })
}

/// Where to log in: at `path`, or at the usual one. The host is that of the endpoint, whatever the path.
///
/// # Errors
/// It is no path.
pub(super) fn login_url(endpoint: &Endpoint, path: Option<&str>) -> Result<Url, ConfigError> {
    let url = match path {
        None => format!("{endpoint}/auth/login"),
        Some(path) if path.starts_with('/') && !path.starts_with("//") && !path.contains(['?', '#', '\\']) => {
            format!("{}{path}", endpoint.origin())
        }
        Some(_) => return Err(ConfigError::LoginPath),
    };
    Url::parse(&url).map_err(|_| ConfigError::LoginPath)
}

/// The form, in a buffer that is zeroized when the last handle to it is dropped.
fn form(given: &Password, scopes: &str) -> Bytes {
    let (username, password) = (given.username.expose_secret(), given.password.expose_secret());
    // Every byte may become three. A buffer that grows would leave copies behind.
    let size =
        "grant_type=password&username=&password=&scope=".len() + 3 * (username.len() + password.len() + scopes.len());
    let mut form = Serializer::new(String::with_capacity(size));
    form.append_pair("grant_type", "password").append_pair("username", username).append_pair("password", password);
    if !scopes.is_empty() {
        form.append_pair("scope", scopes);
    }
    Bytes::from_owner(Zeroizing::new(form.finish().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_that_of_the_password_flow_and_never_grows() {
        for text in ["demo", "p4ss w\u{f6}rd&x=1+%", &"\u{20ac}".repeat(50)] {
            let given = Password { username: text.into(), password: format!("{text}!").into() };
            for (scopes, last) in [("", None), ("analyst viewer", Some(("scope", "analyst viewer")))] {
                let form = form(&given, scopes);
                let pairs: Vec<(String, String)> = url::form_urlencoded::parse(&form).into_owned().collect();
                let secret = format!("{text}!");
                let mut expected = vec![("grant_type", "password"), ("username", text), ("password", secret.as_str())];
                expected.extend(last);
                let shown: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                assert_eq!(shown, expected);
                assert!(form.len() <= 46 + 3 * (2 * text.len() + 1 + scopes.len()));
            }
        }
    }

    #[test]
    fn a_login_path_stays_on_its_host() {
        let endpoint = Endpoint::new("https://acme.example.com:8443", "/v1alpha").unwrap();
        for (path, url) in [
            (None, "https://acme.example.com:8443/v1alpha/auth/login"),
            (Some("/api/login"), "https://acme.example.com:8443/api/login"),
            (Some("/@evil.example"), "https://acme.example.com:8443/@evil.example"),
            (Some("/../login"), "https://acme.example.com:8443/login"),
        ] {
            assert_eq!(login_url(&endpoint, path).unwrap().as_str(), url);
        }
        for path in ["", "login", "//evil.example/login", "https://evil.example/", "/a?b", "/a#b", "/\\evil.example"] {
            assert!(matches!(login_url(&endpoint, Some(path)), Err(ConfigError::LoginPath)), "{path}");
        }
    }
}
