//! What was measured of one subject in one round. Times in seconds, memory in MiB.

use std::collections::BTreeMap;

use serde::Serialize;

use super::usage::Memory;

/// What a subject did and used in one round.
#[derive(Debug, Default, Serialize)]
pub(super) struct Measured {
    /// Its name.
    pub(super) subject: String,
    pub(super) start: Start,
    pub(super) cold: Cold,
    pub(super) idle: Option<Idle>,
    pub(super) load: Vec<Load>,
    pub(super) restart: Option<Restart>,
    /// Only the operator's, in the first round.
    pub(super) changes: Option<Changes>,
    /// Only the operator's, in the first round.
    pub(super) drift: Option<Drift>,
}

/// With no objects.
#[derive(Debug, Default, Serialize)]
pub(super) struct Start {
    /// From the start of the process until all its watches run.
    pub(super) watches: Option<f64>,
    pub(super) memory: Memory,
}

/// All objects are there, then it starts.
#[derive(Debug, Default, Serialize)]
pub(super) struct Cold {
    pub(super) objects: usize,
    /// How many of them became Ready.
    pub(super) ready: usize,
    /// How many wait for a person.
    pub(super) stuck: usize,
    /// Webhooks at Orion beyond one for each object.
    pub(super) duplicates: usize,
    /// How long it was given.
    pub(super) waited: f64,
    /// Until the last of them was Ready, if all were; so with the next two.
    pub(super) wall: Option<f64>,
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) cpu: f64,
    pub(super) apiserver_cpu: f64,
    pub(super) etcd_cpu: f64,
    /// Of the driver and the simulator together.
    pub(super) driver_cpu: f64,
    pub(super) requests: Counted,
    pub(super) memory: Memory,
    /// Files and sockets that are open at the end.
    pub(super) open_files: usize,
}

/// Nothing changes.
#[derive(Debug, Default, Serialize)]
pub(super) struct Idle {
    pub(super) seconds: f64,
    /// In percent of a core.
    pub(super) cpu_percent: f64,
    pub(super) requests: Counted,
    pub(super) memory: Memory,
}

/// Objects come at a fixed rate.
#[derive(Debug, Default, Serialize)]
pub(super) struct Load {
    pub(super) rate: u32,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// It ends and starts again, with nothing changed.
#[derive(Debug, Default, Serialize)]
pub(super) struct Restart {
    /// How many there are.
    pub(super) objects: usize,
    /// Until it was quiet, where it ever is.
    pub(super) quiet: Option<f64>,
    /// How long was counted.
    pub(super) seconds: f64,
    pub(super) cpu: f64,
    pub(super) requests: Counted,
    pub(super) memory: Memory,
}

/// Some objects are changed, and some deleted.
#[derive(Debug, Default, Serialize)]
pub(super) struct Changes {
    pub(super) number: usize,
    pub(super) updates: Counted,
    pub(super) deletes: Counted,
}

/// Checks for drift come every 30 s.
#[derive(Debug, Default, Serialize)]
pub(super) struct Drift {
    /// How many there are.
    pub(super) objects: usize,
    /// Time in which nothing differed.
    pub(super) seconds: f64,
    pub(super) cpu: f64,
    pub(super) requests: Counted,
    /// How many were altered at Orion then, and the time until each was as declared.
    pub(super) altered: usize,
    pub(super) healed: f64,
    pub(super) healing: Counted,
}

/// Requests of the subject.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Counted {
    /// Writes to the objects and what belongs to them.
    pub(super) writes: u64,
    /// Those of them that were refused, because somebody else had written meanwhile.
    pub(super) conflicts: u64,
    /// Events.
    pub(super) events: u64,
    /// Objects read one by one.
    pub(super) gets: u64,
    /// Pages of lists at the apiserver.
    pub(super) lists: u64,
    /// Everything that it asked the apiserver: its watches, its Leases and its questions about rights and kinds too.
    pub(super) all: u64,
    /// Calls to Orion that change something.
    pub(super) orion_changes: u64,
    /// Pages of lists at Orion.
    pub(super) orion_lists: u64,
    /// Other calls to Orion.
    pub(super) orion_others: u64,
    /// Writes and Events by what they are.
    pub(super) each: BTreeMap<String, u64>,
}

impl Counted {
    /// Takes out what the driver itself wrote.
    pub(super) fn without_drivers(&mut self, what: &str, number: usize) {
        let number = number as u64;
        self.writes = self.writes.saturating_sub(number);
        if let Some(count) = self.each.get_mut(what) {
            *count = count.saturating_sub(number);
        }
        self.each.retain(|_, count| *count > 0);
    }

    /// All calls to Orion.
    pub(super) fn orion(&self) -> u64 {
        self.orion_changes + self.orion_lists + self.orion_others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_wrote_is_not_the_subjects() {
        let each = [("PATCH webhooks/status", 100), ("PUT webhooks", 103), ("DELETE webhooks", 5)];
        let each = each.map(|(what, count)| (what.to_owned(), count)).into();
        let mut counted = Counted { writes: 208, each, ..Counted::default() };
        counted.without_drivers("PUT webhooks", 100);
        counted.without_drivers("DELETE webhooks", 5);
        // Three that the driver did not write: they stay.
        let left = [("PATCH webhooks/status", 100), ("PUT webhooks", 3)].map(|(what, count)| (what.to_owned(), count));
        assert_eq!((counted.writes, counted.each), (103, left.into()));
    }
}
