//! What a run may do.

use crate::api::{Capabilities, Support};
use crate::mutant::Mutant;

/// How many of each fault a run may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A process dies and starts again with nothing remembered.
    pub crash: u8,
    /// The answer of a change at Orion is lost; it takes effect now, later or never.
    pub late: u8,
    /// A change at Orion never left: a known refusal.
    pub refused: u8,
    /// A read from Orion fails.
    pub unread: u8,
    /// A write to the apiserver takes effect and its answer is lost.
    pub write_lost: u8,
    /// A process begins with an older version of the object.
    pub stale: u8,
    /// Time passes although a process has something to do.
    pub stall: u8,
    /// A list leaves one webhook out, or a GET does not find one that is there.
    pub omit: u8,
    /// The spec changes.
    pub edit: u8,
    /// The object is deleted.
    pub delete: u8,
    /// The status is wiped.
    pub wipe: u8,
    /// The status is wiped, and the annotations too.
    pub strip: u8,
    /// The finalizer is taken off by hand, the object deleted, and created anew under the same name.
    pub force: u8,
    /// The same, restored from a backup: with finalizer and annotations, without status.
    pub restore: u8,
    /// A webhook vanishes from Orion.
    pub vanish: u8,
    /// A webhook is changed at Orion by somebody else.
    pub drift: u8,
}

impl Faults {
    /// No fault at all.
    pub const NONE: Self = Self {
        crash: 0,
        late: 0,
        refused: 0,
        unread: 0,
        write_lost: 0,
        stale: 0,
        stall: 0,
        omit: 0,
        edit: 0,
        delete: 0,
        wipe: 0,
        strip: 0,
        force: 0,
        restore: 0,
        vanish: 0,
        drift: 0,
    };
}

/// One run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name in the table.
    pub name: &'static str,
    /// Webhooks, all with the same url, user and presence.
    pub webhooks: usize,
    /// Processes at once, without a leader.
    pub processes: usize,
    /// The faults it may have.
    pub faults: Faults,
    /// B1: a change at Orion takes effect within the settle time or never.
    pub bounded: bool,
    /// B2: a list may leave out what was created less than a settle time ago.
    pub lagging: bool,
    /// Somebody else's webhook with the same url, user and presence is there from the beginning.
    pub foreign: bool,
    /// Later ids sort before earlier ones.
    pub descending: bool,
    /// Orion has GET of one webhook.
    pub get: bool,
    /// Orion keeps header values and shows none: a marker cannot be read.
    pub masked: bool,
    /// Properties that do not hold here, and are found broken.
    pub broken: &'static [&'static str],
    /// A mistake that is made.
    pub mutant: Option<Mutant>,
}

impl Config {
    /// One process, one Webhook, an Orion that can do everything, and no faults.
    #[must_use]
    pub fn new(name: &'static str, faults: Faults) -> Self {
        Self {
            name,
            webhooks: 1,
            processes: 1,
            faults,
            bounded: true,
            lagging: false,
            foreign: false,
            descending: false,
            get: true,
            masked: false,
            broken: &[],
            mutant: None,
        }
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        let proven = Support::Proven;
        let get = if self.get { proven } else { Support::Absent };
        Capabilities { list: proven, get, put: proven, patch: proven, delete: proven }
    }

    pub(crate) fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
