//! One HTTP request and its answer.
//!
//! Nothing repeats a request here: redirects are not followed and reqwest's retries are off. What is left is hyper-util's
//! own repetition on a kept-alive connection that turned out to be closed. It happens only where hyper gives the
//! request back, and hyper does so only for a request that its connection task never began to write (`TrySendError`
//! with a `message`): no byte of it was sent.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::dns::Resolve;
use reqwest::{Certificate, Client};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::classify::{Asked, Unusable, served, stepped_down, unsendable};
use super::oversight::Oversight;
use super::punctual::Punctual;
use super::reach::{PublicResolver, Reach, SystemResolver};
use crate::api::{Endpoint, Failure, FailureClass};
use crate::boot::boot_time;
use crate::metrics::OrionCall;

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// The longest time to connect: name, TCP and TLS.
const MAX_CONNECT: Duration = Duration::from_secs(5);
/// Idle connections are closed by us after this. uvicorn, the usual server of a FastAPI application, does so after 5 s:
/// being first keeps a POST from meeting a connection that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// Sent with a create, for an Orion that knows it.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Why no client can be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The CA bundle holds no certificate, or one that cannot be read.
    #[error("the CA bundle cannot be used: it must hold certificates in PEM")]
    Ca,
    /// The endpoint and the path of the webhooks make no URL.
    #[error("the URL and the path prefix make no URL together")]
    Endpoint,
    /// The path of the login is none.
    #[error("the login path must start with one slash and hold no ?, # or backslash")]
    LoginPath,
    /// It would be http.
    #[error("the connection must use https: only with --allow-insecure-connections may it use http")]
    NotHttps,
    /// The host is an address that is not public.
    #[error(
        "the connection's host is an address that is not public: only with --allow-insecure-connections may it be used"
    )]
    NotPublic,
    /// The TLS set-up failed: there are no roots to trust, most often.
    #[error("no HTTP client can be made: the platform has no trusted certificates and no CA is given")]
    Client,
}

impl ConfigError {
    /// The address is not allowed: `InsecureConnection`.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        match self {
            Self::NotHttps | Self::NotPublic => true,
            Self::Ca | Self::Endpoint | Self::LoginPath | Self::Client => false,
        }
    }
}

/// One request, without credentials.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// What it is for.
    pub(super) operation: OrionCall,
    /// The method.
    pub(super) method: Method,
    /// The address.
    pub(super) url: Url,
    /// The body, which may hold secrets.
    pub(super) body: Option<Body>,
    /// The value of `Idempotency-Key`.
    pub(super) idempotency_key: Option<HeaderValue>,
}

/// A request body, hidden from `Debug`.
#[derive(Clone)]
pub(super) struct Body {
    bytes: Bytes,
    kind: HeaderValue,
}

impl Body {
    /// A body of JSON.
    pub(super) fn json(bytes: Bytes) -> Self {
        Self { bytes, kind: HeaderValue::from_static("application/json") }
    }

    /// A body that is a form.
    pub(super) fn form(bytes: Bytes) -> Self {
        Self { bytes, kind: HeaderValue::from_static("application/x-www-form-urlencoded") }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body([REDACTED])")
    }
}

/// A 2xx answer. Its body may hold header values and is zeroized when dropped.
pub(super) struct Answer {
    status: StatusCode,
    body: Zeroizing<Vec<u8>>,
    method: Method,
    host: String,
    served: Option<SystemTime>,
}

impl Answer {
    /// The body as what is expected of it, without a tree of all that it holds. `None` if it is something else.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Size of the body, in bytes.
    pub(super) fn size(&self) -> usize {
        self.body.len()
    }

    /// When the answer was made, by the clock of who made it (`Date`).
    pub(super) fn served(&self) -> Option<SystemTime> {
        self.served
    }

    /// The body as JSON; `Null` for no body at all.
    ///
    /// # Errors
    /// The body is something else.
    pub(super) fn json(&self) -> Result<Value, Failure> {
        if self.body.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|_| self.unusable(Unusable::NotJson))
    }

    /// The failure of this answer.
    pub(super) fn unusable(&self, why: Unusable) -> Failure {
        Asked { host: &self.host, method: &self.method }.unusable(self.status, why)
    }
}

