//! How `run` ends: asked to, or because it leads no longer.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::election::Offices;
use crate::leader::Lost;

/// In flight work has this long to end after the first signal; then the Leases are let go, which takes 3 s at most: less
/// than 25 s in all.
const DRAIN: Duration = Duration::from_secs(21);

/// One that does not work yet has nothing to finish.
pub(super) fn idle(signal: &'static str) -> ExitCode {
    info!("{signal}: stopping; this process did not work yet");
    ExitCode::SUCCESS
}

/// The first signal stops the watches and lets what is in flight end; the second one ends the process. Who leads no longer
/// ends at once.
pub(super) async fn until_stopped(
    mut work: JoinHandle<()>,
    mut offices: Offices,
    signals: &mut Signals,
    stop: &CancellationToken,
) -> ExitCode {
    tokio::select! {
        signal = signals.next() => info!("{signal}: finishing what is in flight"),
        _ = &mut work => {
            error!("the controller ended by itself; exiting so that it is started again");
            return ExitCode::FAILURE;
        }
        lost = offices.lost() => return step_down(&lost),
    }
    stop.cancel();
    // The Lease is renewed until all is done: nobody is to begin before.
    let is_done = tokio::select! {
        ended = tokio::time::timeout(DRAIN, &mut work) => ended.is_ok(),
        signal = signals.next() => return at_once(signal),
        lost = offices.lost() => {
            step_down(&lost);
            return ExitCode::SUCCESS;
        }
    };
    if is_done {
        tokio::select! {
            () = offices.release() => info!("stopped"),
            signal = signals.next() => return at_once(signal),
        }
    } else {
        warn!("stopped, with calls cut off that did not end in time; the next start finds out what became of them");
    }
    ExitCode::SUCCESS
}

fn at_once(signal: &'static str) -> ExitCode {
    warn!("{signal}, the second one: stopping at once");
    ExitCode::SUCCESS
}

fn step_down(lost: &Lost) -> ExitCode {
    match lost {
        Lost::Taken => error!("leads no longer, as another process does: exiting"),
        Lost::Broken => error!("the loop of leader election broke, which is a bug: exiting"),
        Lost::Late => error!("leads no longer, as the Lease was not renewed in time: exiting"),
    }
    ExitCode::FAILURE
}

/// What asks the process to stop.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them from the system.
    ///
    /// # Errors
    /// The system gives none.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
