//! Argo CD's own controller and repository server, as processes, against a real kube-apiserver, the operator and the Orion
//! simulator: what is applied is in `examples/gitops/argocd`. `make test-gitops` makes Argo CD; without it the tests are
//! skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod actions;
mod application;
mod edits;
mod examples;
mod operator;
#[path = "../common/rig/mod.rs"]
mod rig;
mod stack;
mod waves;
