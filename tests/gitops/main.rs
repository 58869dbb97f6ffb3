//! What GitOps tools make of the status, by these tools themselves, without a cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod argocd;
mod kstatus;
mod page;
#[path = "../../hack/gitops.rs"]
mod states;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The path of a tool, or `None` where it cannot be had. Then `test` says so past libtest's capture, and `hack/test`
/// counts it as skipped. `how` are arguments of `hack/tools`: `--cached` has nothing made that takes minutes.
fn tool(test: &str, how: &[&str], name: &str) -> Option<PathBuf> {
    let mut command = Command::new("hack/tools");
    let output = command.args(how).arg(name).current_dir(ROOT).stderr(Stdio::inherit()).output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()));
    }
    assert!(std::env::var_os("NOTHING_SKIPPED").is_none(), "{test} would be skipped: there is no {name}");
    let line = format!("skipped: {test}: {name} is not there, see above\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    None
}
