//! Who owns what: the instance id, the owner marker that Orion keeps for us, and the create-attempt annotation
//! (design section 4).

use std::collections::BTreeSet;
use std::fmt;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

/// Name of the header that carries the owner marker at Orion. Reserved: no user header may have it.
pub const OWNER_HEADER: &str = "X-Orion-Operator-Owner";

/// The identity of one installation of the operator: `--instance-id`, else the UID of its namespace.
///
/// All shards of one installation share it; a clone of a cluster must have another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InstanceId {
    id: String,
    prefix: String,
}

impl InstanceId {
    /// An instance with the given id.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        let prefix = hash(&[&id], 8);
        Self { id, prefix }
    }

    /// The id itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// The eight characters that stand for the instance in markers and attempts.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The marker of one Webhook of this instance.
    #[must_use]
    pub fn owner(&self, namespace: &str, name: &str) -> Owner {
        Owner(format!(
            "v1.{}.{}.{}",
            self.prefix,
            hash(&[&self.id, namespace], 6),
            hash(&[&self.id, namespace, name], 12)
        ))
    }

    /// This instance made the marker, for a Webhook in one of the namespaces (`None` for any).
    #[must_use]
    pub fn made(&self, owner: &Owner, namespaces: Option<&BTreeSet<String>>) -> bool {
        let is_of = |namespace: &String| owner.part(2) == hash(&[&self.id, namespace], 6);
        owner.instance_prefix() == self.prefix && namespaces.is_none_or(|names| names.iter().any(is_of))
    }
}

/// An owner marker, `v1.<instance>.<namespace>.<name>`: opaque, holds no name in clear.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Owner(String);

impl Owner {
    /// Reads a marker from a header value; `None` if it is not one (masked, or somebody else's text).
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split('.');
        let shape_fits = parts.next() == Some("v1")
            && [8, 6, 12].iter().all(|length| {
                parts.next().is_some_and(|part| {
                    part.len() == *length && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
                })
            })
            && parts.next().is_none();
        shape_fits.then(|| Self(value.to_owned()))
    }

    /// The text of the marker.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The eight characters of the instance that made it.
    #[must_use]
    pub fn instance_prefix(&self) -> &str {
        self.part(1)
    }

    fn part(&self, number: usize) -> &str {
        self.0.split('.').nth(number).unwrap_or_default()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A create attempt, as the annotation `orion-operator.dev/create-attempt` records it before the POST.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Random token; also sent as `Idempotency-Key`.
    pub token: String,
    /// When it was begun, RFC 3339. For people only: no decision reads it.
    pub begun: String,
    /// The eight characters of the instance that began it.
    pub instance: String,
}

impl Attempt {
    /// Reads the annotation. Missing words are empty: a damaged attempt is still an attempt, of nobody we know.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace().map(str::to_owned);
        Self {
            token: words.next().unwrap_or_default(),
            begun: words.next().unwrap_or_default(),
            instance: words.next().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.token, self.begun, self.instance)
    }
}

/// Lower-case base32 of SHA-256 over the NUL-joined parts, cut to `length` characters.
fn hash(parts: &[&str], length: usize) -> String {
    let digest = Sha256::digest(parts.join("\0").as_bytes());
    BASE32_NOPAD.encode(&digest).to_ascii_lowercase().chars().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_has_the_fixed_shape_and_reads_back() {
        let owner = InstanceId::new("i").owner("team-a", "hook");
        let lengths: Vec<usize> = owner.as_str().split('.').map(str::len).collect();
        assert_eq!(lengths, [2, 8, 6, 12]);
        assert_eq!(Owner::parse(owner.as_str()), Some(owner));
    }

    #[test]
    fn the_hashes_are_those_of_the_contract() {
        // printf 'i' | sha256sum | xxd -r -p | base32 | tr A-Z a-z, and so on with NUL between the parts
        let expected = |text: &str, n: usize| -> String {
            BASE32_NOPAD.encode(&Sha256::digest(text.as_bytes())).to_ascii_lowercase().chars().take(n).collect()
        };
        assert_eq!(
            InstanceId::new("i").owner("a", "b").as_str(),
            format!("v1.{}.{}.{}", expected("i", 8), expected("i\0a", 6), expected("i\0a\0b", 12))
        );
    }

    #[test]
    fn what_is_not_a_marker_is_none() {
        for text in ["", "***", "v1", "v1.a.b.c", "v2.aaaaaaaa.aaaaaa.aaaaaaaaaaaa", "v1.AAAAAAAA.aaaaaa.aaaaaaaaaaaa"]
        {
            assert_eq!(Owner::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_attempt_reads_back_and_a_damaged_one_still_is_one() {
        let attempt = Attempt { token: "t".into(), begun: "2026-11-25T00:00:00Z".into(), instance: "abcdefgh".into() };
        assert_eq!(Attempt::parse(&attempt.to_string()), attempt);
        assert_eq!(Attempt::parse("t").instance, "");
    }
}
