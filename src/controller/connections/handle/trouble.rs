//! Trouble of a connection: what calls tell of it, the look that finds out, and how it ends.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{ConnectionHandle, Troubled};
use crate::api::{Failure, FailureClass, Reason, Sent, Support};
use crate::controller::clock::chance;
use crate::controller::connections::key::ConnectionKey;
use crate::plan::{Trouble, backoff, explain};

/// The longest look at a connection, whatever its Orion serves: 50,000 webhooks in pages of 100 take half of it at most.
const LOOK_AT_MOST: Duration = Duration::from_secs(300);

impl ConnectionHandle {
    /// Takes note of how a call went: trouble of the connection stops all its Webhooks, and any success ends it.
    pub fn note<T>(&self, result: &Result<T, Failure>) {
        match result {
            Err(failure) if failure.is_of_the_connection() || failure.retry_after.is_some() => self.trouble(failure),
            // Credentials that cannot be had are everybody's trouble. A 401 that answers one call need not be: a token may
            // be good for one verb and not for another. The look decides.
            Err(failure) if failure.class == FailureClass::Unauthorized => match failure.sent {
                Sent::No => self.fails(failure),
                Sent::Maybe => self.doubted(),
            },
            Ok(_) => self.succeeded(),
            Err(_) => {}
        }
    }

    fn succeeded(&self) {
        let mut state = self.state();
        state.succeeded = self.clock.boot();
        let is_news = !std::mem::replace(&mut state.good, true);
        let was_failing = state.failing.take().is_some();
        // Whoever waits for it does not wait on.
        state.recoveries += u64::from(was_failing);
        let ends = match &state.trouble {
            None => {
                state.row = 0;
                false
            }
            Some(troubled) if troubled.told_to_wait => false,
            Some(_) => {
                state.row = 0;
                true
            }
        };
        drop(state);
        if ends {
            self.end_trouble();
        }
        if was_failing {
            self.revision.send_modify(|revision| *revision += 1);
        }
        if is_news || was_failing {
            self.stir();
        }
    }

    /// The last look failed, or the credentials were refused: until another look succeeds nobody else has to find out.
    fn fails(&self, failure: &Failure) {
        let trouble = Trouble { reason: failure.reason(), message: explain(failure) };
        let mut state = self.state();
        state.good = false;
        let is_news = state.failing.as_ref() != Some(&trouble);
        state.failing = Some(trouble.clone());
        drop(state);
        if is_news {
            if self.key != ConnectionKey::Default {
                warn!(connection = %self.key, endpoint = %self.orion.endpoint(), reason = %trouble.reason, "{}", trouble.message);
            }
            self.stir();
        }
    }

    /// Something went wrong that need not be the connection's fault: it is to be looked at.
    pub(super) fn doubted(&self) {
        if std::mem::replace(&mut self.state().good, false) {
            self.stir();
        }
    }

    /// One look whether the connection can be used: what Orion can do, and the list that its Webhooks share, or where
    /// there is none at least the credentials. `stored` as for [`ConnectionHandle::list`].
    ///
    /// # Errors
    /// It cannot be used. It is noted as well.
    pub(in crate::controller::connections) async fn look(
        &self,
        stored: impl Fn() -> BTreeSet<String>,
    ) -> Result<(), Failure> {
        let look = async {
            self.discover().await;
            if self.orion.capabilities().list == Support::Absent {
                return self.orion.prepare().await;
            }
            match self.list(self.clock.boot(), stored).await {
                Err(failure) if failure.class.is_absent() => Ok(()),
                result => result.map(drop),
            }
        };
        let result = tokio::time::timeout(LOOK_AT_MOST, look).await.unwrap_or_else(|_| {
            Err(Failure {
                class: FailureClass::Timeout,
                status: None,
                sent: Sent::Maybe,
                json: false,
                retry_after: None,
                message: format!(
                    "Orion at {} takes more than {} s for its list",
                    self.orion.endpoint().host(),
                    LOOK_AT_MOST.as_secs()
                ),
            })
        });
        match &result {
            Ok(()) => self.succeeded(),
            Err(failure) if failure.is_of_the_connection() || failure.retry_after.is_some() => self.trouble(failure),
            Err(failure) => self.fails(failure),
        }
        result
    }

    fn trouble(&self, failure: &Failure) {
        let trouble = Trouble { reason: failure.reason(), message: explain(failure) };
        let now = self.clock.boot();
        let mut state = self.state();
        state.good = false;
        let is_first = state.trouble.is_none();
        if is_first {
            warn!(endpoint = %self.orion.endpoint(), reason = %trouble.reason, "{}", trouble.message);
            state.row = state.row.saturating_add(1);
        }
        let wait =
            backoff(state.row.min(4), chance(&*self.clock).random()).max(failure.retry_after.unwrap_or_default());
        let told_to_wait = trouble.reason == Reason::RateLimited || failure.retry_after.is_some();
        let until = now + wait;
        // The calls that were under way fail one after the other: the first one's wait stands, unless Orion asks for more.
        state.trouble = match state.trouble.take() {
            Some(known) if known.until > now && !(told_to_wait && until > known.until) => Some(known),
            Some(_) | None => Some(Troubled { trouble, until, told_to_wait }),
        };
        drop(state);
        self.troubled.notify_one();
        if is_first {
            self.stir();
        }
    }

    /// The same, for what is no answer of Orion's: a success proves nothing.
    pub fn note_failure<T>(&self, result: &Result<T, Failure>) {
        if result.is_err() {
            self.note(result);
        }
    }

    fn end_trouble(&self) {
        let mut state = self.state();
        if state.trouble.take().is_some() {
            state.recoveries += 1;
            drop(state);
            info!(endpoint = %self.orion.endpoint(), "Orion is called again");
            self.revision.send_modify(|revision| *revision += 1);
            self.stir();
        }
    }

    /// Ends trouble when it is over, and notices new credentials. Runs until stopped.
    pub async fn tend(&self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            tokio::join!(self.tend_trouble(), self.tend_credentials());
        })
        .await;
    }

    async fn tend_trouble(&self) {
        loop {
            let troubled = self.state().trouble.clone();
            let Some(troubled) = troubled else {
                self.troubled.notified().await;
                continue;
            };
            let left = troubled.until.saturating_sub(self.clock.boot());
            if !left.is_zero() {
                debug!(reason = %troubled.trouble.reason, seconds = left.as_secs_f32(), "waiting before Orion is called again");
                tokio::time::sleep(left).await;
                continue;
            }
            if troubled.told_to_wait {
                // Orion said when: no call is spent on asking.
                self.end_trouble();
                continue;
            }
            // A list is the one call that can be made at any time and changes nothing.
            match self.orion.list().await {
                Err(failure) if failure.is_of_the_connection() => {
                    self.state().row += 1;
                    self.trouble(&failure);
                }
                Ok(_) => {
                    self.state().good = true;
                    self.end_trouble();
                }
                Err(_) => self.end_trouble(),
            }
        }
    }
}
