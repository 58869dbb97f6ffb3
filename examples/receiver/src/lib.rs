//! A receiver of Orion's webhook deliveries, as Orion's documentation asks for: it checks the secret header, answers at
//! once, and does the work later, from a queue that cannot grow without end.

mod events;
mod http;
mod page;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

pub use self::events::Event;
use self::{events::Events, http::App};

/// How long requests that are already there, and then the queue, may take when the receiver stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How to receive.
#[derive(Clone)]
pub struct Config {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What `X-Webhook-Secret` must say.
    pub secret: String,
    /// How many deliveries may wait for their work; more are answered 503 (Orion tries again).
    pub queue: usize,
    /// How many events are remembered.
    pub remember: usize,
    /// The work on one event takes this long: nothing but a stand-in for work of your own.
    pub work: Duration,
    /// Print each event to standard output?
    pub print: bool,
}

impl Config {
    /// A receiver on a free port of 127.0.0.1.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            secret: secret.into(),
            queue: 100,
            remember: 200,
            work: Duration::ZERO,
            print: false,
        }
    }
}

/// A receiver that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    events: Arc<Events>,
    stopping: CancellationToken,
    server: JoinHandle<()>,
    worker: JoinHandle<()>,
}

impl Receiver {
    /// Opens the port and starts to receive.
    ///
    /// # Errors
    /// When the secret is empty, the queue holds nothing, or the address cannot be bound.
    pub async fn start(config: Config) -> io::Result<Self> {
        let invalid = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if config.secret.is_empty() {
            // It would let everybody in.
            return invalid("the secret is empty");
        }
        if config.queue == 0 || config.queue > tokio::sync::Semaphore::MAX_PERMITS {
            return invalid("the queue must have room for at least one event");
        }
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let events = Arc::new(Events::new(config.remember));
        let stopping = CancellationToken::new();
        let (queue, waiting) = mpsc::channel(config.queue);
        let worker = tokio::spawn(work(waiting, Arc::clone(&events), config.work, config.print));
        let router = http::router(App::new(config.secret, queue, Arc::clone(&events)));
        let stop = stopping.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            // It ends only when told to: accept errors are tried again inside.
            let _ = axum::serve(listener, router).with_graceful_shutdown(stop).await;
        });
        Ok(Self { address, events, stopping, server, worker })
    }

    /// Where deliveries are to be sent: `http://<address>/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What was received and worked on, newest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.newest_first()
    }

    /// Stops: no new deliveries, but those in the queue are still worked on, for a few seconds. Gives the events.
    pub async fn stop(mut self) -> Vec<Event> {
        self.stopping.cancel();
        // The queue closes with the server, and then the worker ends. Who takes too long is cut off by the drop.
        let _ = timeout(STOP_TIMEOUT, &mut self.server).await;
        self.server.abort();
        let _ = timeout(STOP_TIMEOUT, &mut self.worker).await;
        self.events()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
        self.worker.abort();
    }
}

/// Works through the queue. Put what you want done with an event here.
async fn work(mut waiting: mpsc::Receiver<Event>, events: Arc<Events>, takes: Duration, print: bool) {
    while let Some(event) = waiting.recv().await {
        tokio::time::sleep(takes).await;
        if print {
            println!("{} {}", event.received_at, event.payload);
        }
        events.push(event);
    }
}
