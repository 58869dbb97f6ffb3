//! Downloads released binaries with kubebuilder's `setup-envtest`, which is quicker than a build.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::binaries::{APISERVER, ETCD, KUBECTL, install};
use super::go_build::run_go;

const TOOL: &str = "sigs.k8s.io/controller-runtime/tools/setup-envtest@v0.25.1";

/// Any patch release of the minor version that is also built.
const VERSIONS: &str = "1.36.x";

/// Without a network the tool fails in seconds; a slow one must not cost more than the build would.
const LIMIT: Duration = Duration::from_secs(180);

/// Puts etcd, kube-apiserver and kubectl into `cache`; kube-controller-manager is not among the released files.
/// The tool keeps its own copies where it always does, so that other projects' downloads are used and ours are by them.
pub(crate) async fn download(cache: &Path) -> Result<()> {
    // Away from any go.mod, which would otherwise have a say in the tool's dependencies.
    let work = tempfile::tempdir().context("cannot create a temporary directory for the download")?;
    let mut go = Command::new("go");
    go.current_dir(work.path())
        // The flags of the builds that follow if this fails, so that the standard library is compiled once.
        .args(["run", "-trimpath", TOOL, "use", VERSIONS, "-p", "path"])
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off");
    let output = run_go(go, LIMIT).await?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        // `go run` adds a line about the exit status, which says nothing.
        let reason = stderr.lines().rfind(|line| !line.starts_with("exit status"));
        bail!("setup-envtest failed: {}", reason.unwrap_or_default());
    }
    let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    for name in [ETCD, KUBECTL, APISERVER] {
        install(&dir.join(name), cache, name)?;
    }
    Ok(())
}
