//! What is measured: the floor and the operator, each a process of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::usage;

/// How long it may take to watch, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Quiet is when it uses at most this much of this time.
const QUIET: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Subject {
    /// The smallest program.
    Floor,
    /// The operator.
    Operator,
}

/// Where a subject works.
pub(super) struct Place<'a> {
    pub(super) kubeconfig: &'a Path,
    pub(super) orion: &'a str,
    pub(super) endpoint: &'a str,
    pub(super) token: &'a Path,
    pub(super) directory: &'a Path,
    /// A process group that ends with the control plane.
    pub(super) group: i32,
    pub(super) operator: &'a Path,
    pub(super) flags: &'a [String],
}

impl Subject {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Operator => "operator",
        }
    }

    /// Starts it.
    ///
    /// # Errors
    /// It cannot be run.
    pub(super) fn start(self, place: &Place<'_>, more: &[&str]) -> Result<Running> {
        let mut command = match self {
            Self::Floor => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("floor").args(["--orion-endpoint", place.endpoint]);
                command
            }
            Self::Operator => {
                let mut command = Command::new(place.operator);
                command.args(["run", "--operator-namespace", "orion-system", "--orion-url", place.orion]);
                command.args(["--health-probe-bind-address", "0", "--metrics-bind-address", "0"]);
                command.args(place.flags).args(more);
                command
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ORION_OPERATOR_") {
                command.env_remove(name);
            }
        }
        command.arg("--kubeconfig").arg(place.kubeconfig).arg("--orion-token-file").arg(place.token);
        let log = place.directory.join(format!("{}.log", self.name()));
        let output = File::create(&log)?;
        use std::os::unix::process::CommandExt;
        command.process_group(place.group).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let started = (Instant::now(), jiff::Timestamp::now());
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Running { child, started: started.0, wall: started.1, log })
    }
}

/// One that runs. It is killed when dropped.
pub(super) struct Running {
    child: Child,
    /// When it was started.
    pub(super) started: Instant,
    wall: jiff::Timestamp,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Seconds from its start until the operator said that all its watches run.
    ///
    /// # Errors
    /// It does not say so.
    pub(super) async fn watches(&self) -> Result<f64> {
        let begun = Instant::now();
        loop {
            let log = std::fs::read_to_string(&self.log)?;
            if let Some(line) = log.lines().find(|line| line.contains("caches are filled")) {
                let line: serde_json::Value = serde_json::from_str(line)?;
                let time: jiff::Timestamp =
                    line.get("timestamp").and_then(|it| it.as_str()).context("no time")?.parse()?;
                return Ok(time.duration_since(self.wall).as_secs_f64());
            }
            if begun.elapsed() > PATIENCE {
                bail!("it does not watch; its log:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Seconds from its start until it was quiet.
    ///
    /// # Errors
    /// It has ended, or is never quiet.
    pub(super) async fn quiet(&self) -> Result<f64> {
        let (mut since, mut used) = (Instant::now(), usage::cpu(self.pid())?);
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = usage::cpu(self.pid())?;
            if now - used > QUIET.0 {
                (since, used) = (Instant::now(), now);
            } else if since.elapsed() > QUIET.1 {
                return Ok(since.duration_since(self.started).as_secs_f64());
            }
            if self.started.elapsed() > PATIENCE * 5 {
                bail!("it is never quiet");
            }
        }
    }

    /// Asks it to end, and waits.
    ///
    /// # Errors
    /// It does not.
    pub(super) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                bail!("it does not end");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
