//! A simulated Orion: what it keeps, and the operator's client of it.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use orion_operator::api::{
    Capabilities, Desired, Endpoint, Failure, FailureClass, OWNER_HEADER, RemoteHeader, RemoteWebhook, Sent, Support,
};
use orion_operator::orion::{Limiter, Listing, Orion};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::mutant::Mutant;
use super::plan::{Answer, Call};
use super::process::Process;
use super::world::World;

/// Longest time of one call.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How Orion shows the markers that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Markers {
    Shown,
    Masked,
    Stripped,
}

/// What this Orion can do.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    pub list: bool,
    pub get: bool,
    pub update: bool,
    pub delete: bool,
    pub openapi: bool,
    pub markers: Markers,
    /// How long lists lag behind.
    pub list_lag: Duration,
}

pub const FULL: Features = Features {
    list: true,
    get: true,
    update: true,
    delete: true,
    openapi: true,
    markers: Markers::Shown,
    list_lag: Duration::ZERO,
};

/// One webhook at Orion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub url: String,
    pub user_id: String,
    pub presence_name: String,
    pub headers: Vec<(String, String)>,
    pub owner: Option<String>,
    pub since: Instant,
}

/// What Orion keeps, and what it was asked for.
pub struct OrionState {
    pub features: Features,
    pub webhooks: BTreeMap<String, Kept>,
    /// Attempts that were sent, with whether the last one is known to have been refused.
    pub posts: HashMap<String, bool>,
    pub created: usize,
    /// It refuses connections.
    pub is_down: bool,
    /// When it was called.
    pub calls: Vec<Instant>,
}

impl OrionState {
    pub fn new(features: Features) -> Self {
        Self {
            features,
            webhooks: BTreeMap::new(),
            posts: HashMap::new(),
            created: 0,
            is_down: false,
            calls: Vec::new(),
        }
    }

    pub fn owned(&self, owner: &str) -> Vec<String> {
        self.webhooks
            .iter()
            .filter(|(_, kept)| kept.owner.as_deref() == Some(owner))
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn shown(&self, id: &str) -> Option<RemoteWebhook> {
        let kept = self.webhooks.get(id)?;
        let header =
            |(name, value): &(String, String)| RemoteHeader { name: name.clone(), value: Some(value.clone().into()) };
        let mut headers: Vec<RemoteHeader> = kept.headers.iter().map(header).collect();
        let marker = match self.features.markers {
            Markers::Shown => kept.owner.clone(),
            Markers::Masked => kept.owner.as_ref().map(|_| "***".to_owned()),
            Markers::Stripped => None,
        };
        headers.extend(marker.map(|value| RemoteHeader { name: OWNER_HEADER.into(), value: Some(value.into()) }));
        Some(RemoteWebhook {
            id: id.to_owned(),
            url: Some(kept.url.clone()),
            user_id: Some(kept.user_id.clone()),
            presence_name: Some(kept.presence_name.clone()),
            headers: Some(headers),
        })
    }

    fn list(&self) -> Listing {
        let is_old = |kept: &Kept| kept.since.elapsed() >= self.features.list_lag;
        let ids = self.webhooks.iter().filter(|(_, kept)| is_old(kept)).map(|(id, _)| id);
        Listing { webhooks: ids.filter_map(|id| self.shown(id)).collect(), flaw: None }
    }
}

fn kept(desired: &Desired) -> Kept {
    let headers = desired.headers.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
    Kept {
        url: desired.url.clone(),
        user_id: desired.user_id.clone(),
        presence_name: desired.presence_name.clone(),
        headers: headers.collect(),
        owner: desired.owner.as_ref().map(|owner| owner.as_str().to_owned()),
        since: Instant::now(),
    }
}

/// One process' client.
pub struct OrionClient {
    process: Process,
    limiter: Limiter,
    endpoint: Endpoint,
    known: Mutex<Capabilities>,
    has_told_epoch: AtomicBool,
    last_list: Mutex<Option<Listing>>,
}

impl OrionClient {
    pub fn new(process: Process) -> Self {
        Self {
            limiter: Limiter::new(process.world.limit()),
            process,
            endpoint: Endpoint::new("https://orion.example.com", "/v1alpha").unwrap(),
            known: Mutex::default(),
            has_told_epoch: AtomicBool::new(false),
            last_list: Mutex::default(),
        }
    }

