//! What the tests of the client share: a client, a body, and a server that does as it is told with each connection.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orion_operator::api::{Desired, Endpoint, InstanceId};
use orion_operator::orion::{ConnectionConfig, Given, GivenCell, HttpOrion, NoCredentials, Source};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A header value that must never be seen anywhere.
pub(crate) const SECRET: &str = "canary-header-7d1f9c02b64e4a7f8835";
/// A bearer token that must never be seen anywhere.
pub(crate) const TOKEN: &str = "canary-token-51c2e8a90f7b4d6ba1e3";

pub(crate) fn config(base: &str) -> ConnectionConfig {
    ConnectionConfig {
        timeout: Duration::from_secs(5),
        rate_limit: None,
        system_proxy: false,
        oversight: orion_operator::orion::Oversight::default(),
        ..ConnectionConfig::new(Endpoint::new(base, "/v1alpha").unwrap(), Arc::new(NoCredentials))
    }
}

pub(crate) fn client(base: &str) -> HttpOrion {
    HttpOrion::new(config(base)).unwrap()
}

/// A client whose calls end after a short while.
pub(crate) fn hasty(base: &str) -> HttpOrion {
    HttpOrion::new(ConnectionConfig { timeout: Duration::from_millis(300), ..config(base) }).unwrap()
}

pub(crate) fn with(base: &str, auth: impl Source + 'static) -> HttpOrion {
    HttpOrion::new(ConnectionConfig { auth: Arc::new(auth), ..config(base) }).unwrap()
}

pub(crate) fn desired() -> Desired {
    Desired {
        url: "https://hooks.example.com/orion".into(),
        user_id: "user-42".into(),
        presence_name: "job-notifications".into(),
        headers: vec![("X-Webhook-Secret".into(), SecretString::from(SECRET))],
        owner: Some(InstanceId::new("test").owner("ns", "name")),
    }
}

/// Always the same token.
pub(crate) fn fixed(token: &str) -> GivenCell {
    GivenCell::new("the Secret of this test", Ok(Given::Token(token.into())))
}

/// A server over bare TCP. Every connection is given to the handler; requests are counted as they are read.
pub(crate) struct Raw {
    pub(crate) base: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

/// One connection of a [`Raw`] server.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    pub(crate) async fn new<F, R>(handler: F) -> Self
    where
        F: Fn(Connection) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (counted, seen) = (connections.clone(), requests.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(handler(Connection { stream, requests: seen.clone() }));
            }
        });
        Self { base, connections, requests, task }
    }

    /// A server that reads one request, answers with these bytes and closes the connection.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::new(move |mut connection| {
            let answer = answer.clone();
            async move {
                connection.request().await;
                connection.send(&answer).await;
            }
        })
        .await
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The request lines and headers that were read.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Reads one request with its body. `false` at the end of the connection.
    pub(crate) async fn request(&mut self) -> bool {
        let mut text = Vec::new();
        loop {
            let head = text.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(head) = head {
                let header = String::from_utf8_lossy(&text[..head]).to_string();
                let length = header
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
                if text.len() >= head + 4 + length.unwrap_or(0) {
                    self.requests.lock().unwrap().push(header);
                    return true;
                }
            }
            if self.stream.read_buf(&mut text).await.unwrap_or(0) == 0 {
                return false;
            }
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // The client may have gone: that is what some tests are about.
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Keeps the connection open without a word until the client closes it.
    pub(crate) async fn stall(mut self) {
        let mut rest = [0; 1024];
        while self.stream.read(&mut rest).await.unwrap_or(0) > 0 {}
    }
}

pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}
