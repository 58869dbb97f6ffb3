//! The shipped controller on a simulated apiserver and a simulated Orion, in simulated time, with a seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod apiserver;
mod contract;
mod crash;
mod faults;
mod fleet;
mod leader;
mod mutant;
mod mutants;
mod oracle;
mod orion;
mod person;
mod plan;
mod process;
mod scenario;
mod seeds;
mod stranded;
mod ways_out;
mod world;