/// An HTTP client for one endpoint.
pub(super) struct Transport {
    client: Client,
    host: String,
    timeout: Duration,
    oversight: Oversight,
}

impl Transport {
    /// A client for `endpoint`.
    pub(super) fn new(
        endpoint: &Endpoint,
        timeout: Duration,
        ca_pem: Option<&[u8]>,
        system_proxy: bool,
        reach: Reach,
    ) -> Result<Self, ConfigError> {
        Self::resolving(endpoint, timeout, ca_pem, system_proxy, reach, Arc::new(SystemResolver))
    }

    /// The same; where names must lead to public addresses they are looked up with `resolver`.
    fn resolving(
        endpoint: &Endpoint,
        timeout: Duration,
        ca_pem: Option<&[u8]>,
        system_proxy: bool,
        reach: Reach,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, ConfigError> {
        reach.check(endpoint)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let mut builder = Client::builder()
            .user_agent(concat!("orion-operator/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            // Less than the whole: where both end together, nobody could tell that nothing was sent.
            .connect_timeout(MAX_CONNECT.min(timeout.mul_f64(0.75)))
            .timeout(timeout)
            .pool_idle_timeout(POOL_IDLE);
        // What the kernel has taken it sends again for a quarter of an hour otherwise, whoever waits for the answer.
        #[cfg(target_os = "linux")]
        {
            builder = builder.tcp_user_timeout(timeout);
        }
        // A proxy would look the name up itself, and connect to what it likes.
        let system_proxy = system_proxy && reach == Reach::Anywhere;
        if !system_proxy {
            builder = builder.no_proxy();
        }
        if reach == Reach::PublicOnly {
            builder = builder.dns_resolver(Arc::new(PublicResolver(resolver)));
        }
        let certificates = ca_pem.map(certificates).transpose()?;
        if let Some(certificates) = &certificates {
            builder = builder.tls_certs_merge(certificates.iter().cloned());
        } else if endpoint.as_str().starts_with("http://") && !system_proxy {
            // No TLS anywhere: works on a platform without trusted certificates.
            builder = builder.tls_certs_only([]);
        }
        let problem = if certificates.is_some() { ConfigError::Ca } else { ConfigError::Client };
        let client = builder.build().map_err(|_| problem)?;
        Ok(Self { client, host: endpoint.host(), timeout, oversight: Oversight::default() })
    }

    /// The same, with its calls overseen.
    pub(super) fn overseen(self, oversight: Oversight) -> Self {
        Self { oversight, ..self }
    }

    /// The host, for messages.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Sends `call` once, with `token` if there is one, and reads the answer.
    ///
    /// # Errors
    /// Anything but a 2xx with a complete body of at most 1 MiB.
    pub(super) async fn send(&self, call: Call, token: Option<&SecretString>) -> Result<Answer, Failure> {
        self.send_since(boot_time(), call, token).await
    }

    /// The same for a call that began at `since` on the boot-time clock: if it has a body, nothing of it is sent once its
    /// time-out has passed since then.
    pub(super) async fn send_since(
        &self,
        since: Duration,
        call: Call,
        token: Option<&SecretString>,
    ) -> Result<Answer, Failure> {
        let begun = Instant::now();
        let operation = call.operation;
        let result = self.exchange(call, token, since + self.timeout).await;
        let (status, class) = match &result {
            Ok(answer) => (Some(answer.status.as_u16()), None),
            Err(failure) => (failure.status, Some(failure.class)),
        };
        let time = begun.elapsed();
        self.oversight.calls.ended(operation, class, time);
        tracing::debug!(
            operation = operation.as_str(),
            host = %self.host,
            status,
            failure = class.map(FailureClass::as_str),
            milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            "called Orion"
        );
        result
    }

    async fn exchange(&self, call: Call, token: Option<&SecretString>, until: Duration) -> Result<Answer, Failure> {
        if call.method != Method::GET && !self.oversight.fence.allows(boot_time()) {
            return Err(stepped_down());
        }
        let mut request = self.client.request(call.method.clone(), call.url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, authorization(token)?);
        }
        if let Some(key) = call.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(Body { bytes, kind }) = call.body {
            let body = reqwest::Body::wrap(Punctual::new(bytes, until, self.oversight.fence.clone()));
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        let asked = Asked { host: &self.host, method: &call.method };
        let response = request.send().await.map_err(|error| asked.no_answer(&error))?;
        let status = response.status();
        let headers = response.headers().clone();
        if let Some(witness) = &self.oversight.witness {
            witness.answered(status, &headers);
        }
        let body = read(response).await;
        if !status.is_success() {
            // The status says it all; a body that cannot be read just tells nothing more.
            return Err(asked.refused(status, &headers, &body.unwrap_or_default()));
        }
        let body = body.map_err(|problem| match problem {
            Unread::TooLarge => asked.unusable(status, Unusable::TooLarge),
            Unread::CutOff => asked.unusable(status, Unusable::CutOff),
            Unread::TooSlow => asked.unfinished(status),
        })?;
        let served = served(&headers);
        Ok(Answer { status, body, method: call.method, host: self.host.clone(), served })
    }
}

enum Unread {
    TooLarge,
    CutOff,
    TooSlow,
}

async fn read(mut response: reqwest::Response) -> Result<Zeroizing<Vec<u8>>, Unread> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut body = Zeroizing::new(Vec::with_capacity(announced.min(MAX_BODY)));
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_BODY => return Err(Unread::TooLarge),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) if error.is_timeout() => return Err(Unread::TooSlow),
            Err(_) => return Err(Unread::CutOff),
        }
    }
}

