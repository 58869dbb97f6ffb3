//! A simulated apiserver, as far as the operator uses one: a tower service that `kube::Client` speaks to.
//!
//! The contract suite runs the same cases against this one and against a real kube-apiserver.

mod store;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::stream;
use http::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::store::{Key, Part, Refusal, Store, refuse};

pub const GROUP_VERSION: &str = "orion-operator.dev/v1alpha1";

/// How long a watch lags behind the truth: goes with a request, as an extension.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lag(pub Duration);

/// A simulated apiserver. Clones are the same one.
#[derive(Clone)]
pub struct ApiServer {
    store: Arc<Mutex<Store>>,
    news: watch::Sender<News>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct News {
    version: u64,
    /// Grows when all watches are closed.
    closed: u64,
}

/// A request in parts.
struct Call {
    method: Method,
    key: Key,
    part: Part,
    query: HashMap<String, String>,
    metadata_only: bool,
    merge: bool,
    lag: Duration,
    body: Bytes,
}

impl ApiServer {
    pub fn new() -> Self {
        Self { store: Arc::new(Mutex::new(Store::new())), news: watch::Sender::default() }
    }

    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    /// A client without anything in between.
    pub fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.serve(request).await) }
        });
        kube::Client::new(service, "default")
    }

    /// Changes something, and tells the watches.
    pub fn change<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store();
        let result = change(&mut store);
        let version = store.version;
        drop(store);
        self.news.send_if_modified(|news| std::mem::replace(&mut news.version, version) != version);
        result
    }

    /// Ends all watches; those that lag behind cannot resume.
    pub fn compact(&self) {
        let mut store = self.store();
        store.compacted = store.version;
        drop(store);
        self.close_watches();
    }

    pub fn close_watches(&self) {
        self.news.send_modify(|news| news.closed += 1);
    }

    pub async fn serve<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: axum::body::HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let (parts, body) = request.into_parts();
        let Ok(body) = axum::body::to_bytes(Body::new(body), usize::MAX).await else { return answer(400, json!({})) };
        let header = |name: http::HeaderName| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let query = parts.uri.query().unwrap_or_default();
        let Some((key, part)) = place(parts.uri.path()) else {
            return failed(&Refusal { code: 404, reason: "NotFound", message: "no such resource".into() });
        };
        let call = Call {
            method: parts.method.clone(),
            key,
            part,
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            metadata_only: header(http::header::ACCEPT).contains("as=PartialObjectMetadata"),
            merge: header(http::header::CONTENT_TYPE).contains("merge-patch"),
            lag: parts.extensions.get::<Lag>().copied().unwrap_or_default().0,
            body,
        };
        if call.query.get("watch").is_some_and(|watch| matches!(watch.as_str(), "1" | "true")) {
            return self.watch(call);
        }
        match self.object(&call) {
            Ok((code, value)) => answer(code, value),
            Err(refusal) => failed(&refusal),
        }
    }

    fn object(&self, call: &Call) -> Result<(u16, Value), Refusal> {
        let (plural, namespace, name) = &call.key;
        let key = &call.key;
        match call.method {
            Method::GET if name.is_empty() => {
                let store = self.store();
                let scope = Some(namespace.as_str()).filter(|namespace| !namespace.is_empty());
                let items: Vec<Value> = store.list(plural, scope).map(|object| call.shown(object)).collect();
                let version = store.version.to_string();
                Ok((
                    200,
                    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}),
                ))
            }
            Method::GET => self.store().get(key).map(|object| (200, call.shown(object))),
            Method::POST => {
                let object = json_of(&call.body)?;
                self.change(|store| store.create(key.clone(), object)).map(|object| (201, object))
            }
            Method::PUT => {
                let new = json_of(&call.body)?;
                self.update(call, move |object| {
                    *object = new;
                    Ok(())
                })
            }
            Method::PATCH if call.merge => {
                let patch = json_of(&call.body)?;
                self.update(call, move |object| {
                    json_patch::merge(object, &patch);
                    Ok(())
                })
            }
            Method::PATCH => {
                let patch: json_patch::Patch =
                    serde_json::from_slice(&call.body).or_else(|error| refuse(400, "BadRequest", error.to_string()))?;
                self.update(call, move |object| {
                    json_patch::patch(object, &patch).or_else(|error| refuse(422, "Invalid", error.to_string()))
                })
            }
            Method::DELETE => self.change(|store| store.delete(key)).map(|object| (200, object)),
            _ => refuse(405, "MethodNotAllowed", "the server does not allow this method"),
        }
    }

    fn update(
        &self,
        call: &Call,
        change: impl FnOnce(&mut Value) -> Result<(), Refusal>,
    ) -> Result<(u16, Value), Refusal> {
        self.change(|store| store.update(&call.key, call.part, change)).map(|object| (200, object))
    }

    /// Streams changes after a version until the time is over, and says first if that version is gone.
    fn watch(&self, call: Call) -> Response<Body> {
        let since: u64 = call.query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or_default();
        if since < self.store().compacted {
            let status = status(&Refusal { code: 410, reason: "Expired", message: "too old resource version".into() });
            return streamed(stream::iter([Ok::<_, Infallible>(line(&json!({"type": "ERROR", "object": status})))]));
        }
        let seconds = call.query.get("timeoutSeconds").and_then(|text| text.parse().ok()).unwrap_or(300);
        let until = Instant::now() + Duration::from_secs(seconds);
        let news = self.news.subscribe();
        let closed = news.borrow().closed;
        let server = self.clone();
        streamed(stream::unfold((since, news, call), move |(mut since, mut news, call)| {
            let server = server.clone();
            async move {
                loop {
                    if news.borrow_and_update().closed != closed {
                        return None;
                    }
                    let (next, scanned) = server.after(since, &call);
                    if let Some((version, at, line)) = next {
                        tokio::time::sleep_until(at + call.lag).await;
                        return Some((Ok::<_, Infallible>(line), (version, news, call)));
                    }
                    since = scanned;
                    if tokio::time::timeout_at(until, news.changed()).await.is_err() {
                        return None;
                    }
                }
            }
        }))
    }

    /// The first change after a version that a watch is about, and up to which version there is none else.
    fn after(&self, since: u64, call: &Call) -> (Option<(u64, Instant, Bytes)>, u64) {
        let store = self.store();
        (Self::next(&store, since, call), store.version)
    }

    fn next(store: &Store, since: u64, call: &Call) -> Option<(u64, Instant, Bytes)> {
        let begin = store.log.partition_point(|change| change.version <= since);
        let change = store
            .log
            .get(begin..)?
            .iter()
            .find(|change| change.key.0 == call.key.0 && (call.key.1.is_empty() || change.key.1 == call.key.1))?;
        let event = json!({"type": change.kind, "object": call.shown(&change.object)});
        Some((change.version, change.at, line(&event)))
    }
}

