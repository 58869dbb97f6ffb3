//! Faults: rules that say which requests go wrong, how, and how often.

use std::fmt;

use http::Method;
use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a request asks for, told by method and path alone (whether or not it is switched on).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `POST <prefix>/webhooks/`
    Create,
    /// `GET <prefix>/webhooks/`
    List,
    /// `GET <prefix>/webhooks/<id>`
    Get,
    /// `PUT <prefix>/webhooks/<id>`
    Put,
    /// `PATCH <prefix>/webhooks/<id>`
    Patch,
    /// `DELETE <prefix>/webhooks/<id>`
    Delete,
    /// `POST <prefix>/auth/login`
    Login,
    /// `GET …/openapi.json`, also where it is not served.
    Openapi,
    /// Anything else.
    Other,
}

/// A rule: which requests, what happens to them, how often.
///
/// `latency_ms` rules that fit add up; of all other rules that fit, the oldest acts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests; all of them when empty.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// What happens.
    pub action: Action,
    /// How many more requests it hits; none or `"forever"` = every one.
    #[serde(default, deserialize_with = "times")]
    pub times: Option<u32>,
}

impl Fault {
    /// Hits every request of an operation, for ever.
    #[must_use]
    pub fn on(operation: Operation, action: Action) -> Self {
        let matches = Match { operation: Some(operation), ..Match::default() };
        Self { matches, action, times: None }
    }

    /// Hits every request, for ever.
    #[must_use]
    pub fn everywhere(action: Action) -> Self {
        Self { matches: Match::default(), action, times: None }
    }

    /// Ends after this many hits.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Ends after one hit.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Only hits requests about webhooks with this presence name.
    #[must_use]
    pub fn presence(mut self, name: impl Into<String>) -> Self {
        self.matches.presence_name = Some(name.into());
        self
    }

    /// Does it fit this request, and has it hits left?
    pub(super) fn fits(&self, request: &Subject<'_>) -> bool {
        let m = &self.matches;
        self.times != Some(0)
            && m.method.as_deref().is_none_or(|it| it.eq_ignore_ascii_case(request.method.as_str()))
            && m.path.as_ref().is_none_or(|it| it.0.is_match(request.path))
            && m.operation.is_none_or(|it| it == request.operation)
            && m.presence_name.as_deref().is_none_or(|it| Some(it) == request.presence_name)
    }

    /// Counts one hit.
    pub(super) fn hit(&mut self) {
        self.times = self.times.map(|left| left.saturating_sub(1));
    }
}

/// Which requests a fault hits; every condition that is given must hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// HTTP method, without case.
    pub method: Option<String>,
    /// Regular expression found anywhere in the path (without the query).
    pub path: Option<Pattern>,
    /// The operation.
    pub operation: Option<Operation>,
    /// `presence_name` in the body or, where a request has none, of the stored webhook it names.
    pub presence_name: Option<String>,
}

/// A request as faults see it.
pub(super) struct Subject<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) operation: Operation,
    pub(super) presence_name: Option<&'a str>,
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Waits before the effect. The effect takes place even if the client has gone by then.
    LatencyMs(u64),
    /// Does the effect, then waits before the answer.
    LatencyAfterEffectMs(u64),
    /// Answers this status in place of the effect.
    Status(ErrorAnswer),
    /// Does the effect, then answers this status.
    StatusAfterEffect(ErrorAnswer),
    /// Does the effect, then closes the connection without an answer.
    LostAnswer,
    /// Resets the connection (TCP RST) in place of the effect.
    ResetBeforeEffect,
    /// Does the effect, then breaks off in the middle of the body.
    Truncated,
    /// Does the effect; the status stays, but the body is the HTML page of some proxy.
    HtmlBody,
    /// Does the effect, sends the head of the answer, then nothing more.
    Stall,
    /// A list answers every page with the first one.
    PagesRepeat,
    /// A list leaves out the first entry of every later page, as when something was deleted between two pages.
    PagesSkip,
    /// A list says that there is one more than there is (only seen where it has a `total`).
    TotalLies,
    /// Answers a redirect in place of the effect.
    Redirect {
        /// The `Location`, as it is.
        location: String,
        /// A 3xx status; 307 when absent.
        #[serde(default = "temporary_redirect")]
        status: u16,
    },
    /// Does the effect unless told otherwise, then answers exactly this.
    Answer {
        /// The status.
        status: u16,
        /// The `Content-Type`.
        #[serde(default = "json_type")]
        content_type: String,
        /// The body, as it is.
        body: String,
        /// Does the effect take place?
        #[serde(default = "yes")]
        effect: bool,
    },
}

impl Action {
    /// A status with a JSON body in place of the effect.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Self::Status(ErrorAnswer { code, body: BodyKind::Json, retry_after: None })
    }

    /// A status with a JSON body after the effect.
    #[must_use]
    pub fn status_after_effect(code: u16) -> Self {
        Self::StatusAfterEffect(ErrorAnswer { code, body: BodyKind::Json, retry_after: None })
    }

    /// A redirect (307) in place of the effect.
    #[must_use]
    pub fn redirect(location: impl Into<String>) -> Self {
        Self::Redirect { location: location.into(), status: temporary_redirect() }
    }
}

/// An answer that a fault gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorAnswer {
    /// The status.
    pub code: u16,
    /// The kind of body.
    #[serde(default)]
    pub body: BodyKind,
    /// A `Retry-After` header, as it is (good or garbage).
    #[serde(default)]
    pub retry_after: Option<String>,
}

/// The body of an [`ErrorAnswer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyKind {
    /// `{"detail": "…"}`
    #[default]
    Json,
    /// The page of a proxy.
    Html,
    /// None.
    Empty,
}

/// A regular expression that can be written in JSON.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When it is not a regular expression.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        Regex::new(text).map(Self)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::List => "list",
            Self::Get => "get",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Login => "login",
            Self::Openapi => "openapi",
            Self::Other => "other",
        })
    }
}

/// A number, or nothing or `"forever"` for no end.
fn times<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Times {
        Number(u32),
        Word(String),
    }
    match Option::<Times>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Times::Number(times)) => Ok(Some(times)),
        Some(Times::Word(word)) if word == "forever" => Ok(None),
        Some(Times::Word(_)) => Err(serde::de::Error::custom("times is a number or \"forever\"")),
    }
}

fn temporary_redirect() -> u16 {
    307
}

fn json_type() -> String {
    "application/json".into()
}

fn yes() -> bool {
    true
}
