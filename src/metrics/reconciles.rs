//! Reconciles and the line before them, under the names of controller-runtime.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

/// From what takes no call to what takes the longest reconcile, in seconds.
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0];

/// How a reconcile ended, as controller-runtime has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing more is to be done until something changes.
    Success,
    /// It is looked at again at a time that was chosen: the next drift check, most often.
    RequeueAfter,
    /// A lost race: it begins anew after a back-off.
    Requeue,
    /// The apiserver did not do its part, or a bug.
    Error,
}

impl Ending {
    const ALL: [Self; 4] = [Self::Success, Self::RequeueAfter, Self::Requeue, Self::Error];

    /// Its name, in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RequeueAfter => "requeue_after",
            Self::Requeue => "requeue",
            Self::Error => "error",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    controller: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Named {
    name: &'static str,
}

/// The metrics of all controllers.
pub(super) struct Families {
    ended: Family<Ended, Counter>,
    errors: Family<Of, Counter>,
    panics: Family<Of, Counter>,
    time: Family<Of, Histogram>,
    active: Family<Of, Gauge>,
    at_most: Family<Of, Gauge>,
    depth: Family<Named, Gauge>,
    adds: Family<Named, Counter>,
    waited: Family<Named, Histogram>,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = Self {
            ended: Family::default(),
            errors: Family::default(),
            panics: Family::default(),
            time: Family::new_with_constructor(histogram),
            active: Family::default(),
            at_most: Family::default(),
            depth: Family::default(),
            adds: Family::default(),
            waited: Family::new_with_constructor(histogram),
        };
        registry.register("controller_runtime_reconcile", "Reconciles by result", all.ended.clone());
        registry.register("controller_runtime_reconcile_errors", "Reconciles that failed", all.errors.clone());
        registry.register("controller_runtime_reconcile_panics", "Reconciles that met a bug", all.panics.clone());
        registry.register("controller_runtime_reconcile_time_seconds", "Time of a reconcile", all.time.clone());
        registry.register("controller_runtime_active_workers", "Reconciles under way", all.active.clone());
        registry.register(
            "controller_runtime_max_concurrent_reconciles",
            "Reconciles at once, at most",
            all.at_most.clone(),
        );
        registry.register("workqueue_depth", "Reconciles that are due and wait for their turn", all.depth.clone());
        registry.register("workqueue_adds", "Reconciles that came into the line", all.adds.clone());
        registry.register("workqueue_queue_duration_seconds", "Time in the line", all.waited.clone());
        all
    }

    /// Those of one controller, all at zero.
    pub(super) fn of(&self, controller: &'static str) -> Reconciles {
        let of = Of { controller };
        let ended = |ending: Ending| Ended { controller, result: ending.as_str() };
        for ending in Ending::ALL {
            drop(self.ended.get_or_create(&ended(ending)));
        }
        Reconciles {
            success: self.ended.get_or_create_owned(&ended(Ending::Success)),
            requeue_after: self.ended.get_or_create_owned(&ended(Ending::RequeueAfter)),
            requeue: self.ended.get_or_create_owned(&ended(Ending::Requeue)),
            error: self.ended.get_or_create_owned(&ended(Ending::Error)),
            errors: self.errors.get_or_create_owned(&of),
            panics: self.panics.get_or_create_owned(&of),
            time: self.time.get_or_create_owned(&of),
            active: self.active.get_or_create_owned(&of),
        }
    }

    /// The line before a controller whose reconciles at once are bounded.
    pub(super) fn line(&self, controller: &'static str) -> Line {
        let named = Named { name: controller };
        Line {
            at_most: self.at_most.get_or_create_owned(&Of { controller }),
            depth: self.depth.get_or_create_owned(&named),
            adds: self.adds.get_or_create_owned(&named),
            waited: self.waited.get_or_create_owned(&named),
        }
    }
}

/// The metrics of one controller.
pub struct Reconciles {
    success: Counter,
    requeue_after: Counter,
    requeue: Counter,
    error: Counter,
    errors: Counter,
    panics: Counter,
    time: Histogram,
    active: Gauge,
}

impl Reconciles {
    /// A reconcile begins.
    #[must_use]
    pub fn begins(&self) -> UnderWay<'_> {
        self.active.inc();
        UnderWay { of: self, since: Instant::now() }
    }

    /// A reconcile met a bug. It ends in an error all the same.
    pub fn panicked(&self) {
        self.panics.inc();
    }
}

/// A reconcile under way. One that is dropped before it ended (the operator stops) is not counted.
pub struct UnderWay<'a> {
    of: &'a Reconciles,
    since: Instant,
}

impl UnderWay<'_> {
    /// It ended. Gives how long it took.
    pub fn ended(self, ending: Ending) -> Duration {
        match ending {
            Ending::Success => self.of.success.inc(),
            Ending::RequeueAfter => self.of.requeue_after.inc(),
            Ending::Requeue => self.of.requeue.inc(),
            Ending::Error => {
                self.of.errors.inc();
                self.of.error.inc()
            }
        };
        let time = self.since.elapsed();
        self.of.time.observe(time.as_secs_f64());
        time
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.of.active.dec();
    }
}

/// The line before a controller: what is due and waits for a place.
pub struct Line {
    at_most: Gauge,
    depth: Gauge,
    adds: Counter,
    waited: Histogram,
}

impl Line {
    /// So many reconciles may be under way at once.
    pub fn at_most(&self, places: u16) {
        self.at_most.set(places.into());
    }

    /// Somebody comes into the line, and is in it until the answer is dropped.
    #[must_use]
    pub fn enter(&self) -> InLine<'_> {
        self.depth.inc();
        self.adds.inc();
        InLine { line: self, since: Instant::now() }
    }
}

/// Somebody in the line.
pub struct InLine<'a> {
    line: &'a Line,
    since: Instant,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.line.depth.dec();
        self.line.waited.observe(self.since.elapsed().as_secs_f64());
    }
}
