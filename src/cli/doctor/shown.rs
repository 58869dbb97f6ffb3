//! What webhooks at Orion show of their headers: values, and markers. Pure.

use secrecy::ExposeSecret;

use super::line::{Check, Line};
use crate::api::{OWNER_HEADER, RemoteWebhook, is_masked};

/// Counts of webhooks and headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    webhooks: usize,
    /// Headers that are not markers, with a value,
    plain: usize,
    /// and those whose value is hidden.
    hidden: usize,
    /// Webhooks with a marker that can be read,
    marked: usize,
    /// and with one that cannot.
    veiled: usize,
}

impl Shown {
    /// Of these webhooks.
    pub(super) fn of<'a>(webhooks: impl IntoIterator<Item = &'a RemoteWebhook>) -> Self {
        let mut shown = Self::default();
        for webhook in webhooks {
            shown.webhooks += 1;
            let headers = || webhook.headers.iter().flatten();
            for header in headers().filter(|header| !header.name.eq_ignore_ascii_case(OWNER_HEADER)) {
                let is_plain = header.value.as_ref().is_some_and(|value| !is_masked(value.expose_secret()));
                *(if is_plain { &mut shown.plain } else { &mut shown.hidden }) += 1;
            }
            if webhook.owner().is_some() {
                shown.marked += 1;
            } else if headers().any(|header| {
                let is_hidden = header.value.as_ref().is_none_or(|value| is_masked(value.expose_secret()));
                is_hidden && header.name.eq_ignore_ascii_case(OWNER_HEADER)
            }) {
                shown.veiled += 1;
            }
        }
        shown
    }

    /// Whether values can be read.
    pub(super) fn headers(self, is_written: bool) -> Line {
        let check = Check::Headers;
        match self {
            Self { plain: 0, hidden: 0, .. } => {
                Line::skipped(check, nothing_yet("no webhook shows a header", is_written))
            }
            Self { hidden: 0, .. } => Line::ok(check, "their values are shown"),
            Self { .. } => Line::warn(
                check,
                "Orion masks the values of headers",
                "Nothing: a rotated Secret is sent all the same, but a value that somebody changes at Orion is not seen",
            ),
        }
    }

    /// Whether markers can be read. `is_marking`: this connection has webhooks marked.
    pub(super) fn marker(self, is_marking: bool, is_written: bool) -> Line {
        let check = Check::Marker;
        match self {
            Self { .. } if !is_marking => {
                Line::ok(check, "ownership is None: a create whose result is unknown may be left to a person")
            }
            Self { veiled: 1.., .. } => Line::warn(
                check,
                "Orion masks the owner marker too",
                "A create whose result is unknown is left to a person: CreateUnresolved. Ask who runs Orion to show X-Orion-Operator-Owner",
            ),
            Self { marked: 0, .. } => Line::skipped(check, nothing_yet("no webhook shows a marker", is_written)),
            Self { marked, webhooks, .. } => {
                Line::ok(check, format!("{marked} of {webhooks} webhooks show one that can be read"))
            }
        }
    }
}

fn nothing_yet(what: &str, is_written: bool) -> String {
    if is_written { what.to_owned() } else { format!("{what} yet; --write makes one to find out, and deletes it") }
}

#[cfg(test)]
mod tests {
    use super::super::line::Status;
    use super::*;
    use crate::api::{InstanceId, RemoteHeader};

    fn webhook(headers: &[(&str, Option<&str>)]) -> RemoteWebhook {
        let header = |(name, value): &(&str, Option<&str>)| RemoteHeader {
            name: (*name).to_owned(),
            value: value.map(Into::into),
        };
        RemoteWebhook {
            id: "wh_1".into(),
            url: None,
            user_id: None,
            presence_name: None,
            headers: Some(headers.iter().map(header).collect()),
        }
    }

    #[test]
    fn values_and_markers_are_shown_or_not() {
        let owner = InstanceId::new("i").owner("a", "b");
        let mark = (OWNER_HEADER, Some(owner.as_str()));
        use Status::{Ok as Good, Skipped, Warn};
        for (headers, values, marker) in [
            (vec![], Skipped, Skipped),
            (vec![("X-A", Some("1"))], Good, Skipped),
            (vec![("X-A", Some("1")), mark], Good, Good),
            (vec![("X-A", Some("***")), mark], Warn, Good),
            (vec![("X-A", None), ("X-B", Some("1"))], Warn, Skipped),
            (vec![("x-orion-operator-owner", Some("***"))], Skipped, Warn),
            (vec![(OWNER_HEADER, None)], Skipped, Warn),
            // Somebody wrote what is no marker.
            (vec![(OWNER_HEADER, Some("team-a"))], Skipped, Skipped),
        ] {
            let shown = Shown::of(&[webhook(&headers)]);
            assert_eq!(
                (shown.headers(false).status, shown.marker(true, false).status),
                (values, marker),
                "{headers:?}"
            );
            assert_eq!(shown.marker(false, false).status, Good);
        }
        let unknown = RemoteWebhook { headers: None, ..webhook(&[]) };
        assert!(Shown::of(&[unknown]).headers(false).found.contains("--write"));
        assert!(!Shown::default().headers(true).found.contains("--write"));
        let both = Shown::of(&[webhook(&[mark]), webhook(&[])]);
        assert!(both.marker(true, false).found.contains("1 of 2"));
    }
}
