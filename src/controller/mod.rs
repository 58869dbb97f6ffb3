//! The shell around `plan`: watches Webhooks and Secrets, gathers facts, carries out one step after the other, and
//! writes the status. No decision is made here.

mod background;
mod census;
mod clock;
mod connections;
mod context;
mod ended;
mod events;
mod execute;
mod gather;
mod name;
pub mod orphans;
mod patch;
mod pruned;
mod queue;
mod reconcile;
mod shown;
mod undecodable;
mod watch;

pub use clock::{Clock, SystemClock};
pub(crate) use connections::connection_config;
pub use connections::{ConnectionHandle, ConnectionKey, ConnectionSettings, Terms};
pub use context::{Context, ContextConfig};
pub(crate) use events::pod_name;
pub(crate) use gather::header_values;
pub use patch::ApiError;
pub(crate) use patch::within;
pub use reconcile::ReconcileError;
pub use watch::{APISERVER_SILENCE, Watching, run};
