//! Flux's own controllers, as processes, against a real kube-apiserver, the operator and the Orion simulator: what is
//! applied is in `examples/gitops/flux`. `make test-gitops` makes the controllers; without them the tests are skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod delivery;
mod examples;
mod helm_release;
mod kustomization;
mod order;
#[path = "../common/rig/mod.rs"]
mod rig;
mod sources;
mod stack;
