//! What is counted only when the page is asked for: Webhooks and connections as they stand. The labels are closed lists,
//! so that the page does not grow with the objects.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;

use crate::api::{Reason, State};

/// Kinds of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The one of the flags.
    Default,
    /// `OrionConnection`.
    OrionConnection,
    /// `ClusterOrionConnection`.
    ClusterOrionConnection,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Default, Self::OrionConnection, Self::ClusterOrionConnection];

    fn as_str(self) -> &'static str {
        match self {
            Self::Default => "Default",
            Self::OrionConnection => "OrionConnection",
            Self::ClusterOrionConnection => "ClusterOrionConnection",
        }
    }
}

/// How everything stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Census {
    /// Webhooks by the reason of their Ready condition.
    pub webhooks: BTreeMap<Reason, u32>,
    /// Connections likewise.
    pub connections: BTreeMap<(Kind, Reason), u32>,
    /// Webhooks of which it is not known whether a create took effect.
    pub uncertain_creates: u32,
    /// The time since the oldest token was had from a login.
    pub token_age: Duration,
    /// The longest time since a Webhook in sync was compared with Orion,
    pub unchecked: BTreeMap<Kind, Duration>,
    /// and how far one is behind its interval.
    pub late: BTreeMap<Kind, Duration>,
}

/// Who can say how everything stands.
pub trait Counted: Send + Sync {
    /// How it stands now.
    fn census(&self) -> Census;
}

/// The place on the page. Nothing stands there before there is somebody to ask.
#[derive(Default)]
pub(super) struct Counting(Mutex<Option<Weak<dyn Counted>>>);

impl Counting {
    pub(super) fn asks(&self, counted: Weak<dyn Counted>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted);
    }
}

impl fmt::Debug for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counting")
    }
}

impl Collector for Counting {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Weak::upgrade);
        let Some(census) = counted.map(|counted| counted.census()) else { return Ok(()) };
        let mut page = Page(&mut encoder);
        page.gauges(
            "orion_operator_webhooks",
            "Webhooks by the reason of their Ready condition",
            Reason::ALL.iter().map(|reason| {
                let labels = [("reason", reason.as_str()), ("ready", ready(*reason))];
                (labels, census.webhooks.get(reason).copied().unwrap_or_default().into())
            }),
        )?;
        let kinds_and_reasons = Kind::ALL.iter().flat_map(|kind| Reason::ALL.iter().map(|reason| (*kind, *reason)));
        page.gauges(
            "orion_operator_connections",
            "Connections by kind and by the reason of their Ready condition",
            kinds_and_reasons.map(|(kind, reason)| {
                let labels = [("kind", kind.as_str()), ("reason", reason.as_str())];
                (labels, census.connections.get(&(kind, reason)).copied().unwrap_or_default().into())
            }),
        )?;
        page.gauge(
            "orion_operator_uncertain_creates",
            "Webhooks of which it is not known whether a create took effect",
            census.uncertain_creates.into(),
        )?;
        page.gauge(
            "orion_operator_oldest_login_token_age_seconds",
            "Time since the oldest token that is in use was had from a login, 0 if there is none",
            census.token_age.as_secs_f64(),
        )?;
        page.times(
            "orion_operator_drift_check_age_seconds",
            "The longest time since a Webhook in sync was compared with Orion",
            &census.unchecked,
        )?;
        page.times(
            "orion_operator_drift_check_late_seconds",
            "How far the drift check of a Webhook in sync is behind its interval, at most",
            &census.late,
        )
    }
}

fn ready(reason: Reason) -> &'static str {
    match reason.state() {
        State::Ready => "True",
        State::Unknown => "Unknown",
        State::Retrying | State::Stalled | State::Suspended => "False",
    }
}

struct Page<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Page<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            encoder.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn times(&mut self, name: &str, help: &str, times: &BTreeMap<Kind, Duration>) -> fmt::Result {
        let of = |kind: Kind| times.get(&kind).copied().unwrap_or_default().as_secs_f64();
        self.gauges(name, help, Kind::ALL.into_iter().map(|kind| ([("kind", kind.as_str())], of(kind))))
    }
}
