//! Convergence, over the whole graph of states that a run has found.
//!
//! A state is at rest if everything is as declared and no free event (one that needs no fault) leads to a write or out of
//! rest. If rest can be reached by free events from every state, then every run in which faults stop, and which is fair,
//! ends in rest and stays there: S2, S3, S10 and eventual convergence in one.

use std::sync::{Mutex, PoisonError};

/// A step from one state to another.
pub(crate) struct Edge {
    pub from: u64,
    pub to: u64,
    /// It needs no fault.
    pub is_free: bool,
    /// Something is written by it, to the apiserver or to Orion.
    pub writes: bool,
}

#[derive(Default)]
struct Found {
    edges: Vec<(u64, u64, bool, bool)>,
    states: Vec<(u64, bool)>,
}

/// Everything that a run has found.
#[derive(Default)]
pub(crate) struct Graph(Mutex<Found>);

/// What the graph comes to.
#[derive(Clone, Debug, Default)]
pub struct Convergence {
    /// States at rest.
    pub at_rest: usize,
    /// States from which rest cannot be reached by free events.
    pub stuck: Vec<u64>,
}

impl Graph {
    /// A state whose ways on are all known now.
    pub(crate) fn add(&self, state: u64, is_as_declared: bool, edges: impl Iterator<Item = Edge>) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.states.push((state, is_as_declared));
        found.edges.extend(edges.map(|edge| (edge.from, edge.to, edge.is_free, edge.writes)));
    }

    /// Finds the states at rest, and those from which none can be reached.
    pub(crate) fn converge(&self) -> Convergence {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Found { mut edges, mut states } = std::mem::take(&mut *found);
        drop(found);
        states.sort_unstable();
        states.dedup_by_key(|(state, _)| *state);
        edges.retain(|(.., is_free, _)| *is_free);
        let index = |key: u64| states.binary_search_by_key(&key, |(state, _)| *state).ok();
        // Backwards, sorted by where they lead to.
        let mut back: Vec<(u32, u32)> = Vec::with_capacity(edges.len());
        let mut at_rest: Vec<bool> = states.iter().map(|(_, is_as_declared)| *is_as_declared).collect();
        let mut lost: Vec<u32> = Vec::new();
        for (from, to, _, writes) in edges {
            let (Some(from), Some(to)) = (index(from), index(to)) else { continue };
            if writes && std::mem::replace(&mut at_rest[from], false) {
                lost.push(small(from));
            }
            back.push((small(to), small(from)));
        }
        back.sort_unstable();
        back.dedup();
        let into = |to: u32| {
            let first = back.partition_point(|edge| edge.0 < to);
            back[first..].iter().take_while(move |edge| edge.0 == to).map(|edge| edge.1)
        };
        lost.extend((0..states.len()).filter(|place| !states[*place].1).map(small));
        while let Some(to) = lost.pop() {
            for from in into(to) {
                if std::mem::replace(&mut at_rest[from as usize], false) {
                    lost.push(from);
                }
            }
        }
        let mut reached = at_rest.clone();
        let mut next: Vec<u32> = (0..states.len()).filter(|place| at_rest[*place]).map(small).collect();
        while let Some(to) = next.pop() {
            for from in into(to) {
                if !std::mem::replace(&mut reached[from as usize], true) {
                    next.push(from);
                }
            }
        }
        let stuck =
            states.iter().zip(&reached).filter(|(_, reached)| !**reached).map(|((state, _), _)| *state).collect();
        Convergence { at_rest: at_rest.iter().filter(|at_rest| **at_rest).count(), stuck }
    }
}

fn small(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 2^32 states")
}
