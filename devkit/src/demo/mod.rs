//! The whole way of a Webhook on one machine, for people who want to see it: apply, Ready, an event delivered.
//!
//! Control plane and operator are processes of their own; the Orion simulator and the receiver run inside this one.
//! Nothing outlives it.

mod example;
mod operator;
mod screen;
mod steps;
mod try_next;

use std::future::pending;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use receiver::Receiver;
use tokio::signal::unix::{SignalKind, signal};

use crate::control_plane::ControlPlane;
use crate::sim::Sim;
use operator::Operator;
use screen::Screen;

/// Longest time for one request to the simulator, the receiver or the probes.
const HTTP_WITHIN: Duration = Duration::from_secs(10);
/// As a shell says that a program ended by SIGINT.
const INTERRUPTED: u8 = 130;

/// How to show it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The operator's executable.
    pub operator: PathBuf,
    /// Stay once all is Ready, for a person to try more; else delete the Webhook and end.
    pub stay: bool,
}

/// Everything that runs. Dropped in this order: the operator before what it talks to.
#[derive(Default)]
struct Stage {
    operator: Option<Operator>,
    receiver: Option<Receiver>,
    sim: Option<Sim>,
    plane: Option<ControlPlane>,
}

/// How it ended.
enum End {
    Done,
    /// A signal, once there was nothing left to do but stay.
    Left,
    /// A signal before that.
    Interrupted,
    Failed(anyhow::Error),
}

/// Shows it all; gives the exit code.
pub async fn run(options: Options) -> ExitCode {
    let mut screen = Screen::new();
    let mut stage = Stage::default();
    let end = until_the_end(&options, &mut screen, &mut stage).await;
    match &end {
        End::Failed(error) => explain(&screen, &stage, error),
        End::Left | End::Interrupted => screen.heading("Stopping everything."),
        End::Done => {}
    }
    let stopped = match &mut stage.operator {
        Some(operator) => operator.stop().await.map(Some),
        None => Ok(None),
    };
    // Blocks for a moment, until the processes have gone.
    drop(stage);
    match (end, stopped) {
        (End::Failed(_), _) => ExitCode::FAILURE,
        (End::Interrupted, _) => ExitCode::from(INTERRUPTED),
        (End::Done | End::Left, Err(error)) => {
            screen.failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
        (End::Done, Ok(Some(status))) if !status.success() => {
            screen.failure(&format!("the operator ended with {status} when it was asked to stop"));
            ExitCode::FAILURE
        }
        (End::Done, Ok(_)) => {
            screen.heading(&format!("Done in {:.0} s, and everything is stopped.", screen.seconds()));
            ExitCode::SUCCESS
        }
        (End::Left, Ok(_)) => ExitCode::SUCCESS,
    }
}

async fn until_the_end(options: &Options, screen: &mut Screen, stage: &mut Stage) -> End {
    let mut signals = match signals() {
        Ok(signals) => signals,
        Err(error) => return End::Failed(error),
    };
    tokio::select! {
        result = steps::all(options, screen, stage) => if let Err(error) = result {
            return End::Failed(error);
        },
        () = signals.any() => return End::Interrupted,
    }
    if !options.stay {
        return End::Done;
    }
    tokio::select! {
        result = stays(stage) => End::Failed(result.err().unwrap_or_else(|| anyhow::anyhow!("the operator has gone"))),
        () = signals.any() => End::Left,
    }
}

/// For as long as the operator runs.
async fn stays(stage: &mut Stage) -> Result<()> {
    let operator = stage.operator.as_mut().context("there is no operator")?;
    operator.alive_while(pending::<()>()).await
}

fn explain(screen: &Screen, stage: &Stage, error: &anyhow::Error) {
    screen.failure(&format!("The demo failed: {error:#}"));
    if let Some(operator) = &stage.operator {
        screen.heading("The operator's last log lines:");
        screen.say(&operator.last_words());
    }
    screen.heading("What to do:");
    screen.say(
        "Run `make demo` again: on a busy machine it may only have been too slow.\n\
         If it fails in the same way, the reason above and these log lines are what a bug report needs.\n\
         `make test` shows whether the control plane and the operator work here at all.",
    );
}

struct Signals([tokio::signal::unix::Signal; 3]);

fn signals() -> Result<Signals> {
    Ok(Signals([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
}

impl Signals {
    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
