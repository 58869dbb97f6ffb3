//! How long a token from a login is good for.
//!
//! Only differences count: the time that is left runs on our monotonic clock from before the login was sent. A clock of
//! ours that is wrong, or jumps, does not make a token live longer or shorter, as far as the answer allows:
//!
//! 1. `expires_in` is a difference already;
//! 2. `exp` minus `iat` of a JWT: both from the clock of who made it;
//! 3. `exp` minus the `Date` of the answer: from the same machine, or one beside it;
//! 4. `exp` minus our own clock, where nothing else is to be had.
//!
//! What makes no sense is as if not said: then the token is used until Orion answers 401, which is always noticed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde_json::Value;

/// Shorter lives are not believed: they would mean a login for nearly every call.
const SHORTEST: Duration = Duration::from_secs(1);
/// Nobody runs longer than this; it keeps sums of times from overflowing.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long before its end a token is renewed, at most.
const AHEAD: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Claims {
    exp: f64,
    iat: Option<f64>,
}

/// How long a token lives that an answer of `served` has brought; `None` if that is not known.
pub(super) fn lifetime(
    expires_in: Option<&Value>,
    token: &str,
    served: Option<SystemTime>,
    now: SystemTime,
) -> Option<Duration> {
    let seconds = expires_in.and_then(seconds).filter(|seconds| *seconds > 0.0).or_else(|| {
        let Claims { exp, iat } = claims(token)?;
        let begin = iat.filter(|iat| *iat < exp).or_else(|| Some(unix(served.unwrap_or(now))));
        begin.map(|begin| exp - begin)
    })?;
    let lifetime = Duration::try_from_secs_f64(seconds).ok()?.min(LONGEST);
    (lifetime >= SHORTEST).then_some(lifetime)
}

/// After how much of its life a token is renewed: half a minute before the end, or a fifth of a short life.
pub(super) fn renewed_after(lifetime: Duration) -> Duration {
    lifetime.saturating_sub(AHEAD.min(lifetime / 5))
}

/// A number, or one written as text.
fn seconds(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// The claims of a JWT, whose signature is Orion's matter.
fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let json = Zeroizing::new(BASE64URL_NOPAD.decode(claims.trim_end_matches('=').as_bytes()).ok()?);
    serde_json::from_slice(&json).ok()
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.c2ln", BASE64URL_NOPAD.encode(claims.to_string().as_bytes()))
    }

    #[test]
    fn a_life_is_told_by_differences() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let hour = Duration::from_secs(3600);
        let exp = |left: f64| jwt(&json!({"exp": 1_800_000_000.0 + left}));
        let both = jwt(&json!({"sub": "x", "exp": 1_900_000_600, "iat": 1_900_000_000}));
        for (expires_in, token, served, seconds) in [
            (json!(3600), "opaque".to_owned(), None, Some(3600.0)),
            (json!("3600"), "opaque".to_owned(), None, Some(3600.0)),
            (json!(1.5), "opaque".to_owned(), None, Some(1.5)),
            (json!(60), both.clone(), None, Some(60.0)),
            // Clocks that are wrong by years do not matter where both times are of one clock.
            (json!(null), both.clone(), None, Some(600.0)),
            (json!(null), both, Some(now + hour), Some(600.0)),
            (json!(null), exp(600.0), Some(now), Some(600.0)),
            // The server is an hour ahead of us, and so is its `exp`.
            (json!(null), exp(4200.0), Some(now + hour), Some(600.0)),
            (json!(null), exp(600.0), None, Some(600.0)),
            (json!(null), jwt(&json!({"exp": 1_800_000_600, "iat": 1_900_000_000})), Some(now), Some(600.0)),
            // Nothing to be believed.
            (json!(null), exp(-5.0), Some(now), None),
            (json!(null), exp(0.5), Some(now), None),
            (json!(0), "opaque".to_owned(), None, None),
            (json!(-5), "opaque".to_owned(), None, None),
            (json!("soon"), "opaque".to_owned(), None, None),
            (json!({"s": 1}), "a.b.c".to_owned(), None, None),
            (json!(null), "opaque".to_owned(), None, None),
            (json!(null), jwt(&json!({"exp": "never"})), None, None),
            (json!(null), jwt(&json!({"iat": 5})), None, None),
            (json!(null), format!("{}.x", exp(600.0)), None, None),
            (json!(null), "..".to_owned(), None, None),
        ] {
            let told = lifetime(Some(&expires_in), &token, served, now).map(|life| life.as_secs_f64());
            assert_eq!(told, seconds, "{expires_in} {token} {served:?}");
        }
        assert_eq!(lifetime(Some(&json!(1e300)), "x", None, now), None, "more than a duration holds");
        assert_eq!(lifetime(Some(&json!(1e18)), "x", None, now), Some(LONGEST));
        assert_eq!(lifetime(None, &exp(600.0), None, now), Some(Duration::from_secs(600)));
    }

    #[test]
    fn it_ends_a_little_early() {
        for (life, after) in [(3600, 3570), (150, 120), (100, 80), (10, 8)] {
            assert_eq!(renewed_after(Duration::from_secs(life)), Duration::from_secs(after));
        }
        assert_eq!(renewed_after(SHORTEST), Duration::from_millis(800));
    }
}
