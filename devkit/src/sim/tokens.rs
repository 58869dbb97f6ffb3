//! Access tokens.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use http::HeaderMap;
use serde_json::json;
use tokio::time::Instant;

use super::config::{Config, TokenFormat};

/// The tokens that were given out.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Token to the end of its life.
    live: HashMap<String, Instant>,
    /// Static tokens that were revoked: the configuration may go on naming them.
    revoked: HashSet<String>,
}

impl Tokens {
    /// Makes a token that is good for a while.
    pub(super) fn issue(&mut self, config: &Config, lifetime: Duration) -> String {
        let now = Instant::now();
        self.live.retain(|_, end| *end > now);
        let token = match config.token_format {
            TokenFormat::Opaque => random_hex(24),
            TokenFormat::Jwt => jwt(&config.username, lifetime),
        };
        self.live.insert(token.clone(), now + lifetime);
        token
    }

    /// Ends every token, static ones too.
    pub(super) fn revoke_all(&mut self, config: &Config) {
        self.live.clear();
        self.revoked.extend(config.static_tokens.iter().cloned());
    }

    /// Who does not carry a good token gets the text that FastAPI's examples use.
    pub(super) fn check(&self, config: &Config, headers: &HeaderMap) -> Result<(), &'static str> {
        let token = headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or("Not authenticated")?;
        let is_static = config.static_tokens.iter().any(|it| it == token) && !self.revoked.contains(token);
        let is_live = self.live.get(token).is_some_and(|end| *end > Instant::now());
        if is_static || is_live { Ok(()) } else { Err("Could not validate credentials") }
    }
}

/// A string of random bytes, two characters each.
pub(super) fn random_hex(bytes: usize) -> String {
    let bytes: Vec<u8> = (0..bytes).map(|_| rand::random()).collect();
    HEXLOWER.encode(&bytes)
}

/// Looks like a JWT; the signature is random because nobody checks it.
fn jwt(subject: &str, lifetime: Duration) -> String {
    let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    let expires = jiff::Timestamp::now().as_second().saturating_add(lifetime);
    let part = |value: serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    format!(
        "{}.{}.{}",
        part(json!({"alg": "HS256", "typ": "JWT"})),
        part(json!({"sub": subject, "exp": expires, "jti": random_hex(8)})),
        BASE64URL_NOPAD.encode(random_hex(16).as_bytes())
    )
}
