//! The suite finds every mistake that `mutant` has: one that it did not find could be made.

use super::crash::single_crashes;
use super::faults::single_faults;
use super::mutant::{ALL, Mutant};
use super::seeds::seeds;

/// So many seeds must find a mistake that no single crash or fault shows.
const SEEDS: u64 = 3000;

/// What finds most of them first comes first.
fn finds(mutant: Mutant) -> Option<String> {
    let mutant = Some(mutant);
    seeds(0, 50, mutant)
        .and_then(|()| single_crashes(mutant))
        .and_then(|_| single_faults(mutant))
        .and_then(|_| seeds(50, SEEDS, mutant))
        .err()
}

#[test]
fn every_mistake_is_found() {
    let mut missed = Vec::new();
    for mutant in ALL {
        match finds(mutant) {
            Some(what) => println!("{mutant:?}: {}", what.lines().find(|line| !line.is_empty()).unwrap_or_default()),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
