//! Names that stay the same with every import, and which headers look secret. Pure.

use std::collections::BTreeSet;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

/// Words in the name of a header whose value is no business of whoever reads a manifest.
const SECRET_WORDS: [&str; 13] = [
    "auth",
    "secret",
    "token",
    "key",
    "signature",
    "password",
    "passwd",
    "credential",
    "cookie",
    "session",
    "bearer",
    "jwt",
    "hmac",
];
/// Of the presence name as much, so that there is room for what comes after it.
const SLUG_AT_MOST: usize = 48;
/// Characters of the id's hash: two webhooks of one presence name do not meet.
const HASH: usize = 8;

/// The name of the Webhook for this id: of its presence name, for people, and of its id, which alone is unique. So it stays
/// when other webhooks come and go.
pub(super) fn object_name(presence_name: &str, id: &str) -> String {
    let hash = BASE32_NOPAD.encode(&Sha256::digest(id.as_bytes())).to_ascii_lowercase();
    let hash: String = hash.chars().take(HASH).collect();
    let slug = slug(presence_name);
    if slug.is_empty() { format!("webhook-{hash}") } else { format!("{slug}-{hash}") }
}

/// Lower-case letters, digits and single dashes between them.
fn slug(text: &str) -> String {
    let plain = text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let slug = plain.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    slug.chars().take(SLUG_AT_MOST).collect::<String>().trim_end_matches('-').to_owned()
}

/// Keys of a Secret for these names of headers, in their order.
pub(super) fn keys<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    headers
        .map(|header| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let plain = header.to_ascii_lowercase().replace(|c: char| !fits(c), "_");
            // A key may neither be "." nor start with "..".
            let plain = if plain.starts_with('.') { format!("_{plain}") } else { plain };
            let key = (1..)
                .map(|number| if number == 1 { plain.clone() } else { format!("{plain}-{number}") })
                .find(|key| !taken.contains(key))
                .unwrap_or_default();
            taken.insert(key.clone());
            key
        })
        .collect()
}

/// The header's name, or the beginning of its value, says that this is a secret.
pub(super) fn looks_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let value = value.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word)) || value.starts_with("bearer ") || value.starts_with("basic ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_for_people_and_unique() {
        let name = object_name("Job Notifications / Größe!", "wh_1");
        assert!(name.starts_with("job-notifications-gr-e-") && name.len() == 23 + HASH, "{name}");
        assert_eq!(name, object_name("Job Notifications / Größe!", "wh_1"), "the same each time");
        assert_ne!(name, object_name("Job Notifications / Größe!", "wh_2"));
        assert!(object_name("***", "wh_1").starts_with("webhook-"));
        assert!(object_name(&"x".repeat(256), "wh_1").len() < 63);
        assert!(!object_name(&format!("{}-y", "x".repeat(47)), "wh_1").contains("--"));
    }

    #[test]
    fn keys_are_keys_and_differ() {
        let headers = ["X-Webhook-Secret", "a!b", "a|b", "..", "~"];
        assert_eq!(keys(headers.into_iter()), ["x-webhook-secret", "a_b", "a_b-2", "_..", "_"]);
    }

    #[test]
    fn secrets_are_known_by_their_names_or_their_scheme() {
        for (name, value, expected) in [
            ("Authorization", "", true),
            ("X-Webhook-Secret", "x", true),
            ("X-Hub-Signature-256", "x", true),
            ("X-API-Key", "x", true),
            ("PRIVATE-TOKEN", "x", true),
            ("X-Team", "Bearer abc", true),
            ("X-Team", "data", false),
            ("Content-Type", "application/json", false),
        ] {
            assert_eq!(looks_secret(name, value), expected, "{name}: {value}");
        }
    }
}
