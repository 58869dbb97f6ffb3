//! The operator as a process, under its ServiceAccount, against a real kube-apiserver and the Orion simulator.
//!
//! One control plane serves all tests of this binary; each test has a namespace, a simulator and operators of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod adopt;
mod bursts;
mod connections;
mod doctor;
mod faults;
mod fleet;
mod gate;
mod import;
mod isolation;
mod kubectl_orion;
mod leader;
mod lifecycle;
mod login;
mod observe;
mod operator;
mod orphans;
mod pauses;
mod post_only;
mod protocol;
mod restores;
mod rivals;
mod secrets;
mod stop;
mod tenants;
mod test_delivery;
mod uncertain;
mod updates;
mod world;
