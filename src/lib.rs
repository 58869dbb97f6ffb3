//! orion-operator: keeps Orion webhooks as Kubernetes objects declare them.
//!
//! Dependencies point one way: `api <- plan <- controller -> orion`.

pub mod api;
pub mod apiserver;
mod boot;
pub mod cli;
pub mod controller;
pub mod fence;
pub mod health;
pub mod leader;
pub mod metrics;
pub mod orion;
pub mod plan;
pub mod server;
pub mod telemetry;
pub mod version;
