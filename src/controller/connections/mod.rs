//! Connections: the default one of the flags, and those that are objects.
//!
//! | room | is about |
//! |---|---|
//! | `key` | which connection |
//! | `handle` | one connection at run time: its trouble, its list |
//! | `registry` | what each connection offers to a Webhook |
//! | `object` | what both kinds have in common |
//! | `material` | spec and Secrets, and the client of Orion made of them |
//! | `made` | the client at run time, and what goes on around it |
//! | `check` | the reconcile of a connection |
//! | `status` | what its status says |
//! | `users` | who still uses it |
//! | `watch` | the loop that reconciles connections |

mod check;
mod handle;
mod key;
mod made;
mod material;
mod object;
mod registry;
mod status;
mod users;
mod watch;

pub use handle::{ConnectionHandle, ConnectionSettings};
pub use key::ConnectionKey;
pub(crate) use material::connection_config;
pub use object::Terms;

pub(super) use object::ConnectionObject;
pub(super) use registry::{Offer, Reached, Registry, Share, Slot};
pub(super) use users::holds;
pub(super) use watch::{ConnectionWatch, Users, known, watch};