fn authorization(token: &SecretString) -> Result<HeaderValue, Failure> {
    let text = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
    let mut value =
        HeaderValue::from_str(&text).map_err(|_| unsendable("the token holds characters that no header may have"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, ConfigError> {
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ConfigError::Ca),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use reqwest::dns::{Addrs, Name, Resolving};

    use super::*;
    use crate::api::Sent;

    #[test]
    fn a_ca_that_is_none_is_refused() {
        let endpoint = Endpoint::new("https://acme.example.com", "/v1alpha").unwrap();
        for pem in [
            "",
            "no pem",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        ] {
            let made = Transport::new(&endpoint, Duration::from_secs(1), Some(pem.as_bytes()), false, Reach::Anywhere);
            assert!(matches!(made, Err(ConfigError::Ca)), "{pem}");
        }
    }

    #[test]
    fn a_token_is_sensitive_and_hidden() {
        let value = authorization(&SecretString::from("t0ken")).unwrap();
        assert!(value.is_sensitive() && !format!("{value:?}").contains("t0ken"));
        assert!(authorization(&SecretString::from("t0\nken")).is_err());
        for body in [Body::json(Bytes::from_static(b"s3cret")), Body::form(Bytes::from_static(b"s3cret"))] {
            assert!(!format!("{body:?}").contains("s3cret"));
        }
    }

    /// Leads every name to these addresses.
    struct Leading(&'static [&'static str]);

    impl Resolve for Leading {
        fn resolve(&self, _: Name) -> Resolving {
            let addresses: Vec<SocketAddr> =
                self.0.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
            Box::pin(async move { Ok(Box::new(addresses.into_iter()) as Addrs) })
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_before_anything_is_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://orion.example.com:{}", listener.local_addr().unwrap().port());
        let endpoint = Endpoint::new(&base, "/v1alpha").unwrap();
        for (addresses, class) in [
            (&["127.0.0.1"][..], FailureClass::Insecure),
            (&["10.96.0.1"], FailureClass::Insecure),
            (&["93.184.215.14", "127.0.0.1"], FailureClass::Insecure),
            (&["::ffff:127.0.0.1"], FailureClass::Insecure),
            (&[], FailureClass::Unreachable),
        ] {
            let resolver = Arc::new(Leading(addresses));
            let transport =
                Transport::resolving(&endpoint, Duration::from_secs(2), None, false, Reach::PublicOnly, resolver)
                    .unwrap();
            let call = Call {
                operation: OrionCall::Get,
                method: Method::GET,
                url: Url::parse(&base).unwrap(),
                body: None,
                idempotency_key: None,
            };
            let failure = transport.send(call, None).await.err().unwrap();
            assert_eq!((failure.class, failure.sent), (class, Sent::No), "{addresses:?} {failure:?}");
            assert!(!addresses.iter().any(|address| failure.message.contains(address)), "{failure:?}");
        }
        let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(accepted.is_err(), "nobody connected");
    }
}
