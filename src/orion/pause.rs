//! Orion has asked to wait (`Retry-After`): until then nobody calls it on this connection, not even who stood in line.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::api::{Failure, Sent};

/// The wait that Orion has asked for.
#[derive(Default)]
pub(super) struct Pause {
    asked: Mutex<Option<(Instant, Failure)>>,
}

impl Pause {
    /// Takes note of how a call ended. A shorter wait never takes the place of a longer one.
    pub(super) fn note<T>(&self, outcome: &Result<T, Failure>) {
        let Err(failure) = outcome else { return };
        let Some(wait) = failure.retry_after.filter(|wait| !wait.is_zero()) else { return };
        let until = Instant::now() + wait;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.as_ref().is_none_or(|(known, _)| *known < until) {
            *asked = Some((until, failure.clone()));
        }
    }

    /// A call may be made now.
    ///
    /// # Errors
    /// The failure by which Orion asked to wait, with what is left of the wait. Nothing of this call was sent.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match asked.as_ref() {
            Some((until, failure)) if *until > now => Err(Failure {
                // The answer was one to another call.
                status: None,
                sent: Sent::No,
                json: false,
                retry_after: Some(*until - now),
                ..failure.clone()
            }),
            Some(_) => {
                *asked = None;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::FailureClass;

    fn asked(seconds: u64) -> Result<(), Failure> {
        Err(Failure {
            class: FailureClass::RateLimited,
            status: Some(429),
            sent: Sent::Maybe,
            json: true,
            retry_after: Some(Duration::from_secs(seconds)),
            message: "slower".into(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_wait_stands_and_then_it_is_over() {
        let pause = Pause::default();
        pause.check().unwrap();
        pause.note(&asked(3));
        pause.note(&asked(1));
        pause.note(&Ok::<_, Failure>(()));
        tokio::time::advance(Duration::from_secs(2)).await;
        let failure = pause.check().unwrap_err();
        assert_eq!((failure.sent, failure.status, failure.retry_after), (Sent::No, None, Some(Duration::from_secs(1))));
        assert!(failure.is_known_refusal() && failure.is_of_the_connection());
        tokio::time::advance(Duration::from_secs(1)).await;
        pause.check().unwrap();
    }
}
