//! The questions: what is asked of the network, of Orion and of the apiserver. What the answers mean is said elsewhere.

pub(super) mod cluster;
mod interrupt;
pub(super) mod network;
pub(super) mod orion;
mod tls;
mod trip;
