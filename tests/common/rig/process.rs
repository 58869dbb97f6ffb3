//! The programs that the tests start, and how they end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What `make test-gitops` has made.
pub struct Tools(BTreeMap<String, PathBuf>);

impl Tools {
    /// Nothing is built here: that takes minutes. `Err` says what is missing.
    pub fn find(names: &[&str]) -> Result<Self, String> {
        let mut command = Command::new("hack/tools");
        let output = command.arg("--cached").args(names).current_dir(ROOT).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let printed = String::from_utf8(output.stdout).unwrap();
        let paths = printed.lines().map(PathBuf::from);
        Ok(Self(names.iter().map(|name| (*name).to_owned()).zip(paths).collect()))
    }

    pub fn get(&self, name: &str) -> &Path {
        &self.0[name]
    }
}

/// Where a tool's Go module is, at the version that the tool has.
pub fn module(tool: &str, module: &str) -> Result<PathBuf, String> {
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", module]).current_dir(format!("{ROOT}/hack/go-tools/{tool}"));
    let output = go.output().map_err(|error| format!("go, which knows where {module} is: {error}"))?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let directory = answer["Dir"].as_str().ok_or_else(|| format!("{module}: {}", answer["Error"]))?;
    Ok(PathBuf::from(directory))
}

/// Says past libtest's capture that a test is skipped; `hack/test` counts the line.
pub fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("NOTHING_SKIPPED").is_none(), "{test} would be skipped: {why}");
    std::io::stderr().write_all(format!("skipped: {test}: {why}\n").as_bytes()).unwrap();
}

/// A process that ends when dropped, or with its control plane.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(command: &mut Command, group: i32, log: PathBuf) -> Self {
        let output = File::options().create(true).append(true).open(&log).unwrap();
        command.process_group(group).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log }
    }

    pub fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        format!("--- the end of {}\n{}\n", self.log.display(), lines[lines.len().saturating_sub(15)..].join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that must succeed; gives what it printed.
pub fn ok(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
