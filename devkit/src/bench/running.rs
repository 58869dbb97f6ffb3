//! A subject that runs: one process, or several that are counted together.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::usage::{self, Memory};

/// How long it may take to watch, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Quiet is when it uses at most this much of this time.
const QUIET: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// One that runs. It is killed when dropped.
pub(super) struct Running {
    processes: Vec<Process>,
    /// When it was started.
    pub(super) started: Instant,
    wall: jiff::Timestamp,
}

struct Process {
    child: Child,
    log: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(mut command: Command, log: PathBuf, group: i32) -> Result<Self> {
        let output = File::create(&log)?;
        command.process_group(group).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Self { child, log })
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        crate::control_plane::tail(&log, 20)
    }
}

impl Running {
    /// Starts all processes.
    ///
    /// # Errors
    /// One cannot be run.
    pub(super) fn start(commands: Vec<Command>, directory: &Path, group: i32) -> Result<Self> {
        let (started, wall) = (Instant::now(), jiff::Timestamp::now());
        let numbered = commands.into_iter().enumerate();
        let start = |(index, command)| Process::start(command, directory.join(format!("subject-{index}.log")), group);
        Ok(Self { processes: numbered.map(start).collect::<Result<_>>()?, started, wall })
    }

    fn sum<T: std::iter::Sum>(&self, of: impl Fn(u32) -> Result<T>) -> Result<T> {
        self.processes.iter().map(|process| of(process.child.id())).sum()
    }

    /// Processor time so far.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn cpu(&self) -> Result<Duration> {
        self.sum(usage::cpu)
    }

    /// Memory. Of several processes it is the sum of their peaks, which need not be at the same moment.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn memory(&self) -> Result<Memory> {
        self.sum(usage::memory)
    }

    /// Open files and sockets.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn open_files(&self) -> Result<usize> {
        self.sum(usage::open_files)
    }

    /// Sees that none has ended by itself.
    ///
    /// # Errors
    /// One has, with its last words.
    pub(super) fn ensure_running(&mut self) -> Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.child.try_wait()? {
                bail!("it has ended by itself, {status}; its log:\n{}", process.last_words());
            }
        }
        Ok(())
    }

    /// Seconds from its start until each process of the operator said that all its watches run.
    ///
    /// # Errors
    /// One does not say so.
    pub(super) async fn watches(&self) -> Result<f64> {
        let mut last: f64 = 0.0;
        for process in &self.processes {
            last = last.max(self.watches_of(process).await?);
        }
        Ok(last)
    }

    async fn watches_of(&self, process: &Process) -> Result<f64> {
        let begun = Instant::now();
        loop {
            let log = std::fs::read_to_string(&process.log)?;
            if let Some(line) = log.lines().find(|line| line.contains("caches are filled")) {
                let line: serde_json::Value = serde_json::from_str(line)?;
                let time: jiff::Timestamp =
                    line.get("timestamp").and_then(|it| it.as_str()).context("no time")?.parse()?;
                return Ok(time.duration_since(self.wall).as_secs_f64());
            }
            ensure!(begun.elapsed() < PATIENCE, "it does not watch; its log:\n{}", process.last_words());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Seconds from its start until it was quiet.
    ///
    /// # Errors
    /// It has ended, or is never quiet.
    pub(super) async fn quiet(&mut self) -> Result<f64> {
        let begun = Instant::now();
        let (mut since, mut used) = (begun, self.cpu()?);
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.ensure_running()?;
            let now = self.cpu()?;
            if now - used > QUIET.0 {
                (since, used) = (Instant::now(), now);
            } else if since.elapsed() > QUIET.1 {
                return Ok(since.duration_since(self.started).as_secs_f64());
            }
            ensure!(begun.elapsed() < PATIENCE * 5, "it is never quiet");
        }
    }

    /// Asks it to end, and waits. What does not end is killed.
    ///
    /// # Errors
    /// It did not end by itself.
    pub(super) async fn stop(mut self) -> Result<()> {
        for process in &self.processes {
            if let Some(pid) = i32::try_from(process.child.id()).ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::TERM)?;
            }
        }
        let begun = Instant::now();
        for process in &mut self.processes {
            while process.child.try_wait()?.is_none() {
                ensure!(begun.elapsed() < PATIENCE, "it does not end");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }
}
