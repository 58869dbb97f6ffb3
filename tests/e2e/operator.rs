//! The operator as a child process.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::world::{PATIENCE, World, until};

pub struct Operator {
    child: Child,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

impl Operator {
    /// Starts one for the namespace of `world`, and waits until its caches are filled.
    pub async fn start(world: &World, more: &[&str]) -> Self {
        Self::start_at(world, &world.sim.url(), more).await
    }

    pub async fn start_at(world: &World, url: &str, more: &[&str]) -> Self {
        let operator = Self::spawn(world, url, more);
        until("the operator's caches are filled", async || operator.log().contains("caches are filled").then_some(()))
            .await;
        operator
    }

    /// Starts one and waits for nothing.
    pub fn spawn(world: &World, url: &str, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let file = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_orion-operator"));
        command.arg("run");
        // The last one of a repeated flag would be refused, so defaults of the tests give way to the test's own.
        let token_file = world.token_file.to_str().unwrap();
        let is_given = |flag| more.contains(&flag);
        if !is_given("--orion-username-file") && !is_given("--orion-url") {
            command.args(["--orion-token-file", token_file]);
        }
        for (flag, value) in [
            ("--kubeconfig", world.kubeconfig.to_str().unwrap()),
            ("--health-probe-bind-address", "0"),
            ("--operator-namespace", "orion-system"),
            ("--watch-namespaces", world.namespace.as_str()),
            ("--orion-url", url),
            ("--metrics-bind-address", "0"),
            ("--min-interval", "1s"),
            ("--create-settle", "4s"),
            ("--orion-timeout", "1s"),
            ("--orion-rate-limit", "0"),
            ("--log-level", "trace"),
        ] {
            if !is_given(flag) {
                command.args([flag, value]);
            }
        }
        let child = command.args(more).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Self { child, log, _directory: directory }
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        if name == "STOP" {
            // Each thread stops when it next runs, and on a busy machine others work on until then.
            let deadline = Instant::now() + PATIENCE;
            while !self.stands_still() {
                assert!(Instant::now() < deadline, "it does not stop");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Every thread is stopped.
    fn stands_still(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        threads.flatten().all(|thread| {
            // The state follows the name, which is in brackets.
            let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else { return true };
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
        })
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        until("the operator ended", async || self.child.try_wait().unwrap()).await
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("\"level\":\"TRACE\"")).collect();
            let last = lines.len().saturating_sub(40);
            eprintln!("--- the operator's last log lines\n{}\n---", lines[last..].join("\n"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const SECOND: Duration = Duration::from_secs(1);
