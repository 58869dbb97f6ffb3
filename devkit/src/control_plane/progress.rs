//! What a person sees while something slow is made.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a line is repeated where no terminal can update it in place.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// Prints one line to standard error. Unlike `eprintln!` this is not captured by the test harness, so that a first
/// test run does not look stuck while it builds; an unwritable standard error is no reason to fail.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Awaits `work` while showing `what` and the seconds passed: updated in place on a terminal, else as plain lines.
pub(crate) async fn during<F: Future>(what: &str, work: F) -> F::Output {
    let terminal = io::stderr().is_terminal();
    let started = Instant::now();
    let show = |end: &str| {
        let seconds = started.elapsed().as_secs();
        let _ = if terminal {
            write!(io::stderr(), "\r{what} ({seconds} s){end}")
        } else {
            writeln!(io::stderr(), "{what} ({seconds} s)")
        };
    };
    let mut ticks = tokio::time::interval(if terminal { Duration::from_secs(1) } else { PLAIN_EVERY });
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            output = &mut work => {
                show("\n");
                return output;
            }
            _ = ticks.tick() => show(""),
        }
    }
}
