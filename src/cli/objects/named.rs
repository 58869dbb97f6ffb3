//! Objects as people name them.

use std::fmt;
use std::str::FromStr;

use crate::api::GROUP;

/// The kinds of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `Webhook`.
    Webhook,
    /// `OrionConnection`.
    Connection,
    /// `ClusterOrionConnection`.
    ClusterConnection,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Webhook, Self::Connection, Self::ClusterConnection];

    pub(in crate::cli) fn name(self) -> &'static str {
        match self {
            Self::Webhook => "Webhook",
            Self::Connection => "OrionConnection",
            Self::ClusterConnection => "ClusterOrionConnection",
        }
    }

    pub(in crate::cli) fn plural(self) -> &'static str {
        match self {
            Self::Webhook => "webhooks",
            Self::Connection => "orionconnections",
            Self::ClusterConnection => "clusterorionconnections",
        }
    }

    /// As it is written before a name; nothing for what needs nothing.
    fn prefix(self) -> &'static str {
        match self {
            Self::Webhook => "",
            Self::Connection => "oconn/",
            Self::ClusterConnection => "coconn/",
        }
    }

    fn short(self) -> &'static str {
        match self {
            Self::Webhook => "owh",
            Self::Connection => "oconn",
            Self::ClusterConnection => "coconn",
        }
    }

    pub(in crate::cli) fn is_namespaced(self) -> bool {
        match self {
            Self::Webhook | Self::Connection => true,
            Self::ClusterConnection => false,
        }
    }

    /// As kubectl takes it: singular, plural, short, with the group or without.
    fn of(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let word = word.strip_suffix(GROUP).and_then(|word| word.strip_suffix('.')).unwrap_or(&word);
        Self::ALL
            .into_iter()
            .find(|kind| word == kind.name().to_ascii_lowercase() || word == kind.plural() || word == kind.short())
    }
}

/// One object, by its kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = match text.split_once('/') {
            None => (Kind::Webhook, text),
            Some((word, name)) => {
                let unknown = || {
                    format!(
                        "{word} is no kind: webhook, orionconnection (oconn) or clusterorionconnection (coconn). If it is a \
                         namespace: {name} -n {word}"
                    )
                };
                (Kind::of(word).ok_or_else(unknown)?, name)
            }
        };
        let is_name = !name.is_empty() && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
        if is_name { Ok(Self { kind, name: name.to_owned() }) } else { Err("it must be the name of an object".into()) }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.prefix(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_as_kubectl_takes_it() {
        for (text, kind, name) in [
            ("jobs", Kind::Webhook, "jobs"),
            ("webhook/jobs", Kind::Webhook, "jobs"),
            ("webhooks.orion-operator.dev/jobs", Kind::Webhook, "jobs"),
            ("owh/a.b", Kind::Webhook, "a.b"),
            ("oconn/acme", Kind::Connection, "acme"),
            ("OrionConnection/acme", Kind::Connection, "acme"),
            ("coconn/acme", Kind::ClusterConnection, "acme"),
        ] {
            assert_eq!(text.parse(), Ok(Named { kind, name: name.to_owned() }), "{text}");
        }
        for kind in Kind::ALL {
            let named = Named { kind, name: "x".into() };
            assert_eq!(named.to_string().parse(), Ok(named), "what is printed is taken again");
        }
        for text in ["", "webhook/", "a/b/c", "webhook/A B", "../x"] {
            assert!(text.parse::<Named>().is_err(), "{text}");
        }
        assert!("team-a/jobs".parse::<Named>().unwrap_err().ends_with("jobs -n team-a"));
    }
}
