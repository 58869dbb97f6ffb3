//! [`Orion`] over HTTP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;
use tokio::sync::OnceCell;
use url::Url;

use super::capabilities::{self, Known, Operation};
use super::classify::{Unusable, unsendable};
use super::credentials::{Credentials, Source, same};
use super::limit::{Limiter, RateLimit};
use super::login::{Login, login_url};
use super::oversight::Oversight;
use super::paging::{LIMIT, LIST_AT_MOST, Memory, Next, Pager};
use super::reach::Reach;
use super::session::Session;
use super::transport::{Answer, Body, Call, ConfigError, Transport};
use super::wire;
use super::{Listing, Orion};
use crate::api::{Capabilities, Desired, Endpoint, Failure, FailureClass, RemoteWebhook, Support};
use crate::boot::boot_time;
use crate::metrics::OrionCall;

/// All but the unreserved characters of RFC 3986 is encoded in an id.
const ID: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What one connection to Orion is made of.
#[derive(Clone)]
pub struct ConnectionConfig {
    /// The API base.
    pub endpoint: Endpoint,
    /// The longest time for one request, from its start to the end of the answer's body. Connecting takes at most 5 s.
    pub timeout: Duration,
    /// A CA bundle in PEM, trusted besides the platform's.
    pub ca_pem: Option<Vec<u8>>,
    /// How often Orion may be called; `None` for no limit.
    pub rate_limit: Option<RateLimit>,
    /// Where a person gives the token, or the username and password to log in with.
    pub auth: Arc<dyn Source>,
    /// The path of the login, from the root of the host; `<prefix>/auth/login` if `None`.
    pub login_path: Option<String>,
    /// The scopes to ask for at the login.
    pub scopes: Vec<String>,
    /// Which addresses may be connected to.
    pub reach: Reach,
    /// A list of more bytes than this is given up.
    pub list_at_most: usize,
    /// Whether the proxies of the environment (`HTTPS_PROXY` and so on) are used: for the admin's connections only.
    pub system_proxy: bool,
    /// Over its calls.
    pub oversight: Oversight,
}

impl ConnectionConfig {
    /// A connection with the defaults: 10 s, 20 requests per second with a burst of 40, the usual login path, no scopes,
    /// any address, the proxies of the environment, no end of its time.
    #[must_use]
    pub fn new(endpoint: Endpoint, auth: Arc<dyn Source>) -> Self {
        Self {
            endpoint,
            timeout: Duration::from_secs(10),
            ca_pem: None,
            rate_limit: Some(RateLimit::default()),
            auth,
            login_path: None,
            scopes: Vec::new(),
            reach: Reach::Anywhere,
            list_at_most: LIST_AT_MOST,
            system_proxy: true,
            oversight: Oversight::default(),
        }
    }
}

/// One Orion, called over HTTP.
pub struct HttpOrion {
    endpoint: Endpoint,
    /// `<base>/webhooks/`.
    collection: Url,
    transport: Arc<Transport>,
    limiter: Arc<Limiter>,
    credentials: Arc<dyn Credentials>,
    known: Known,
    list_at_most: usize,
    discovered: OnceCell<()>,
    paging: Mutex<Memory>,
    create_token: Mutex<CreateToken>,
}

/// The credentials of creates, which must not wait for any. `Some(None)` is "called without a token".
#[derive(Default)]
struct CreateToken {
    /// What the last [`Orion::prepare`] loaded.
    loaded: Option<Option<SecretString>>,
    /// What Orion refused since then.
    refused: Option<Option<SecretString>>,
}

