//! Orion over HTTP, through the client of the operator.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::header::DATE;
use http::{HeaderMap, StatusCode};

use super::super::abilities;
use super::super::api::{self, Facts, Given, Heard};
use super::super::line::{Check, Line, cause};
use super::super::names::Names;
use super::super::shown::Shown;
use super::super::trip;
use crate::api::{Capabilities, Endpoint, RemoteWebhook};
use crate::orion::{self, HttpOrion, Orion, Source, Witness};

/// All that is told of Orion, in its order.
pub(in super::super) const CHAIN: [Check; 14] = [
    Check::Dns,
    Check::Tcp,
    Check::Tls,
    Check::Http,
    Check::Clock,
    Check::Login,
    Check::Api,
    Check::List,
    Check::Get,
    Check::Update,
    Check::Delete,
    Check::RateLimit,
    Check::Headers,
    Check::Marker,
];

/// Hears what the answers say in their headers.
#[derive(Default)]
pub(in super::super) struct Ear(Mutex<Heard>);

impl Ear {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness for Ear {
    fn answered(&self, _: StatusCode, headers: &HeaderMap) {
        let mut heard = self.heard();
        heard.answered = true;
        let date = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        heard.date = date.map(|theirs| (theirs, SystemTime::now())).or(heard.date);
        let speaks = |name: &str| name.contains("ratelimit") || name.contains("rate-limit") || name == "retry-after";
        let limits = headers.iter().filter(|(name, _)| speaks(name.as_str()));
        let limits: Vec<_> = limits
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").chars().take(64).collect()))
            .collect();
        if !limits.is_empty() {
            heard.limits = limits;
        }
    }
}

/// What is to be looked at.
pub(in super::super) struct Wanted<'a> {
    pub(in super::super) endpoint: &'a Endpoint,
    pub(in super::super) auth: &'a dyn Source,
    pub(in super::super) names: &'a Names,
    /// The proxy in between.
    pub(in super::super) proxy: Option<&'a str>,
    /// Webhooks of this connection are marked.
    pub(in super::super) is_marking: bool,
    /// A webhook may be made, for this user,
    pub(in super::super) write_for: Option<&'a str>,
    /// even where it might stay.
    pub(in super::super) may_stay: bool,
}

/// Adds lines to those of the network.
pub(in super::super) async fn ask(orion: &HttpOrion, ear: &Ear, wanted: &Wanted<'_>, lines: &mut Vec<Line>) {
    let (mut facts, webhooks) = read(orion, ear, wanted).await;
    lines.extend(api::reached(&facts, wanted.names));
    if cause(lines).is_some() {
        return;
    }
    let mut seen = Vec::from_iter(webhooks);
    let mut written = Vec::new();
    if let Some(user_id) = wanted.write_for {
        match trip::refusal(orion.capabilities(), wanted.may_stay) {
            Some(line) => written.push(line),
            None => {
                let there: Vec<String> = seen.iter().map(|webhook| webhook.id.clone()).collect();
                let trip = super::trip::take(orion, user_id, &there).await;
                written = trip::lines(&trip, &facts.endpoint, wanted.names);
                seen.extend(trip.read.and_then(Result::ok).flatten());
            }
        }
        facts.capabilities = orion.capabilities();
    }
    lines.extend(abilities::capabilities(facts.capabilities, facts.is_documented()));
    lines.push(abilities::rate_limit(&ear.heard()));
    lines.extend(written);
    let (shown, is_written) = (Shown::of(&seen), wanted.write_for.is_some());
    lines.extend([shown.headers(is_written), shown.marker(wanted.is_marking, is_written)]);
}

async fn read(orion: &HttpOrion, ear: &Ear, wanted: &Wanted<'_>) -> (Facts, Vec<RemoteWebhook>) {
    let discovered = orion.discover().await;
    let document = Some(orion.capabilities()).filter(|said| *said != Capabilities::default());
    let prepared = if discovered.is_ok() { orion.prepare().await } else { Ok(()) };
    let is_ready = discovered.is_ok() && prepared.is_ok();
    let listed = if is_ready { Some(orion.list().await) } else { None };
    let (list, mut webhooks) = match listed {
        None => (None, Vec::new()),
        Some(Err(failure)) => (Some(Err(failure)), Vec::new()),
        Some(Ok(listing)) => (Some(Ok((listing.webhooks.len(), listing.flaw))), listing.webhooks),
    };
    // A list may show less of a webhook than it has.
    if let Some(first) = webhooks.first_mut()
        && let Ok(whole) = orion.get(&first.id).await
        && first.headers.is_none()
    {
        *first = whole;
    }
    let given = match wanted.auth.look().await.given {
        Ok(orion::Given::Token(_)) => Given::Token,
        Ok(orion::Given::Password(_)) => Given::Password,
        Ok(orion::Given::Nothing) | Err(_) => Given::Nothing,
    };
    let facts = Facts {
        endpoint: wanted.endpoint.to_string(),
        proxy: wanted.proxy.map(str::to_owned),
        given,
        heard: ear.heard().clone(),
        discovered,
        document,
        elsewhere: orion.prefix_in_document(),
        prepared,
        list,
        capabilities: orion.capabilities(),
    };
    (facts, webhooks)
}
