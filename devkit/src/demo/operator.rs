//! The operator as a process beside the control plane: nothing there runs pods.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::control_plane::{Guardian, free_port, tail};

/// How long it may take to fill its caches.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to finish what is in flight.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Lines of its log in a failure.
const LAST_LINES: usize = 20;
/// Settings that a shell may have for a real operator or a real network, and that must not reach this one.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// A running operator. Dropping it kills it; should this process be killed, the guardian does.
#[derive(Debug)]
pub(super) struct Operator {
    child: Child,
    _guardian: Guardian,
    log: PathBuf,
    probes: String,
    /// Its page of metrics.
    pub(super) metrics: String,
}

impl Operator {
    /// Starts `program` with its log in `dir`.
    ///
    /// # Errors
    /// It cannot be run.
    pub(super) fn start(program: &Path, dir: &Path, kubeconfig: &Path, orion: &str, token: &Path) -> Result<Self> {
        let guardian = Guardian::start(dir)?;
        let log = dir.join("orion-operator.log");
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let address = || free_port().map(|port| format!("127.0.0.1:{port}"));
        let (probes, metrics) = (address()?, address()?);
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ORION_OPERATOR_") {
                command.env_remove(name);
            }
        }
        for name in PROXIES {
            command.env_remove(name);
        }
        let child = command
            .arg("run")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--operator-namespace", "orion-system", "--orion-url", orion, "--orion-token-file"])
            .arg(token)
            .args(["--health-probe-bind-address", &probes, "--metrics-bind-address", &metrics, "--log-format", "text"])
            .env("NO_COLOR", "1")
            .process_group(guardian.group())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}: build it with `cargo build`", program.display()))?;
        Ok(Self {
            child,
            _guardian: guardian,
            log,
            probes: format!("http://{probes}/readyz"),
            metrics: format!("http://{metrics}/metrics"),
        })
    }

    /// Waits until it watches.
    ///
    /// # Errors
    /// It ended, or took too long.
    pub(super) async fn ready(&mut self, http: &reqwest::Client) -> Result<()> {
        let probes = self.probes.clone();
        let asks = async {
            loop {
                let answer = http.get(&probes).send().await.ok();
                if answer.is_some_and(|answer| answer.status().is_success()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(READY_WITHIN, self.alive_while(asks)).await {
            Ok(result) => result,
            Err(_) => bail!("the operator was not ready within {} s", READY_WITHIN.as_secs()),
        }
    }

    /// Awaits `work`, unless the operator ends before it does.
    ///
    /// # Errors
    /// It ended.
    pub(super) async fn alive_while<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            output = work => Ok(output),
            status = self.child.wait() => bail!("the operator ended by itself ({})", status?),
        }
    }

    /// Asks it to stop, and kills it if it does not.
    ///
    /// # Errors
    /// It had to be killed.
    pub(super) async fn stop(&mut self) -> Result<ExitStatus> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may just have ended, which is what we want.
            let _ = kill_process(pid, Signal::TERM);
        }
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                self.child.kill().await?;
                bail!("the operator did not stop within {} s of SIGTERM, and was killed", STOP_WITHIN.as_secs())
            }
        }
    }

    /// Where its log is.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// The end of its log.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let last = tail(&String::from_utf8_lossy(&text), LAST_LINES);
        if last.is_empty() { "(it wrote none)".to_owned() } else { last }
    }
}
