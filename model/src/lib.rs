//! Model checker: the operator's own decisions in every order of events that a small world allows.
//!
//! `api` and `plan` are the files of the operator, compiled again here so that they run optimised. Everything else is the
//! world around them: an apiserver and an Orion that hold a few objects, processes that carry steps out as
//! `src/controller` does, a clock that moves in ticks, and faults within a budget.
//!
//! | room | has |
//! |---|---|
//! | `config` | what a run may do: processes, objects, assumptions, faults |
//! | `state`, `key` | a state of the world, and when two are the same |
//! | `process`, `effects` | the operator: what it plans, and how that is carried out |
//! | `events` | everybody else: people, time, requests on their way, crashes |
//! | `check` | the model as stateright sees it, with the properties |
//! | `graph` | convergence: from every state to rest |
//! | `mutant` | mistakes in the shell or in what `plan` is told, each of which must be found |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../src/api/mod.rs"]
mod api;
#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../src/plan/mod.rs"]
mod plan;

mod check;
mod config;
mod effects;
mod events;
mod graph;
mod key;
mod mutant;
mod process;
mod state;

pub use check::{Report, check};
pub use config::{Config, Faults};
pub use mutant::Mutant;
