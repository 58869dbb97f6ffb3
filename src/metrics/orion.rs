//! Calls to Orion.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::api::FailureClass;

/// From an Orion next door to the longest time-out, in seconds.
const BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What a call to Orion is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrionCall {
    /// One page of the list.
    List,
    /// One webhook.
    Get,
    /// A new one.
    Create,
    /// Another content of one.
    Update,
    /// The end of one.
    Delete,
    /// A token for a username and password.
    Login,
    /// `/openapi.json`.
    OpenApi,
}

impl OrionCall {
    const ALL: [Self; 7] =
        [Self::List, Self::Get, Self::Create, Self::Update, Self::Delete, Self::Login, Self::OpenApi];

    /// Its name, in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Login => "login",
            Self::OpenApi => "openapi",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    operation: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    operation: &'static str,
}

/// Counts calls to Orion, over all connections. Clones count into the same metrics.
#[derive(Clone)]
pub struct OrionCalls {
    ended: Family<Ended, Counter>,
    time: Family<Of, Histogram>,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// For nobody to read.
impl Default for OrionCalls {
    fn default() -> Self {
        Self { ended: Family::default(), time: Family::new_with_constructor(histogram) }
    }
}

impl OrionCalls {
    /// All series are there from the beginning: the first failure of a kind shows as an increase.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let calls = Self::default();
        for operation in OrionCall::ALL.map(OrionCall::as_str) {
            drop(calls.time.get_or_create(&Of { operation }));
            for class in std::iter::once("2xx").chain(FailureClass::ALL.iter().map(|class| class.as_str())) {
                drop(calls.ended.get_or_create(&Ended { operation, class }));
            }
        }
        registry.register("orion_operator_orion_requests", "Calls to Orion by result", calls.ended.clone());
        registry.register(
            "orion_operator_orion_request_duration_seconds",
            "Time of a call to Orion, without the wait for its turn",
            calls.time.clone(),
        );
        calls
    }

    /// A call ended, with a failure or a 2xx.
    pub fn ended(&self, call: OrionCall, failure: Option<FailureClass>, time: Duration) {
        let operation = call.as_str();
        let class = failure.map_or("2xx", FailureClass::as_str);
        self.ended.get_or_create(&Ended { operation, class }).inc();
        self.time.get_or_create(&Of { operation }).observe(time.as_secs_f64());
    }
}
