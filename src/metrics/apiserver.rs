//! Calls to the apiserver, counted where they leave: a layer of the client.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tower::{Layer, Service};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Answered {
    code: Code,
    method: &'static str,
    host: Arc<str>,
}

/// A status, or that there was no answer: `<error>`, as client-go has it.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Code(Option<u16>);

impl prometheus_client::encoding::EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self.0 {
            Some(code) => code.encode(encoder),
            None => "<error>".encode(encoder),
        }
    }
}

pub(super) type Requests = Family<Answered, Counter>;

/// A layer for a client of the apiserver.
#[derive(Clone)]
pub struct CountRequests {
    pub(super) requests: Requests,
    pub(super) host: Arc<str>,
}

impl<S> Layer<S> for CountRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, count: self.clone() }
    }
}

/// A service whose calls are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    count: CountRequests,
}

impl<S, In, Out> Service<Request<In>> for Counted<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    Out: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let (count, method) = (self.count.clone(), name_of(request.method()));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code = Code(answer.as_ref().ok().map(|answer| answer.status().as_u16()));
            count.requests.get_or_create(&Answered { code, method, host: count.host }).inc();
            answer
        })
    }
}

fn name_of(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}
