//! Orion's side in our words: what we want it to have, what it says it has, and what it can do.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::marker::{OWNER_HEADER, Owner};

/// The value of a header. Redacted in `Debug` and zeroed when dropped, whether it came from a Secret or not.
pub type HeaderValue = SecretString;

/// The base of an Orion API, normalised: scheme, host, port if not the default, prefix, no slash at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint(String);

impl Endpoint {
    /// Joins a base URL and a path prefix.
    ///
    /// # Errors
    /// Says what is wrong with the URL: not absolute http(s), credentials, a path, a query or a fragment in it.
    pub fn new(url: &str, prefix: &str) -> Result<Self, String> {
        let parsed = Url::parse(url).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
            return Err("it must be an absolute http or https URL, like https://acme.example.com".into());
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err("it must not hold a user or password".into());
        }
        if parsed.path() != "/" || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err("it must be scheme, host and port only; a path belongs into the path prefix".into());
        }
        if !(prefix.is_empty() || prefix.starts_with('/') && !prefix.starts_with("//"))
            || prefix.contains(['?', '#', '\\'])
        {
            return Err("the path prefix must start with one slash and hold no ?, # or backslash".into());
        }
        let origin = parsed.as_str().trim_end_matches('/');
        Ok(Self(format!("{origin}{}", prefix.trim_end_matches('/'))))
    }

    /// The base as text, as in `status.endpoint`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme, host and port: the base without the prefix.
    #[must_use]
    pub fn origin(&self) -> String {
        Url::parse(&self.0).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    }

    /// Host, for messages.
    #[must_use]
    pub fn host(&self) -> String {
        Url::parse(&self.0).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What Orion shall have for one `Webhook`: the declared fields with every header value at hand.
#[derive(Clone, Debug)]
pub struct Desired {
    /// `url`.
    pub url: String,
    /// `user_id`.
    pub user_id: String,
    /// `presence_name`.
    pub presence_name: String,
    /// The user's headers, in the order of the spec, without the owner marker.
    pub headers: Vec<(String, HeaderValue)>,
    /// The owner marker, where the connection carries one.
    pub owner: Option<Owner>,
}

/// One header as Orion shows it. The value may be left out.
#[derive(Clone, Debug)]
pub struct RemoteHeader {
    /// Its name.
    pub name: String,
    /// Its value, if Orion shows one (it may be masked).
    pub value: Option<HeaderValue>,
}

/// A webhook as Orion shows it. What it leaves out is `None` and is never taken for a difference.
#[derive(Clone, Debug)]
pub struct RemoteWebhook {
    /// Its id.
    pub id: String,
    /// `url`.
    pub url: Option<String>,
    /// `user_id`.
    pub user_id: Option<String>,
    /// `presence_name`.
    pub presence_name: Option<String>,
    /// `headers`.
    pub headers: Option<Vec<RemoteHeader>>,
}

impl RemoteWebhook {
    /// The owner marker on it, if it carries one that can be read.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        self.headers
            .iter()
            .flatten()
            .filter(|header| is_owner_header(&header.name))
            .find_map(|header| Owner::parse(header.value.as_ref()?.expose_secret()))
    }

    /// It has the url, user and presence of `desired`: what a create of ours without its marker would look like.
    #[must_use]
    pub fn looks_like(&self, url: &str, user_id: &str, presence_name: &str) -> bool {
        let same = |shown: &Option<String>, wanted: &str| shown.as_deref().is_none_or(|shown| shown == wanted);
        self.url.as_deref().is_none_or(|shown| is_same_url(shown, url))
            && same(&self.user_id, user_id)
            && same(&self.presence_name, presence_name)
    }

    /// It is as `desired`, as far as Orion shows: fields equal, the same user headers with equal or masked values.
    #[must_use]
    pub fn matches(&self, desired: &Desired) -> bool {
        self.looks_like(&desired.url, &desired.user_id, &desired.presence_name)
            && self.headers.as_ref().is_none_or(|shown| headers_match(shown, desired))
    }
}

/// Equal, or equal once parsed: an API may write `https://a.example` as `https://a.example/`.
fn is_same_url(shown: &str, wanted: &str) -> bool {
    shown == wanted || matches!((Url::parse(shown), Url::parse(wanted)), (Ok(shown), Ok(wanted)) if shown == wanted)
}

