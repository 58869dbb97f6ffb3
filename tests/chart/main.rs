//! The Helm chart: what it renders, and what becomes of it on a real kube-apiserver.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cluster;
mod live;
mod page;
mod published;
mod rendered;
mod rights;
mod schemas;
mod tools;