impl HttpOrion {
    /// Makes a client. Calls nothing.
    ///
    /// # Errors
    /// The CA bundle cannot be used, there is no certificate to trust, or the address is not allowed.
    pub fn new(config: ConnectionConfig) -> Result<Self, ConfigError> {
        let ConnectionConfig {
            endpoint,
            timeout,
            ca_pem,
            rate_limit,
            auth,
            login_path,
            scopes,
            reach,
            list_at_most,
            system_proxy,
            oversight,
        } = config;
        let collection = Url::parse(&format!("{endpoint}/webhooks/")).map_err(|_| ConfigError::Endpoint)?;
        let login_url = login_url(&endpoint, login_path.as_deref())?;
        let transport = Transport::new(&endpoint, timeout, ca_pem.as_deref(), system_proxy, reach)?;
        let transport = Arc::new(transport.overseen(oversight));
        let limiter = Arc::new(Limiter::new(rate_limit));
        let login = Login {
            transport: Arc::clone(&transport),
            limiter: Arc::clone(&limiter),
            url: login_url,
            scopes: scopes.join(" "),
        };
        Ok(Self {
            endpoint,
            collection,
            transport,
            limiter,
            credentials: Arc::new(Session::new(auth, login)),
            known: Known::default(),
            list_at_most,
            discovered: OnceCell::new(),
            paging: Mutex::default(),
            create_token: Mutex::default(),
        })
    }

    /// Where `/openapi.json` has no webhooks under the endpoint's prefix: the prefix under which it has some.
    #[must_use]
    pub fn prefix_in_document(&self) -> Option<String> {
        self.known.elsewhere()
    }

    /// Sends a call, and once more if it was answered with a 401 and there is another token by now.
    async fn call(&self, call: Call) -> Result<Answer, Failure> {
        let token = self.credentials.bearer().await?;
        let outcome = self.send(call.clone(), token.as_ref()).await;
        match &outcome {
            Err(failure) if failure.class == FailureClass::Unauthorized => {}
            _ => return outcome,
        }
        let fresh = self.credentials.renew(token.as_ref()).await?;
        let changed = match (&token, &fresh) {
            (Some(refused), Some(fresh)) => !same(refused, fresh),
            (refused, fresh) => refused.is_some() != fresh.is_some(),
        };
        if !changed {
            return outcome;
        }
        self.send(call, fresh.as_ref()).await
    }

    /// Sends a call when it is its turn.
    async fn send(&self, call: Call, token: Option<&SecretString>) -> Result<Answer, Failure> {
        let _turn = self.limiter.turn().await?;
        let outcome = self.transport.send(call, token).await;
        self.limiter.note(&outcome);
        self.accepted(token, &outcome);
        outcome
    }

    /// Any success shows that the token is good.
    fn accepted(&self, token: Option<&SecretString>, outcome: &Result<Answer, Failure>) {
        if let (Some(token), Ok(_)) = (token, outcome) {
            self.credentials.accepted(token);
        }
    }

    fn item(&self, operation: OrionCall, method: Method, id: &str) -> Result<Call, Failure> {
        let url = Some(id)
            .filter(|id| wire::usable_id(id))
            .and_then(|id| self.collection.join(&utf8_percent_encode(id, ID).to_string()).ok())
            .ok_or_else(|| unsendable("the webhook id cannot be part of a URL"))?;
        Ok(Call { operation, method, url, body: None, idempotency_key: None })
    }

