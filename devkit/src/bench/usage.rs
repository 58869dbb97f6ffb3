//! What a process uses, as the kernel counts it.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

/// Ticks of `/proc/<pid>/stat` in a second: the same on every Linux that Rust runs on.
const TICKS: u64 = 100;

/// Processor time of a process so far, to 10 ms.
///
/// # Errors
/// There is no such process.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name, in brackets, may hold anything.
    let after_name = text.rsplit_once(')').context("no name in a stat file")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| -> Result<u64> { Ok(fields.get(index).with_context(|| path.clone())?.parse()?) };
    // Fields 14 and 15 of proc(5), the first two of which came before.
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 1000 / TICKS))
}

/// How many files and sockets a process has open.
///
/// # Errors
/// There is no such process.
pub(super) fn open_files(pid: u32) -> Result<usize> {
    let path = format!("/proc/{pid}/fd");
    Ok(std::fs::read_dir(&path).context(path)?.count())
}

/// Memory of a process, in MiB.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Memory {
    /// Resident now.
    pub(super) resident: f64,
    /// The most that was ever resident.
    pub(super) peak: f64,
}

impl std::iter::Sum for Memory {
    fn sum<I: Iterator<Item = Self>>(them: I) -> Self {
        them.fold(Self::default(), |sum, it| Self { resident: sum.resident + it.resident, peak: sum.peak + it.peak })
    }
}

/// Memory of a process.
///
/// # Errors
/// There is no such process.
pub(super) fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let field = |name: &str| -> Result<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| path.clone())?;
        let number: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(number / 1024.0)
    };
    Ok(Memory { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
}
