//! What every call to the apiserver passes through: a process whose time to lead is over writes nothing, and watches that
//! fail are noticed.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use hyper::rt::Executor;
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::layer::layer_fn;
use tower::{BoxError, Service};

use crate::boot::boot_time;
use crate::fence::Fence;
use crate::health::Health;
use crate::metrics::Metrics;

/// This process leads no longer.
#[derive(Debug, thiserror::Error)]
#[error("this process leads no longer, and writes nothing")]
struct Closed;

/// A client whose calls are counted in `metrics` and whose writes end with `fence`. With `health` its lists and watches are
/// told there: for what fills caches, as that is repeated until it works.
///
/// # Errors
/// The configuration does not make sense: certificates that cannot be read, most often.
pub fn client(
    config: Config,
    metrics: &Metrics,
    fence: &Fence,
    health: Option<&Arc<Health>>,
) -> Result<Client, kube::Error> {
    let count = metrics.count_requests(config.cluster_url.authority().map_or("", |host| host.as_str()));
    let layer = layer_fn(|inner| Gate { inner, fence: fence.clone(), health: health.cloned() });
    let connections = Connections(fence.clone());
    Ok(ClientBuilder::try_from((config, connections))?.with_layer(&count).with_layer(&layer).build())
}

/// Runs hyper's connections, in whose tasks alone anything is written to the network: between the gate and there a request
/// may wait for its turn, and a process may be stopped. No task of a process whose time is over is polled any more.
#[derive(Clone)]
struct Connections(Fence);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Connections {
    fn execute(&self, connection: F) {
        let fence = self.0.clone();
        let mut connection = Box::pin(connection);
        tokio::spawn(poll_fn(
            move |cx| {
                if fence.is_over(boot_time()) { Poll::Ready(()) } else { connection.as_mut().poll(cx) }
            },
        ));
    }
}

#[derive(Clone)]
struct Gate<S> {
    inner: S,
    fence: Fence,
    health: Option<Arc<Health>>,
}

impl<S, B> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.method() != Method::GET && !self.fence.allows(boot_time()) {
            return async { Err(Closed.into()) }.boxed();
        }
        let watched = self.health.clone().zip(watched(&request));
        let answer = self.inner.call(request);
        let Some((health, path)) = watched else { return answer.map(|answer| answer.map_err(Into::into)).boxed() };
        // From now on, unless it is answered: one that hangs fails too.
        health.watched(&path, false);
        let noted = async move {
            let answer = answer.await.map_err(Into::into);
            health.watched(&path, answer.as_ref().is_ok_and(|answer| works(answer.status())));
            answer
        };
        noted.boxed()
    }
}

/// The path of a list or watch that fills a cache.
fn watched(request: &Request<Body>) -> Option<String> {
    let query = request.uri().query()?;
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let is_watched = request.method() == Method::GET && (has("watch") || has("limit"));
    is_watched.then(|| request.uri().path().to_owned())
}

/// An answer that a watch can go on with; 410 is that it begins anew.
fn works(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::GONE
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn gate(fence: Fence, health: &Arc<Health>, code: u16) -> impl Service<Request<Body>, Error = BoxError> {
        let answer = move || Response::builder().status(code).body(()).unwrap();
        let inner = tower::service_fn(move |_: Request<Body>| std::future::ready(Ok::<_, Infallible>(answer())));
        Gate { inner, fence, health: Some(Arc::clone(health)) }
    }

    fn request(method: Method, path: &str) -> Request<Body> {
        Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn nothing_is_written_when_the_time_is_over() {
        let health = Arc::default();
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(gate(Fence::open(), &health, 200).call(request(method.clone(), "/a")).await.is_ok());
            let refused = gate(Fence::closed(), &health, 200).call(request(method, "/a")).await;
            assert!(refused.err().unwrap().is::<Closed>());
        }
        assert!(gate(Fence::closed(), &health, 200).call(request(Method::GET, "/a")).await.is_ok());
    }

    #[tokio::test]
    async fn a_connection_is_not_driven_when_the_time_is_over() {
        let driven = async |fence: &Fence| {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            Connections(fence.clone()).execute(async move { assert!(sender.send(()).is_ok()) });
            receiver.await.is_ok()
        };
        let fence = Fence::closed();
        assert!(driven(&fence).await, "one that waits to lead reads");
        fence.move_to(boot_time() + std::time::Duration::from_secs(60));
        assert!(driven(&fence).await);
        fence.close();
        assert!(!driven(&fence).await);
    }

    #[tokio::test(start_paused = true)]
    async fn watches_that_fail_are_noticed() {
        let health = Arc::<Health>::default();
        health.enter(crate::health::Phase::Serving);
        let minute = std::time::Duration::from_secs(60);
        for (path, code, is_ready) in [
            ("/a?limit=500", 403, false),
            ("/a?&limit=500", 200, true),
            ("/a?&watch=true&timeoutSeconds=290", 500, false),
            ("/a?&watch=true&timeoutSeconds=290", 410, true),
            // One object.
            ("/a/name", 404, true),
            ("/a?fieldManager=limit", 404, true),
        ] {
            assert!(gate(Fence::open(), &health, code).call(request(Method::GET, path)).await.is_ok());
            tokio::time::advance(minute).await;
            assert_eq!(health.ready().is_ok(), is_ready, "{path} {code}");
        }
    }
}
