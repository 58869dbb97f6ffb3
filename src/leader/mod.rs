//! Leader election: of several processes with the same work, one does it, by a
//! [Lease](https://kubernetes.io/docs/concepts/architecture/leases/).
//!
//! | room | is about |
//! |---|---|
//! | `decide` | a Lease, and how long it stood still, to one step |
//! | `elector` | the loop around it: take, renew, let go |
//!
//! A Lease lowers the odds that two processes work at once, and no more: it fences nothing. What a process may still send
//! when its time is over is bounded by its [`Fence`](crate::fence::Fence), and what makes the rest harmless is that each
//! write is a compare-and-swap (docs/guarantees.md).

mod decide;
mod elector;

use std::collections::BTreeSet;
use std::time::Duration;

use sha2::{Digest, Sha256};

pub use decide::{Record, Step, decide};
pub use elector::{Elector, Lost};

/// Times of leader election. [`Terms::check`] says how they must fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long others wait for a word of the leader before they take over.
    pub lease_duration: Duration,
    /// How long the leader tries to renew before it gives up and changes nothing any more.
    pub renew_deadline: Duration,
    /// Time between two tries.
    pub retry_period: Duration,
}

impl Terms {
    /// The leader must have given up when others take over, and have tried more than once until then.
    ///
    /// # Errors
    /// Says which flags do not fit together.
    pub fn check(self) -> Result<Self, String> {
        if self.lease_duration < Duration::from_secs(1) {
            // A Lease holds whole seconds.
            return Err("--leader-election-lease-duration must be at least 1s".into());
        }
        // Others go by what the Lease says.
        if Duration::from_secs(self.lease_duration.as_secs()) <= self.renew_deadline {
            return Err(
                "--leader-election-lease-duration, in whole seconds, must be longer than --leader-election-renew-deadline"
                    .into(),
            );
        }
        if self.renew_deadline < self.retry_period.saturating_mul(2) {
            return Err(
                "--leader-election-renew-deadline must be at least twice as long as --leader-election-retry-period"
                    .into(),
            );
        }
        Ok(self)
    }

    /// The longest time for one call: the apiserver gets more than one chance before the deadline.
    fn call(self) -> Duration {
        self.renew_deadline / 2
    }
}

/// What Leases are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Office {
    /// The Webhooks of a scope and selector, and where there is no selector the connections too.
    Webhooks,
    /// Speaking for the connections: among shards of one scope, one writes their status.
    Connections,
}

/// The name of a Lease: one for each scope and selector, so that shards do not wait for each other.
#[must_use]
pub fn lease_name(office: Office, namespaces: Option<&BTreeSet<String>>, selector: Option<&str>) -> String {
    let (name, selector) = match office {
        Office::Webhooks => ("orion-operator", selector),
        Office::Connections => ("orion-operator-connections", None),
    };
    if namespaces.is_none() && selector.is_none() {
        return name.to_owned();
    }
    let mut digest = Sha256::new();
    // Neither a comma nor NUL is in the name of a namespace.
    digest.update(namespaces.map_or_else(String::new, |names| names.iter().cloned().collect::<Vec<_>>().join(",")));
    digest.update([0]);
    digest.update(selector.unwrap_or_default());
    let digest: String = digest.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{name}-{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_must_fit_together() {
        let terms = |lease, renew, retry| {
            let [lease_duration, renew_deadline, retry_period] = [lease, renew, retry].map(Duration::from_millis);
            Terms { lease_duration, renew_deadline, retry_period }.check()
        };
        assert!(terms(15_000, 10_000, 2_000).is_ok());
        for (wrong, flag) in [
            (terms(10_000, 10_000, 2_000), "lease-duration"),
            (terms(900, 500, 100), "lease-duration"),
            (terms(10_900, 10_500, 2_000), "lease-duration"),
            (terms(15_000, 3_000, 2_000), "renew-deadline"),
        ] {
            assert!(wrong.unwrap_err().starts_with(&format!("--leader-election-{flag}")));
        }
    }

    #[test]
    fn each_scope_and_selector_has_a_lease_of_its_own() {
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
        let of =
            |office, namespaces: Option<BTreeSet<String>>, selector| lease_name(office, namespaces.as_ref(), selector);
        assert_eq!(of(Office::Webhooks, None, None), "orion-operator");
        assert_eq!(of(Office::Connections, None, Some("shard=a")), "orion-operator-connections");
        assert_eq!(of(Office::Webhooks, names(&["b", "a"]), None), of(Office::Webhooks, names(&["a", "b"]), None));
        let all = [
            of(Office::Webhooks, None, None),
            of(Office::Webhooks, None, Some("shard=a")),
            of(Office::Webhooks, None, Some("shard=b")),
            of(Office::Webhooks, names(&["a"]), None),
            of(Office::Webhooks, names(&["a", "b"]), None),
            of(Office::Webhooks, names(&["a"]), Some("shard=a")),
            of(Office::Connections, None, None),
            of(Office::Connections, names(&["a"]), Some("shard=a")),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
        assert!(all.iter().all(|name| name.len() < 63));
    }
}