    fn world(&self) -> &Arc<World> {
        &self.process.world
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.world().mutant == Some(mutant)
    }

    /// A call that waits for its turn.
    async fn call<T: Send + 'static>(
        &self,
        text: String,
        is_effect: bool,
        act: impl FnOnce(&World, &mut OrionState) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let _slot = self.limiter.turn().await?;
        self.call_now(text, is_effect, act).await
    }

    async fn call_now<T: Send + 'static>(
        &self,
        text: String,
        is_effect: bool,
        act: impl FnOnce(&World, &mut OrionState) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let text = format!("{} {text}", self.process.number);
        let call = Call { of_orion: true, is_effect, is_event: false, is_watch: false, text };
        let world = Arc::clone(self.world());
        let act = async move {
            let mut state = world.orion();
            state.calls.push(Instant::now());
            if state.is_down { Err(failure(Answer::Unsent)) } else { act(&world, &mut state) }
        };
        let result = self.process.pass(call, TIMEOUT, act, |answer| Err(failure(answer))).await;
        self.limiter.note(&result);
        match result {
            Err(mut failure) if self.is(Mutant::TimeoutIsRefusal) && failure.class == FailureClass::Timeout => {
                failure.sent = Sent::No;
                Err(failure)
            }
            result => result,
        }
    }

    fn learn(&self, support: impl FnOnce(&mut Capabilities) -> &mut Support, has: bool) {
        *support(&mut self.known.lock().unwrap()) = if has { Support::Proven } else { Support::Absent };
    }

    async fn post(&self, desired: &Desired, token: &str) -> Result<String, Failure> {
        let mut kept = kept(desired);
        if self.is(Mutant::NoMarker) {
            kept.owner = None;
        }
        let owner = desired.owner.as_ref().map(|owner| owner.as_str().to_owned()).unwrap_or_default();
        let attempt = format!("{token} of {owner}");
        let _slot = self.limiter.slot_if_free()?;
        self.world().posting(token, &owner);
        let result = self
            .call_now(format!("POST {owner}"), true, move |world, state| {
                state.created += 1;
                let id = world.new_id(&owner);
                state.webhooks.insert(id.clone(), Kept { since: Instant::now(), ..kept });
                world.created(state, &id);
                Ok(id)
            })
            .await;
        if result.as_ref().is_err_and(Failure::is_known_refusal) {
            self.world().orion().posts.insert(attempt, true);
        }
        result
    }
}

#[async_trait]
impl Orion for OrionClient {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn capabilities(&self) -> Capabilities {
        *self.known.lock().unwrap()
    }

