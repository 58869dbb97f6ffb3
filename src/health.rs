//! Whether the process is alive, and whether it is ready. Orion has no part in either: an outage there is no reason to
//! start the operator anew.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A watch that fails for this long makes the process unready.
const FAILING: Duration = Duration::from_secs(60);

/// What the process is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It fills its caches.
    #[default]
    Filling,
    /// It waits for another process to stop leading.
    Standby,
    /// Its caches are filled.
    Serving,
}

/// Why the process is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// Its caches are not filled yet.
    Filling,
    /// These watches have failed for a minute, by their paths at the apiserver; or the Lease cannot be read or written.
    Failing(Vec<String>),
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filling => f.write_str(
                "the caches are not filled yet: are the CRDs installed, and may the ServiceAccount list and watch what examples/install/rbac.yaml names?",
            ),
            Self::Failing(paths) => write!(
                f,
                "the apiserver has not given this for a minute: {}. Is it there, are the CRDs installed, and may the ServiceAccount do what examples/install/rbac.yaml names? The log has the reason",
                paths.join(", ")
            ),
        }
    }
}

/// The health of this process.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// Since when a watch has failed, by its path.
    failing: BTreeMap<String, Instant>,
    ended: Option<&'static str>,
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the process does from now on.
    pub fn enter(&self, phase: Phase) {
        self.state().phase = phase;
    }

    /// Whether the apiserver took a list or watch.
    pub fn watched(&self, path: &str, works: bool) {
        let mut state = self.state();
        if works {
            state.failing.remove(path);
        } else if !state.failing.contains_key(path) {
            state.failing.insert(path.to_owned(), Instant::now());
        }
    }

    /// A loop has ended that never should.
    pub fn ended(&self, name: &'static str) {
        self.state().ended = Some(name);
    }

    /// Ready to be relied on.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), Unready> {
        let state = self.state();
        let now = Instant::now();
        let failing: Vec<String> = state
            .failing
            .iter()
            .filter(|(_, since)| now.saturating_duration_since(**since) >= FAILING)
            .map(|(path, _)| path.clone())
            .collect();
        if !failing.is_empty() {
            return Err(Unready::Failing(failing));
        }
        match state.phase {
            Phase::Filling => Err(Unready::Filling),
            Phase::Standby | Phase::Serving => Ok(()),
        }
    }

    /// All its loops go on.
    ///
    /// # Errors
    /// The one that ended.
    pub fn alive(&self) -> Result<(), &'static str> {
        self.state().ended.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_for_a_minute_makes_it_unready() {
        let health = Health::default();
        assert_eq!(health.ready(), Err(Unready::Filling));
        health.enter(Phase::Standby);
        assert_eq!(health.ready(), Ok(()));
        health.enter(Phase::Serving);
        let half = Duration::from_secs(30);
        health.watched("/a", false);
        tokio::time::advance(half).await;
        // The first failure counts, not the last.
        health.watched("/a", false);
        health.watched("/b", false);
        assert_eq!(health.ready(), Ok(()));
        tokio::time::advance(half).await;
        assert_eq!(health.ready(), Err(Unready::Failing(vec!["/a".into()])));
        health.watched("/a", true);
        health.watched("/b", true);
        tokio::time::advance(FAILING).await;
        assert_eq!(health.ready(), Ok(()));
    }

    #[test]
    fn a_loop_that_ended_is_named() {
        let health = Health::default();
        assert_eq!(health.alive(), Ok(()));
        health.ended("orphans");
        assert_eq!(health.alive(), Err("orphans"));
    }
}
