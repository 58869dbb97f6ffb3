//! The process itself, under the names that all Prometheus clients have. Only Linux tells.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

/// Reads `/proc` when the page is asked for.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    #[cfg(not(target_os = "linux"))]
    fn encode(&self, _: DescriptorEncoder<'_>) -> fmt::Result {
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        use prometheus_client::encoding::NoLabelSet;
        use prometheus_client::metrics::MetricType::{Counter, Gauge};

        // Where /proc cannot be read the page goes without.
        let Ok(read) = linux::read() else { return Ok(()) };
        let mut gauge = |name: &str, help: &str, value: f64| {
            encoder.encode_descriptor(name, help, None, Gauge)?.encode_gauge(&value)
        };
        gauge("process_resident_memory_bytes", "Resident memory", read.resident)?;
        gauge("process_virtual_memory_bytes", "Virtual memory", read.virtual_)?;
        gauge("process_open_fds", "Open file descriptors", read.fds)?;
        gauge("process_max_fds", "Open file descriptors, at most", read.fds_at_most)?;
        gauge("process_threads", "Threads", read.threads)?;
        gauge("process_start_time_seconds", "When the process was started, since the epoch", read.started)?;
        let cpu = encoder.encode_descriptor("process_cpu_seconds", "User and system CPU time", None, Counter);
        cpu?.encode_counter::<NoLabelSet, _, u64>(&read.cpu, None)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use procfs::ProcResult;
    use procfs::process::{LimitValue, Process};

    /// Numbers as Prometheus has them: all are floating.
    pub(super) struct Read {
        pub cpu: f64,
        pub resident: f64,
        pub virtual_: f64,
        pub fds: f64,
        pub fds_at_most: f64,
        pub threads: f64,
        pub started: f64,
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn read() -> ProcResult<Read> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let fds_at_most = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(value) => value as f64,
            LimitValue::Unlimited => f64::INFINITY,
        };
        Ok(Read {
            cpu: (stat.utime + stat.stime) as f64 / ticks,
            resident: (stat.rss * procfs::page_size()) as f64,
            virtual_: stat.vsize as f64,
            fds: process.fd_count()? as f64,
            fds_at_most,
            threads: stat.num_threads as f64,
            started: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks,
        })
    }
}