    async fn page(&self, limit: Option<usize>, offset: usize) -> Result<wire::Page, Failure> {
        let mut url = self.collection.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(limit) = limit {
                query.append_pair("limit", &limit.to_string());
            }
            query.append_pair("offset", &offset.to_string());
        }
        let call = Call { operation: OrionCall::List, method: Method::GET, url, body: None, idempotency_key: None };
        let outcome = async {
            let answer = self.call(call).await?;
            let page = wire::page(answer.json()?).ok_or_else(|| answer.unusable(Unusable::NotAList))?;
            Ok(wire::Page { bytes: answer.size(), ..page })
        }
        .await;
        self.known.learn(Operation::List, &outcome);
        outcome
    }

    async fn read_list(&self, memory: &mut Memory) -> Result<Listing, Failure> {
        let mut pager = Pager::new(self.list_at_most);
        loop {
            let limit = (!memory.refuses_limit).then_some(LIMIT);
            let page = match self.page(limit, pager.offset()).await {
                Err(failure) if limit.is_some() && matches!(failure.status, Some(400 | 422)) => {
                    memory.refuses_limit = true;
                    self.page(None, pager.offset()).await?
                }
                outcome => outcome?,
            };
            match pager.take(page, memory) {
                Next::Page => {}
                Next::Done => return Ok(pager.finish()),
                Next::Probe => {
                    let shown = self.page(Some(1), 0).await?.webhooks.len();
                    pager.probed(shown, memory);
                    return Ok(pager.finish());
                }
            }
        }
    }

    async fn write(&self, method: Method, id: &str, body: &Body) -> Result<(), Failure> {
        let operation = if method == Method::PUT { Operation::Put } else { Operation::Patch };
        let call = Call { body: Some(body.clone()), ..self.item(OrionCall::Update, method, id)? };
        let outcome = async { self.call(call).await?.json().map(drop) }.await;
        self.known.learn(operation, &outcome);
        outcome
    }

    async fn read_document(&self) -> Result<(), Failure> {
        let base = self.endpoint.as_str();
        let origin = self.endpoint.origin();
        let prefix = base.strip_prefix(&origin).unwrap_or_default();
        let fronts: &[&str] = if prefix.is_empty() { &[base] } else { &[&origin, base] };
        // Without a token it is asked all the same: the document is public as a rule, and a missing token is told by
        // the calls that need it.
        let token = self.credentials.bearer().await.ok().flatten();
        for front in fronts {
            let Ok(url) = Url::parse(&format!("{front}/openapi.json")) else {
                continue;
            };
            let call =
                Call { operation: OrionCall::OpenApi, method: Method::GET, url, body: None, idempotency_key: None };
            let outcome = {
                let _turn = self.limiter.turn().await?;
                self.transport.send(call, token.as_ref()).await
            };
            self.limiter.note(&outcome);
            match outcome {
                Ok(answer) => {
                    let Ok(document) = answer.json() else { continue };
                    if let Some(said) = capabilities::read(&document, prefix) {
                        self.known.document(said);
                        break;
                    }
                    self.known.set_elsewhere(capabilities::prefix_of(&document));
                }
                // A gateway without its Orion is an Orion that cannot be reached.
                Err(failure) if failure.is_of_the_connection() || matches!(failure.status, Some(502..=504)) => {
                    return Err(failure);
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Orion for HttpOrion {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn capabilities(&self) -> Capabilities {
        self.known.now()
    }

    async fn discover(&self) -> Result<(), Failure> {
        self.discovered.get_or_try_init(|| self.read_document()).await.copied()
    }

    async fn prepare(&self) -> Result<(), Failure> {
        let refused = lock(&self.create_token).refused.clone();
        let token = match &refused {
            Some(refused) => self.credentials.renew(refused.as_ref()).await?,
            None => self.credentials.bearer().await?,
        };
        *lock(&self.create_token) = CreateToken { loaded: Some(token), refused: None };
        self.limiter.permit_for_later().await
    }

    async fn create(&self, desired: &Desired, token: &str) -> Result<String, Failure> {
        // First of all: the caller has just looked at the clock, and a process may be stopped at any place.
        let since = boot_time();
        let idempotency_key =
            HeaderValue::from_str(token).map_err(|_| unsendable("the attempt token cannot be a header"))?;
        let call = Call {
            operation: OrionCall::Create,
            method: Method::POST,
            url: self.collection.clone(),
            body: Some(body(desired)?),
            idempotency_key: Some(idempotency_key),
        };
        let loaded = lock(&self.create_token).loaded.clone();
        let bearer = match loaded {
            Some(bearer) => bearer,
            None => self.credentials.bearer().await?,
        };
        let outcome = {
            let _slot = self.limiter.slot_if_free()?;
            self.transport.send_since(since, call, bearer.as_ref()).await
        };
        self.limiter.note(&outcome);
        self.accepted(bearer.as_ref(), &outcome);
        if matches!(&outcome, Err(failure) if failure.class == FailureClass::Unauthorized) {
            // What is loaded stays: it may be newer by now, and a create that is prepared must not have to log in.
            lock(&self.create_token).refused = Some(bearer);
        }
        let answer = outcome?;
        wire::created_id(&answer.json()?).ok_or_else(|| answer.unusable(Unusable::NoId))
    }

    async fn list(&self) -> Result<Listing, Failure> {
        let mut memory = *lock(&self.paging);
        let outcome = self.read_list(&mut memory).await;
        // What a list that failed seemed to show is not remembered.
        if outcome.is_ok() {
            *lock(&self.paging) = memory;
        }
        outcome
    }

    async fn get(&self, id: &str) -> Result<RemoteWebhook, Failure> {
        let call = self.item(OrionCall::Get, Method::GET, id)?;
        let outcome = async {
            let answer = self.call(call).await?;
            match wire::webhook(answer.json()?) {
                Some(shown) if shown.is_webhook && (shown.webhook.id.is_empty() || shown.webhook.id == id) => {
                    Ok(RemoteWebhook { id: id.to_owned(), ..shown.webhook })
                }
                _ => Err(answer.unusable(Unusable::NotTheWebhook)),
            }
        }
        .await;
        self.known.learn(Operation::Get, &outcome);
        outcome
    }

    /// A 405 or 501 says that a verb is not there. A 404 says so too, or that the id is gone; it is believed of the id
    /// only where the verb is proven. Where PUT is not, PATCH decides:
    ///
    /// - PATCH works: the webhook is there, so there is no PUT;
    /// - PATCH is a 405: the path is there, so the 404 of PUT spoke of the id;
    /// - PATCH is a 404: nobody can tell, and `NotFound` it is. The caller asks GET before it calls an id gone.
    async fn update(&self, id: &str, desired: &Desired) -> Result<(), Failure> {
        let body = body(desired)?;
        let (put, patch) = (self.known.support(Operation::Put), self.known.support(Operation::Patch));
        if put == Support::Absent && patch != Support::Absent {
            return self.write(Method::PATCH, id, &body).await;
        }
        // If both are absent PUT is tried all the same: Orion may have got it since, and the update is wanted.
        let refused = match self.write(Method::PUT, id, &body).await {
            Err(failure) if failure.class == FailureClass::MethodNotAllowed => failure,
            Err(failure) if failure.class == FailureClass::NotFound && put != Support::Proven => failure,
            outcome => return outcome,
        };
        if patch == Support::Absent {
            let class = if put == Support::Absent { FailureClass::MethodNotAllowed } else { refused.class };
            return Err(Failure { class, ..refused });
        }
        match self.write(Method::PATCH, id, &body).await {
            Ok(()) => {
                self.known.set(Operation::Put, Support::Absent);
                Ok(())
            }
            Err(failure) if failure.class == FailureClass::MethodNotAllowed => Err(refused),
            outcome => outcome,
        }
    }

    async fn delete(&self, id: &str) -> Result<(), Failure> {
        let call = self.item(OrionCall::Delete, Method::DELETE, id)?;
        let outcome = async { self.call(call).await?.json().map(drop) }.await;
        self.known.learn(Operation::Delete, &outcome);
        outcome
    }

    async fn credentials_epoch(&self) -> u64 {
        self.credentials.epoch().await
    }

    fn login_age(&self) -> Option<Duration> {
        self.credentials.login_age()
    }
}

fn body(desired: &Desired) -> Result<Body, Failure> {
    wire::body(desired).map(Body::json).map_err(|_| unsendable("it cannot be written as JSON"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
