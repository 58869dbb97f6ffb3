//! A world and one process in it: whole stories.

use super::process::{Process, Rest};
use super::world::World;
use super::*;

/// A world and one process in it.
pub(super) struct Script {
    pub world: World,
    pub process: Process,
}

impl Script {
    pub(super) fn new() -> Self {
        Self { world: World::new(), process: Process::default() }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// A Webhook that was created and is at rest, with nothing in the log.
    pub(super) fn synced() -> Self {
        let mut script = Self::new();
        script.reconcile();
        assert_eq!(script.world.reason(), "Synced");
        script.world.log.clear();
        script.world.posts.clear();
        script.world.writes = 0;
        script
    }

    /// One reconcile, until it rests.
    pub(super) fn reconcile(&mut self) -> Rest {
        loop {
            if let Some(rest) = self.process.step(&mut self.world) {
                return rest;
            }
        }
    }

    /// One reconcile; its steps in one line.
    pub(super) fn steps(&mut self) -> String {
        let from = self.world.log.len();
        self.reconcile();
        self.world.log[from..].join(" ")
    }

    pub(super) fn pass(&mut self, seconds: u64) -> &mut Self {
        self.world.pass(secs(seconds));
        self
    }

    /// Reconciles, and again whenever the plan wants to be woken, for so long. Ends when the object is gone.
    pub(super) fn live(&mut self, seconds: u64) {
        let end = self.world.now + secs(seconds);
        for _ in 0..2000 {
            let rest = self.reconcile();
            if self.world.object.is_none() || self.world.now > end {
                return;
            }
            match rest {
                Rest::Until(Some(wake)) if wake <= end => {
                    self.world.pass(wake.saturating_sub(self.world.now));
                }
                Rest::Until(_) => return self.world.pass(end.saturating_sub(self.world.now)),
                Rest::Changed => self.world.pass(Duration::from_millis(500)),
                Rest::Released => return,
            }
        }
        panic!("busy: {:?}", self.world.log.iter().rev().take(30).collect::<Vec<_>>());
    }
}
