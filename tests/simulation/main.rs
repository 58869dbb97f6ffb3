//! The shipped controller on a simulated apiserver and a simulated Orion, in simulated time, with a seed.

// Mutants and ways out come with issue 4: what they will use is here already.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod apiserver;
mod crash;
mod faults;
mod mutant;
mod oracle;
mod orion;
mod person;
mod plan;
mod process;
mod scenario;
mod seeds;
mod world;
