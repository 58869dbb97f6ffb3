//! One process of the operator: everything it sends passes through here, with latency, crash points and faults.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, Response};
use orion_operator::controller::APISERVER_SILENCE;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::apiserver::{Lag, Refusal, failed};
use super::plan::{Answer, Call, Fault, Point, Takes};
use super::world::World;

/// One process. Clones are the same one.
#[derive(Clone)]
pub struct Process {
    pub world: Arc<World>,
    pub number: usize,
    /// It has crashed: nothing that it waits for ever comes.
    pub dead: CancellationToken,
    /// It crashes when it next sends something.
    dying: Arc<AtomicBool>,
    lag: Duration,
}

impl Process {
    pub fn new(world: &Arc<World>, number: usize) -> Self {
        let dying = Arc::new(AtomicBool::new(false));
        Self { world: Arc::clone(world), dead: CancellationToken::new(), dying, lag: world.lag(number), number }
    }

    /// Its client of the apiserver.
    pub fn client(&self) -> kube::Client {
        let process = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let process = process.clone();
            async move { Ok::<_, Infallible>(process.api(request).await) }
        });
        kube::Client::new(service, "default")
    }

    async fn api(&self, mut request: Request<kube::client::Body>) -> Response<Body> {
        let is_read = request.method() == Method::GET;
        // The name of an Event is made of the machine's own time, and must not count.
        let path = request.uri().path().to_owned();
        let place = path.split_once("/events").map_or(path.as_str(), |(place, _)| place);
        let call = Call {
            of_orion: false,
            is_effect: !is_read,
            is_event: place != path,
            // A watch is no call that ends: what can happen to it has other names.
            is_watch: request.uri().query().is_some_and(|query| query.contains("watch=")),
            text: format!("{} {} {}", self.number, request.method(), place),
        };
        request.extensions_mut().insert(Lag(self.lag));
        let world = Arc::clone(&self.world);
        let act = async move {
            let request = world.seen(request).await;
            world.api.serve(request).await
        };
        self.pass(call, APISERVER_SILENCE, act, |answer| {
            let code = if let Answer::Status(code) = answer { code } else { 500 };
            let reason = if code == 409 { "Conflict" } else { "InternalError" };
            failed(&Refusal { code, reason, message: "a fault of the simulation".into() })
        })
        .await
    }

    /// Passes one call. `act` is what it does at the other side; `fail` makes an answer that is not the true one.
    pub async fn pass<T: Send + 'static>(
        &self,
        call: Call,
        patience: Duration,
        act: impl Future<Output = T> + Send + 'static,
        fail: impl FnOnce(Answer) -> T,
    ) -> T {
        self.live().await;
        sleep(self.world.latency(&call)).await;
        self.live().await;
        let turn = self.world.turn(&call);
        if turn.crash == Some(Point::Before) {
            self.die().await;
        }
        let Fault { takes, answer } = turn.fault;
        let result = match takes {
            Takes::Now => Some(act.await),
            Takes::Never => None,
            Takes::Late(wait) => {
                tokio::spawn(async move {
                    sleep(wait).await;
                    act.await;
                });
                None
            }
        };
        self.world.acted(&turn);
        if turn.crash == Some(Point::Unanswered) {
            self.die().await;
        }
        let wait = if answer == Some(Answer::Hang) { patience } else { self.world.latency(&call) };
        sleep(wait).await;
        self.live().await;
        if turn.crash == Some(Point::Answered) {
            // It has the answer and does what it does with it, up to the next thing it sends.
            self.dying.store(true, Ordering::Relaxed);
            let dead = self.dead.clone();
            tokio::spawn(async move {
                sleep(Duration::from_secs(1)).await;
                dead.cancel();
            });
        }
        match (answer, result) {
            (None, Some(result)) => result,
            (answer, _) => fail(answer.unwrap_or(Answer::Hang)),
        }
    }

    /// Goes on only if the process lives.
    async fn live(&self) {
        if self.dead.is_cancelled() || self.dying.load(Ordering::Relaxed) {
            self.die().await;
        }
    }

    async fn die(&self) {
        self.dead.cancel();
        pending().await
    }
}
