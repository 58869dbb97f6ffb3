//! Local control plane, Orion simulator, receiver and demo for orion-operator.

pub mod bench;
pub mod control_plane;
pub mod demo;
pub mod sim;
