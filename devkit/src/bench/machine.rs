//! Where, and of what, the numbers are.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::control_plane::KUBERNETES_VERSION;

/// Machine and versions.
#[derive(Debug, Default, Serialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) memory_gib: f64,
    pub(super) kernel: String,
    /// Of 200 writes of 4 KiB, each waited for.
    pub(super) disk_write_ms: f64,
    pub(super) kubernetes: &'static str,
    pub(super) rust: String,
    pub(super) commit: String,
    /// Version of provider-http, where it is measured.
    pub(super) peer: Option<String>,
    /// Size of the operator's executable.
    pub(super) operator_mib: f64,
    /// 1 minute before the first round.
    pub(super) load_average: f64,
}

impl Machine {
    /// Looks.
    ///
    /// # Errors
    /// Something that every Linux has is not there.
    pub(super) fn look(operator: &Path) -> Result<Self> {
        let field = |path: &str, name: &str| -> Result<String> {
            let text = fs::read_to_string(path)?;
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            Ok(line.trim_start_matches([' ', '\t', ':']).to_owned())
        };
        let memory: f64 = field("/proc/meminfo", "MemTotal")?.trim_end_matches(" kB").parse()?;
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            processor: field("/proc/cpuinfo", "model name")?,
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: memory / 1024.0 / 1024.0,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            disk_write_ms: disk_write_ms()?,
            kubernetes: KUBERNETES_VERSION,
            rust: said("rustc", &["--version"]),
            commit: said("git", &["describe", "--always", "--dirty"]),
            peer: None,
            operator_mib: fs::metadata(operator)?.len() as f64 / 1024.0 / 1024.0,
            load_average: load.split(' ').next().context("no load average")?.parse()?,
        })
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

/// Where the control plane has its data.
fn disk_write_ms() -> Result<f64> {
    const TIMES: u32 = 200;
    // From Linux' fcntl.h; the standard library has no name for it.
    const O_DSYNC: i32 = 0o10_000;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("written");
    let mut file: File = File::options().create(true).append(true).custom_flags(O_DSYNC).open(path)?;
    let begun = Instant::now();
    for _ in 0..TIMES {
        file.write_all(&[0; 4096])?;
    }
    Ok((begun.elapsed() / TIMES).as_secs_f64() * 1000.0)
}