/// The user's headers are the same on both sides, names without case. The owner marker is no part of it: a webhook that
/// was adopted has none until its first update.
fn headers_match(shown: &[RemoteHeader], desired: &Desired) -> bool {
    let users: Vec<&RemoteHeader> = shown.iter().filter(|header| !is_owner_header(&header.name)).collect();
    users.len() == desired.headers.len()
        && desired.headers.iter().all(|(name, value)| {
            let value = value.expose_secret();
            users.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).any(|header| {
                header
                    .value
                    .as_ref()
                    .is_none_or(|shown| shown.expose_secret() == value || is_masked(shown.expose_secret()))
            })
        })
}

/// A value that Orion hides rather than shows, like `***`, `abcd****` or `[redacted]`. Never taken for drift.
#[must_use]
pub fn is_masked(value: &str) -> bool {
    let bare = value.trim_matches(|c: char| !c.is_alphanumeric()).to_ascii_lowercase();
    value.contains("***") || value.contains("•••") || matches!(bare.as_str(), "redacted" | "masked")
}

fn is_owner_header(name: &str) -> bool {
    name.eq_ignore_ascii_case(OWNER_HEADER)
}

/// Whether Orion has an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Support {
    /// `/openapi.json` or an earlier 2xx shows it.
    Proven,
    /// `/openapi.json` or a 404, 405 or 501 shows that it is not there.
    Absent,
    /// Nothing has shown it yet.
    #[default]
    Unknown,
}

/// What one Orion can do besides creating.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// `GET /webhooks/`.
    pub list: Support,
    /// `GET /webhooks/<id>`.
    pub get: Support,
    /// `PUT /webhooks/<id>`.
    pub put: Support,
    /// `PATCH /webhooks/<id>`.
    pub patch: Support,
    /// `DELETE /webhooks/<id>`.
    pub delete: Support,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_normalised() {
        for (url, prefix, expected) in [
            ("https://Acme.Example.com:443/", "/v1alpha/", "https://acme.example.com/v1alpha"),
            ("http://127.0.0.1:8000", "/v1alpha", "http://127.0.0.1:8000/v1alpha"),
            ("http://[::1]:80", "", "http://[::1]"),
        ] {
            assert_eq!(Endpoint::new(url, prefix).unwrap().as_str(), expected);
        }
        for (url, prefix) in [
            ("ftp://a", "/v"),
            ("acme.example.com", "/v"),
            ("https://u@a", "/v"),
            ("https://a/path", "/v"),
            ("https://a?q", "/v"),
            ("https://a", "v"),
            ("https://a", "//v"),
            ("https://a", "/v?x"),
        ] {
            assert!(Endpoint::new(url, prefix).is_err(), "{url} {prefix}");
        }
    }

    fn remote(headers: &[(&str, Option<&str>)]) -> RemoteWebhook {
        RemoteWebhook {
            id: "wh_1".into(),
            url: Some("https://h/".into()),
            user_id: Some("u".into()),
            presence_name: Some("p".into()),
            headers: Some(
                headers
                    .iter()
                    .map(|(name, value)| RemoteHeader { name: (*name).into(), value: value.map(SecretString::from) })
                    .collect(),
            ),
        }
    }

    #[test]
    fn drift_is_seen_and_masked_values_are_not_drift() {
        let owner = super::super::InstanceId::new("i").owner("a", "b");
        let marker = owner.as_str().to_owned();
        let desired = Desired {
            url: "https://h/".into(),
            user_id: "u".into(),
            presence_name: "p".into(),
            headers: vec![("X-A".into(), SecretString::from("1"))],
            owner: Some(owner),
        };
        let mark = (OWNER_HEADER, Some(marker.as_str()));
        for (headers, same) in [
            (vec![("X-A", Some("1")), mark], true),
            (vec![("x-a", Some("1")), mark], true),
            (vec![("X-A", Some("***")), mark], true),
            (vec![("X-A", None), mark], true),
            (vec![("X-A", Some("1")), (OWNER_HEADER, Some("****"))], true),
            (vec![("X-A", Some("2")), mark], false),
            (vec![("X-A", Some("1"))], true),
            (vec![mark], false),
            (vec![("X-A", Some("1")), ("X-B", Some("1")), mark], false),
        ] {
            assert_eq!(remote(&headers).matches(&desired), same, "{headers:?}");
        }
        let mut other = remote(&[("X-A", Some("1")), mark]);
        other.url = Some("https://other/".into());
        assert!(!other.matches(&desired));
    }
}
