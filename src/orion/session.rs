//! The bearer token of one connection: as a person gave it, or from a login that all callers share.
//!
//! - One login at a time. Who comes meanwhile waits and has its result, be it a token or a failure.
//! - A token is renewed a little before its end. While it still lives, a renewal that fails hurts nobody.
//! - A token that Orion refuses is renewed at once, by one login for all who were refused with it. If the next one is
//!   refused too before it was ever good, more logins will not help: they come at growing distances.
//! - Orion refuses to log in: the next login is a minute later, then two, up to ten; until then nothing is sent and every
//!   caller is told the same. Other credentials are tried at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::time::Instant;

use super::credentials::{Credentials, Given, Password, Source, same};
use super::lifetime::renewed_after;
use super::login::{Granted, Login};
use crate::api::{Failure, FailureClass, Sent};

/// The first wait after a login that was refused; each further one is twice as long.
const WAIT: Duration = Duration::from_secs(60);
/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// After a login that failed for another reason, callers that come one after the other have the same failure for this
/// long: less than the connection waits before it is tried again.
const MOMENT: Duration = Duration::from_millis(500);

/// The credentials of one connection.
pub(super) struct Session {
    source: Arc<dyn Source>,
    login: Login,
    /// Held while somebody logs in.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// What is known of logins with one username and password.
#[derive(Default)]
struct State {
    of: Option<Password>,
    held: Option<Held>,
    failed: Option<Failed>,
    /// Refused logins in a row.
    refusals: u32,
    /// Tokens in a row that were refused before they ever were good.
    useless: u32,
}

/// A token from a login.
struct Held {
    token: SecretString,
    since: Instant,
    /// When it is time for the next one, and when this one ends.
    ends: Option<(Instant, Instant)>,
    /// Orion has answered a call with it.
    good: bool,
}

/// A login that failed.
struct Failed {
    failure: Failure,
    ended: Instant,
    /// No other login before this.
    until: Instant,
}

impl Session {
    /// Credentials from `source`. Nothing is read and nobody logs in yet.
    pub(super) fn new(source: Arc<dyn Source>, login: Login) -> Self {
        Self { source, login, turn: tokio::sync::Mutex::default(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn given(&self) -> Result<Given, Failure> {
        self.source.look().await.given.map_err(|message| Failure {
            class: FailureClass::Unauthorized,
            status: None,
            sent: Sent::No,
            json: false,
            retry_after: None,
            message,
        })
    }

    /// The token, in place of one that was `refused`.
    async fn token(&self, refused: Option<&SecretString>) -> Result<Option<SecretString>, Failure> {
        let asked = Instant::now();
        match self.given().await? {
            Given::Nothing => return Ok(None),
            Given::Token(token) => return Ok(Some(token)),
            Given::Password(given) => {
                if let Some(known) = self.state().known(&given, refused, None) {
                    return known.map(Some);
                }
            }
        }
        let _turn = self.turn.lock().await;
        // Looked at again: what was given before the wait may be outdated, and must not win over what is newer.
        let given = match self.given().await? {
            Given::Nothing => return Ok(None),
            Given::Token(token) => return Ok(Some(token)),
            Given::Password(given) => given,
        };
        if let Some(known) = self.state().known(&given, refused, Some(asked)) {
            return known.map(Some);
        }
        self.state().begin(&given, refused);
        let begun = Instant::now();
        let outcome = self.login.run(&given, self.source.place()).await;
        self.state().end(outcome, begun).map(Some)
    }
}

impl State {
    /// What a caller gets without a login; `None` if there must be one. `asked` is when a caller began to wait for those
    /// who were before it.
    fn known(
        &self,
        given: &Password,
        refused: Option<&SecretString>,
        asked: Option<Instant>,
    ) -> Option<Result<SecretString, Failure>> {
        if !self.of.as_ref().is_some_and(|of| of.is(given)) {
            return None;
        }
        let now = Instant::now();
        let held = self.held.as_ref();
        if let Some(held) = held.filter(|held| held.serves(refused, self.useless, now)) {
            return Some(Ok(held.token.clone()));
        }
        let failed = self.failed.as_ref()?;
        if now >= failed.until && asked.is_none_or(|asked| asked > failed.ended) {
            return None;
        }
        let living = held.filter(|held| held.lives(now) && !held.is_any(refused));
        Some(living.map_or_else(|| Err(failed.told(now)), |held| Ok(held.token.clone())))
    }

    /// Somebody is about to log in.
    fn begin(&mut self, given: &Password, refused: Option<&SecretString>) {
        if !self.of.as_ref().is_some_and(|of| of.is(given)) {
            *self = Self { of: Some(given.clone()), ..Self::default() };
        }
        if let Some(held) = self.held.take_if(|held| held.is_any(refused)) {
            self.useless = if held.good { 0 } else { self.useless.saturating_add(1) };
        }
    }

    /// The login that was `begun` has ended so. What the caller gets.
    fn end(&mut self, outcome: Result<Granted, Failure>, begun: Instant) -> Result<SecretString, Failure> {
        let now = Instant::now();
        match outcome {
            Ok(Granted { token, lifetime }) => {
                let ends = lifetime.map(|lifetime| (begun + renewed_after(lifetime), begun + lifetime));
                self.held = Some(Held { token: token.clone(), since: now, ends, good: false });
                self.failed = None;
                self.refusals = 0;
                Ok(token)
            }
            Err(failure) => {
                let wait = match failure.class {
                    // A person has to act: to ask again and again may lock the account.
                    FailureClass::Unauthorized | FailureClass::NoLogin | FailureClass::Redirect => {
                        self.refusals = self.refusals.saturating_add(1);
                        wait(self.refusals)
                    }
                    FailureClass::Unreachable
                    | FailureClass::Timeout
                    | FailureClass::Tls
                    | FailureClass::RateLimited
                    | FailureClass::ServerError
                    | FailureClass::Protocol
                    | FailureClass::Rejected
                    | FailureClass::Forbidden
                    | FailureClass::NotFound
                    | FailureClass::MethodNotAllowed
                    | FailureClass::Conflict
                    | FailureClass::Insecure => failure.retry_after.unwrap_or_default().max(MOMENT),
                };
                self.failed = Some(Failed { failure: failure.clone(), ended: now, until: now + wait });
                self.held.as_ref().filter(|held| held.lives(now)).map_or(Err(failure), |held| Ok(held.token.clone()))
            }
        }
    }
}

impl Held {
    /// It is the token that was refused.
    fn is_any(&self, refused: Option<&SecretString>) -> bool {
        refused.is_some_and(|refused| same(refused, &self.token))
    }

    /// It is what a caller gets, and nobody has to log in.
    fn serves(&self, refused: Option<&SecretString>, useless: u32, now: Instant) -> bool {
        if self.is_any(refused) {
            // It is handed out as it is: the refusal stands.
            !self.good && now < self.since + wait(useless)
        } else {
            self.ends.is_none_or(|(renewed, _)| now < renewed)
        }
    }

    fn lives(&self, now: Instant) -> bool {
        self.ends.is_none_or(|(_, end)| now < end)
    }
}

impl Failed {
    /// The failure as it is told to who comes now. What Orion asked us to wait has partly gone by.
    fn told(&self, now: Instant) -> Failure {
        let left = self.until.saturating_duration_since(now);
        Failure { retry_after: self.failure.retry_after.map(|asked| asked.min(left)), ..self.failure.clone() }
    }
}

/// The wait after so many refusals in a row.
fn wait(refusals: u32) -> Duration {
    match refusals.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => WAIT.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_WAIT),
    }
}

#[async_trait]
impl Credentials for Session {
    async fn bearer(&self) -> Result<Option<SecretString>, Failure> {
        self.token(None).await
    }

    async fn renew(&self, refused: Option<&SecretString>) -> Result<Option<SecretString>, Failure> {
        self.token(refused).await
    }

    fn accepted(&self, token: &SecretString) {
        let mut state = self.state();
        if let Some(held) = state.held.as_mut().filter(|held| !held.good && same(&held.token, token)) {
            held.good = true;
            state.useless = 0;
        }
    }

    async fn epoch(&self) -> u64 {
        self.source.look().await.epoch
    }

    fn login_age(&self) -> Option<Duration> {
        self.state().held.as_ref().map(|held| held.since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_minutes() {
        let minutes = [0, 1, 2, 3, 4, 5, 6, u32::MAX].map(|refusals| wait(refusals).as_secs() / 60);
        assert_eq!(minutes, [0, 1, 2, 4, 8, 10, 10, 10]);
    }
}