impl Call {
    fn shown(&self, object: &Value) -> Value {
        if self.metadata_only {
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
        } else {
            object.clone()
        }
    }
}

/// The object that a path speaks of.
fn place(path: &str) -> Option<(Key, Part)> {
    let mut words = path.trim_matches('/').split('/');
    match words.next()? {
        "api" => words.next()?,
        "apis" => words.next().and(words.next())?,
        _ => return None,
    };
    let words: Vec<&str> = words.collect();
    let (plural, namespace, name, part) = match words.as_slice() {
        ["namespaces", name] => ("namespaces", "", *name, Part::Main),
        ["namespaces", namespace, plural] => (*plural, *namespace, "", Part::Main),
        ["namespaces", namespace, plural, name] => (*plural, *namespace, *name, Part::Main),
        ["namespaces", namespace, plural, name, "status"] => (*plural, *namespace, *name, Part::Status),
        [plural] => (*plural, "", "", Part::Main),
        _ => return None,
    };
    ["webhooks", "secrets", "events", "namespaces", "orionconnections", "clusterorionconnections", "leases"]
        .contains(&plural)
        .then(|| ((plural.to_owned(), namespace.to_owned(), name.to_owned()), part))
}

fn json_of(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).or_else(|error| refuse(400, "BadRequest", error.to_string()))
}

fn status(refusal: &Refusal) -> Value {
    let Refusal { code, reason, message } = refusal;
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code})
}

/// A `Status` as an answer.
pub fn failed(refusal: &Refusal) -> Response<Body> {
    answer(refusal.code, status(refusal))
}

fn answer(code: u16, value: Value) -> Response<Body> {
    let body = Body::from(value.to_string());
    Response::builder().status(code).header(http::header::CONTENT_TYPE, "application/json").body(body).unwrap()
}

fn streamed(lines: impl futures::Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response<Body> {
    Response::builder().header(http::header::CONTENT_TYPE, "application/json").body(Body::from_stream(lines)).unwrap()
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}