    async fn discover(&self) -> Result<(), Failure> {
        let features = self.call("GET /openapi.json".into(), false, |_, state| Ok(state.features)).await;
        match features {
            Ok(features) if features.openapi => {
                self.learn(|known| &mut known.list, features.list);
                self.learn(|known| &mut known.get, features.get);
                self.learn(|known| &mut known.put, features.update);
                self.learn(|known| &mut known.patch, false);
                self.learn(|known| &mut known.delete, features.delete);
                Ok(())
            }
            Err(failure) if failure.is_of_the_connection() => Err(failure),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn prepare(&self) -> Result<(), Failure> {
        self.limiter.permit_for_later().await
    }

    async fn create(&self, desired: &Desired, token: &str) -> Result<String, Failure> {
        match self.post(desired, token).await {
            Err(_) if self.is(Mutant::PostIsRetried) => self.post(desired, token).await,
            result => result,
        }
    }

    async fn list(&self) -> Result<Listing, Failure> {
        let result = self
            .call("LIST".into(), false, |_, state| if state.features.list { Ok(state.list()) } else { Err(no_route()) })
            .await;
        let result = match result {
            Err(failure) if failure.message == FLAWED => {
                let flaw = Some("it ends before its total".to_owned());
                let flaw = flaw.filter(|_| !self.is(Mutant::FlawIsHidden));
                Ok(Listing { webhooks: Vec::new(), flaw })
            }
            result => result,
        };
        match &result {
            Ok(_) => self.learn(|known| &mut known.list, true),
            Err(failure) if failure == &no_route() => self.learn(|known| &mut known.list, false),
            Err(_) => {}
        }
        if self.is(Mutant::ListIsOld)
            && let Ok(listing) = &result
        {
            return Ok(self.last_list.lock().unwrap().replace(listing.clone()).unwrap_or_else(|| listing.clone()));
        }
        result
    }

    async fn get(&self, id: &str) -> Result<RemoteWebhook, Failure> {
        let asked = id.to_owned();
        let result = self
            .call(format!("GET {id}"), false, move |_, state| {
                if !state.features.get {
                    return Err(no_route());
                }
                state.shown(&asked).ok_or_else(gone)
            })
            .await;
        match &result {
            Ok(_) => self.learn(|known| &mut known.get, true),
            Err(failure) if failure == &no_route() => self.learn(|known| &mut known.get, false),
            Err(_) => {}
        }
        result
    }

    async fn update(&self, id: &str, desired: &Desired) -> Result<(), Failure> {
        let (asked, mut kept) = (id.to_owned(), kept(desired));
        if self.is(Mutant::UpdateDropsMarker) {
            kept.owner = None;
        }
        let result = self
            .call(format!("PUT {id}"), true, move |world, state| {
                if !state.features.update {
                    return Err(no_route());
                }
                world.updating(state, &asked, &kept);
                let there = state.webhooks.get_mut(&asked).ok_or_else(gone)?;
                let since = there.since;
                *there = Kept { since, ..kept };
                Ok(())
            })
            .await;
        match &result {
            Ok(()) => self.learn(|known| &mut known.put, true),
            Err(failure) if failure == &no_route() => {
                self.learn(|known| &mut known.put, false);
                self.learn(|known| &mut known.patch, false);
            }
            Err(_) => {}
        }
        result
    }

    async fn delete(&self, id: &str) -> Result<(), Failure> {
        if self.is(Mutant::ReleasedFirst) {
            self.world().release(id);
        }
        let asked = id.to_owned();
        let result = self
            .call(format!("DELETE {id}"), true, move |world, state| {
                if !state.features.delete {
                    return Err(no_route());
                }
                world.deleting(&asked);
                state.webhooks.remove(&asked).map(|_| ()).ok_or_else(gone)
            })
            .await;
        match &result {
            Ok(()) => self.learn(|known| &mut known.delete, true),
            Err(failure) if failure == &no_route() => self.learn(|known| &mut known.delete, false),
            Err(_) if self.is(Mutant::DeleteNeverFails) => return Ok(()),
            Err(_) => {}
        }
        result
    }

    async fn credentials_epoch(&self) -> u64 {
        // They do not change here: waiting for it costs nothing.
        if self.has_told_epoch.swap(true, Ordering::Relaxed) {
            pending().await
        }
        0
    }
}

const FLAWED: &str = "flawed";

fn failure(answer: Answer) -> Failure {
    let lost = |class, sent| Failure {
        class,
        status: None,
        sent,
        json: false,
        retry_after: None,
        message: "Orion did not answer".into(),
    };
    match answer {
        Answer::Hang => lost(FailureClass::Timeout, Sent::Maybe),
        Answer::Unsent => lost(FailureClass::Unreachable, Sent::No),
        Answer::Reset => lost(FailureClass::Unreachable, Sent::Maybe),
        Answer::Status(code) => answered(code),
        Answer::Wait(seconds) => Failure { retry_after: Some(Duration::from_secs(seconds)), ..answered(429) },
        Answer::Garbage => Failure { message: "Orion's answer is not JSON".into(), ..answered(200) },
        Answer::Flawed => Failure { message: FLAWED.into(), ..answered(500) },
    }
}

fn answered(code: u16) -> Failure {
    let class = match code {
        200 => FailureClass::Protocol,
        300..=399 => FailureClass::Redirect,
        401 => FailureClass::Unauthorized,
        403 => FailureClass::Forbidden,
        404 => FailureClass::NotFound,
        405 => FailureClass::MethodNotAllowed,
        409 => FailureClass::Conflict,
        429 => FailureClass::RateLimited,
        500.. => FailureClass::ServerError,
        _ => FailureClass::Rejected,
    };
    let message = format!("Orion answered {code}");
    Failure { class, status: Some(code), sent: Sent::Maybe, json: false, retry_after: None, message }
}

/// Orion does not have the id that was asked for.
fn gone() -> Failure {
    Failure { json: true, ..answered(404) }
}

/// There is no such route.
fn no_route() -> Failure {
    answered(405)
}
