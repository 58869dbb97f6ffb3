//! What Orion can do, and how often it may be asked: from what is known to lines. Pure.

use super::api::Heard;
use super::line::{Check, Line};
use crate::api::{Capabilities, Support};

/// What Orion can do.
pub(super) fn capabilities(known: Capabilities, is_documented: bool) -> Vec<Line> {
    let Capabilities { list, get, put, patch, delete } = known;
    let all = [list, get, put, patch, delete];
    let is_post_only = list == Support::Absent && all.iter().all(|support| *support != Support::Proven);
    let said = |can: &str| format!("{can}, as {}", if is_documented { "openapi.json says" } else { "it has shown" });
    let unknown = |what: &str| format!("no openapi.json says whether it can {what}, and it is not tried");
    let one = |check, support, can: &str, what: &str, lacks: &str, todo: &str| match support {
        Support::Proven => Line::ok(check, said(can)),
        Support::Absent => Line::warn(check, lacks, todo),
        Support::Unknown => Line::skipped(check, unknown(what)),
    };
    let lacks_list = if is_post_only {
        "POST-only API: webhooks can be created, and nothing else is known to work"
    } else {
        "webhooks cannot be listed"
    };
    let update = match (put, patch) {
        (Support::Proven, _) => Line::ok(Check::Update, said("PUT")),
        (_, Support::Proven) => Line::ok(Check::Update, said("PATCH")),
        (Support::Absent, Support::Absent) => Line::warn(
            Check::Update,
            "a webhook cannot be changed: neither PUT nor PATCH",
            "A Webhook whose spec changes says UpdateUnsupported. Delete it, and create it again",
        ),
        (Support::Unknown, _) | (_, Support::Unknown) => Line::skipped(Check::Update, unknown("change a webhook")),
    };
    vec![
        one(
            Check::List,
            list,
            "GET of all",
            "list webhooks",
            lacks_list,
            "A create whose result is unknown is left to a person: CreateUnresolved. Drift and orphans are not seen",
        ),
        one(
            Check::Get,
            get,
            "GET of one",
            "read one",
            "a webhook cannot be read by its id",
            if list == Support::Absent {
                "What is changed at Orion is not seen"
            } else {
                "Nothing: the list is read instead"
            },
        ),
        update,
        one(
            Check::Delete,
            delete,
            "DELETE",
            "delete a webhook",
            "a webhook cannot be deleted",
            "A Webhook that is deleted says DeleteUnsupported: have its webhook removed at Orion, then let it go as the message says",
        ),
    ]
}

/// What Orion says about how often it may be called.
pub(super) fn rate_limit(heard: &Heard) -> Line {
    let check = Check::RateLimit;
    if heard.limits.is_empty() {
        return Line::ok(check, "no header of the answers speaks of one");
    }
    let all: Vec<String> = heard.limits.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    Line::ok(check, all.join(", "))
}

#[cfg(test)]
mod tests {
    use Support::{Absent, Proven, Unknown};

    use super::super::line::Status;
    use super::*;

    const ALL: Capabilities = Capabilities { list: Proven, get: Proven, put: Proven, patch: Proven, delete: Proven };

    #[test]
    fn what_orion_can_do_is_told() {
        use Status::{Ok as Good, Skipped, Warn};
        let of = |capabilities| capabilities_of(capabilities).map(|line| line.status);
        assert_eq!(of(ALL), [Good, Good, Good, Good]);
        assert_eq!(of(Capabilities::default()), [Skipped; 4]);
        let none = Capabilities { list: Absent, get: Absent, put: Absent, patch: Absent, delete: Absent };
        assert_eq!(of(none), [Warn; 4]);
        assert!(capabilities_of(none)[0].found.contains("POST-only"));
        let no_list = Capabilities { list: Absent, ..ALL };
        assert!(!capabilities_of(no_list)[0].found.contains("POST-only"));
        for (put, patch, status) in [
            (Absent, Proven, Good),
            (Unknown, Proven, Good),
            (Proven, Unknown, Good),
            (Absent, Unknown, Skipped),
            (Unknown, Absent, Skipped),
            (Absent, Absent, Warn),
        ] {
            assert_eq!(of(Capabilities { put, patch, ..ALL })[2], status, "{put:?} {patch:?}");
        }
    }

    fn capabilities_of(capabilities: Capabilities) -> [Line; 4] {
        super::capabilities(capabilities, true).try_into().unwrap()
    }

    #[test]
    fn limits_are_told_as_they_are() {
        let heard = |limits: &[(&str, &str)]| Heard {
            limits: limits.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            ..Heard::default()
        };
        assert!(rate_limit(&heard(&[])).found.contains("no header"));
        assert_eq!(rate_limit(&heard(&[("a", "1"), ("b", "2")])).found, "a: 1, b: 2");
    }
}
