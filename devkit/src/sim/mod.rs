//! A simulated Orion: the API as far as it is known, switches for what is not, faults, and a page to watch it.
//!
//! [`Sim`] runs it inside a test; the binary `orion-sim` runs it by itself. Both have the admin API under `/_sim/`.

mod admin;
mod answer;
mod api;
mod config;
mod delivery;
mod fault;
mod openapi;
mod overview;
mod route;
mod server;
mod state;
mod tokens;
mod validate;
mod view;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{net::TcpSocket, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{api::App, state::Shared};
pub use self::{
    config::{Config, CreateAnswer, HeaderValues, IdFormat, ListShape, OpenApi, TokenFormat},
    fault::{Action, BodyKind, ErrorAnswer, Fault, Match, Operation, Pattern},
    state::{Answered, Delivery, Header, RequestRecord, StoredWebhook},
};

/// How long [`Sim::stop`] and [`Sim::restart`] try to get the port back from the system.
const PORT_TIMEOUT: Duration = Duration::from_secs(10);

/// A simulated Orion that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Sim {
    shared: Arc<Shared>,
    address: SocketAddr,
    port: Mutex<Port>,
}

/// The port is always ours: another program that got it would be talked to in our place.
#[derive(Debug)]
enum Port {
    Open {
        stopping: CancellationToken,
        server: JoinHandle<()>,
    },
    Closed(TcpSocket),
    /// Between the two, or after a failure to get the port back.
    Lost,
}

impl Sim {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is no port to be had.
    pub async fn start(config: Config) -> io::Result<Self> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), config).await
    }

    /// Starts on a given address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start_on(address: SocketAddr, config: Config) -> io::Result<Self> {
        let http = reqwest::Client::builder()
            // A receiver is often on this machine, and a redirect is not a 2xx.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .user_agent("orion-sim")
            .build()
            .map_err(io::Error::other)?;
        let shared = Arc::new(Shared::new(config, http));
        let socket = server::reserve(address)?;
        let address = socket.local_addr()?;
        let port = Mutex::new(open(&shared, socket)?);
        Ok(Self { shared, address, port })
    }

    /// Scheme, host and port: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// [`Self::url`] and the prefix: what a status calls the endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}{}", self.url(), self.shared.read(|state| state.config.base().to_owned()))
    }

    /// Closes the port and cuts all connections; connecting is refused from then on. The data stays.
    ///
    /// # Errors
    /// When the port cannot be kept reserved.
    pub async fn stop(&self) -> io::Result<()> {
        let Port::Open { stopping, server } = self.swap(Port::Lost) else {
            return Ok(());
        };
        stopping.cancel();
        // It ends by itself: an error would only say that it panicked.
        let _ = server.await;
        let socket = self.reserve().await?;
        self.swap(Port::Closed(socket));
        Ok(())
    }

    /// Opens the port again after [`Self::stop`], with the data kept.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn restart(&self) -> io::Result<()> {
        self.stop().await?;
        let socket = match self.swap(Port::Lost) {
            Port::Closed(socket) => socket,
            Port::Open { .. } | Port::Lost => self.reserve().await?,
        };
        self.swap(open(&self.shared, socket)?);
        Ok(())
    }

    /// Changes the switches.
    pub fn config(&self, change: impl FnOnce(&mut Config)) {
        self.shared.with(|state| change(&mut state.config));
    }

    /// Adds a fault.
    pub fn add_fault(&self, fault: Fault) {
        self.shared.with(|state| state.faults.push(fault));
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.shared.with(|state| state.faults.clear());
    }

    /// The faults that are still in force.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.shared.read(|state| state.faults.clone())
    }

    /// All webhooks, oldest first, with nothing masked.
    #[must_use]
    pub fn webhooks(&self) -> Vec<StoredWebhook> {
        self.shared.read(|state| state.webhooks.values().cloned().collect())
    }

    /// One webhook.
    #[must_use]
    pub fn webhook(&self, id: &str) -> Option<StoredWebhook> {
        self.shared.read(|state| state.webhooks.get(id).cloned())
    }

    /// Puts a webhook there behind the API's back; gives its id.
    pub fn insert(&self, webhook: StoredWebhook) -> String {
        self.shared.with(|state| state.insert(webhook))
    }

    /// Changes a webhook behind the API's back (its id stays); false if there is none.
    pub fn edit(&self, id: &str, change: impl FnOnce(&mut StoredWebhook)) -> bool {
        self.shared.with(|state| match state.webhooks.get_mut(id) {
            Some(webhook) => {
                change(webhook);
                id.clone_into(&mut webhook.id);
                true
            }
            None => false,
        })
    }

    /// Removes a webhook behind the API's back; gives it.
    pub fn remove(&self, id: &str) -> Option<StoredWebhook> {
        self.shared.with(|state| state.webhooks.shift_remove(id))
    }

    /// All requests to the API since the start or [`Self::clear_requests`].
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.read(|state| state.requests.iter().cloned().collect())
    }

    /// How often each operation was asked for.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Operation, u64> {
        self.shared.read(state::State::counts)
    }

    /// How often this operation was asked for.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.counts().get(&operation).copied().unwrap_or(0)
    }

    /// Forgets the requests.
    pub fn clear_requests(&self) {
        self.shared.with(|state| state.requests.clear());
    }

    /// Sends an event to every webhook of a presence name; gives every try.
    pub async fn send_event(&self, presence_name: &str, payload: Value) -> Vec<Delivery> {
        delivery::send(&self.shared, presence_name, &payload).await
    }

    /// Every try to deliver an event so far.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.read(|state| state.deliveries.iter().cloned().collect())
    }

    /// Gives a token out, without a login.
    #[must_use]
    pub fn issue_token(&self, lifetime: Duration) -> String {
        self.shared.with(|state| state.tokens.issue(&state.config, lifetime))
    }

    /// Ends all tokens, those of [`Config::static_tokens`] too.
    pub fn revoke_tokens(&self) {
        self.shared.with(|state| state.tokens.revoke_all(&state.config));
    }

    fn swap(&self, port: Port) -> Port {
        std::mem::replace(&mut *self.port.lock().unwrap_or_else(PoisonError::into_inner), port)
    }

    /// Gets the port back. The system may need a moment to let go of it.
    async fn reserve(&self) -> io::Result<TcpSocket> {
        let deadline = Instant::now() + PORT_TIMEOUT;
        loop {
            match server::reserve(self.address) {
                Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(10)).await,
                result => return result,
            }
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if let Port::Open { stopping, server } = self.swap(Port::Lost) {
            stopping.cancel();
            // Its connections end with it.
            server.abort();
        }
    }
}

/// Serves on a reserved port.
fn open(shared: &Arc<Shared>, socket: TcpSocket) -> io::Result<Port> {
    let listener = server::listen(socket)?;
    let stopping = CancellationToken::new();
    let router = admin::router(App { shared: Arc::clone(shared), stopping: stopping.clone() });
    let server = tokio::spawn(server::serve(listener, router, stopping.clone()));
    Ok(Port::Open { stopping, server })
}
