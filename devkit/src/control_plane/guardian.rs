//! Ties the life of child processes to this one, even if it is killed with `kill -9`.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Waits for the end of its standard input, then kills its whole process group, itself included.
const SCRIPT: &str = "read -r _; kill -KILL 0";

/// The leader of a process group that dies as a whole once this process has gone.
///
/// A tiny shell leads the group and waits on a pipe that only this process holds open. The kernel closes the pipe
/// however this process ends, and the shell then kills the group. No list of process ids is kept, so none can be
/// stale, and a child between fork and exec still holds the pipe, so none can slip through. (Linux's parent-death
/// signal would be shorter, but it follows the *thread* that spawned the child, and runtimes retire threads.)
///
/// A group of its own also keeps a terminal's Ctrl-C away from the children, so that they are stopped in order.
#[derive(Debug)]
pub(crate) struct Guardian {
    leader: Child,
    group: i32,
}

impl Guardian {
    /// Starts the leader. `label` is only shown in process listings.
    pub(crate) fn start(label: &Path) -> Result<Self> {
        let leader = Command::new("sh")
            .args(["-c", SCRIPT, "orion-guardian"])
            .arg(label)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start `sh`, which guards the control plane's processes")?;
        let group = i32::try_from(leader.id()).context("a process id beyond the range of process groups")?;
        Ok(Self { leader, group })
    }

    /// The process group that a child has to join (`Command::process_group`) to be guarded.
    pub(crate) fn group(&self) -> i32 {
        self.group
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // `wait` closes the pipe first; the shell then kills the group and with it itself.
        let _ = self.leader.wait();
    }
}
