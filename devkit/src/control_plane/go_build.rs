//! Builds the binaries from Go modules: neither a container engine nor a release download is needed.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::binaries::{APISERVER, CONTROLLER_MANAGER, ETCD, KUBECTL, KUBERNETES_VERSION, install};
use super::guardian::Guardian;
use super::progress::{during, note};

/// How long one `go build` may take. The largest needs some four minutes on two idle cores.
const BUILD_LIMIT: Duration = Duration::from_secs(45 * 60);

/// How long `go version` may take.
const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// A Go module that requires one released tool, with the exact versions of all that the tool needs.
struct Module {
    go_mod: &'static str,
    go_sum: &'static str,
}

const KUBERNETES: Module = Module {
    go_mod: include_str!("../../control-plane/kubernetes/go.mod"),
    go_sum: include_str!("../../control-plane/kubernetes/go.sum"),
};

/// A module of its own, so that version selection does not pull etcd and Kubernetes together.
const ETCD_SERVER: Module = Module {
    go_mod: include_str!("../../control-plane/etcd/go.mod"),
    go_sum: include_str!("../../control-plane/etcd/go.sum"),
};

/// What is built: the file's name, its module and its main package.
const TARGETS: [(&str, &Module, &str); 4] = [
    (ETCD, &ETCD_SERVER, "go.etcd.io/etcd/server/v3"),
    (APISERVER, &KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver"),
    (CONTROLLER_MANAGER, &KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager"),
    (KUBECTL, &KUBERNETES, "k8s.io/kubernetes/cmd/kubectl"),
];

/// The texts that decide what the built binaries are.
pub(crate) fn module_files() -> impl Iterator<Item = &'static str> {
    [&KUBERNETES, &ETCD_SERVER].into_iter().flat_map(|module| [module.go_mod, module.go_sum])
}

/// Builds each binary that `cache` does not have yet. The caller holds the cache's lock.
pub(crate) async fn build_missing(cache: &Path) -> Result<()> {
    let missing: Vec<_> = TARGETS.iter().filter(|(name, ..)| !cache.join(name).is_file()).collect();
    for (index, &&(name, module, package)) in missing.iter().enumerate() {
        let what = format!("building {name} ({} of {})", index + 1, missing.len());
        during(&what, build(cache, name, module, package)).await?;
    }
    note(&format!("The control plane's binaries are in {}.", cache.display()));
    Ok(())
}

async fn build(cache: &Path, name: &str, module: &Module, package: &str) -> Result<()> {
    let work = tempfile::tempdir().context("cannot create a temporary directory for the build")?;
    fs::write(work.path().join("go.mod"), module.go_mod)?;
    fs::write(work.path().join("go.sum"), module.go_sum)?;
    let built = work.path().join(name);
    let (major, minor) = major_minor();
    // Unstamped, `/version` would say v0.0.0, which misleads tools that check it (such as Helm).
    let stamp = "-X k8s.io/component-base/version.";
    let link_flags =
        format!("-s -w {stamp}gitVersion={KUBERNETES_VERSION} {stamp}gitMajor={major} {stamp}gitMinor={minor}");
    let mut go = Command::new("go");
    go.current_dir(work.path())
        .args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", &link_flags, "-o"])
        .arg(&built)
        .arg(package)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off");
    let output = run_go(go, BUILD_LIMIT).await?;
    if !output.status.success() {
        bail!(
            "`go build {package}` failed; if the reason is the Go version, install Go 1.26 or newer, if it is the \
             network, set GOPROXY, or set KUBEBUILDER_ASSETS to a directory with the binaries:\n{}",
            tail(&String::from_utf8_lossy(&output.stderr), 20)
        );
    }
    install(&built, cache, name)
}

/// Makes sure that there is a Go command at all, before anything else is tried with it.
pub(crate) async fn require_go() -> Result<()> {
    let mut go = Command::new("go");
    go.arg("version");
    run_go(go, VERSION_LIMIT).await.map(|_| ())
}

/// Runs the Go command to its end, within `limit`. It and all that it starts are stopped when time runs out, when
/// the returned future is dropped and when this process dies.
pub(crate) async fn run_go(mut go: Command, limit: Duration) -> Result<Output> {
    let guardian = Guardian::start(Path::new("go"))?;
    go.stdin(Stdio::null()).process_group(guardian.group()).kill_on_drop(true);
    let output = tokio::time::timeout(limit, go.output()).await;
    output.with_context(|| format!("the Go command took longer than {} s", limit.as_secs()))?.context(
        "cannot run `go`: install Go 1.26 or newer, or set KUBEBUILDER_ASSETS to a directory with the binaries",
    )
}

/// The last `lines` lines of `text`.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

/// The two numbers in `KUBERNETES_VERSION` that make up its minor version.
fn major_minor() -> (&'static str, &'static str) {
    let mut numbers = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_the_module_requires() {
        assert!(KUBERNETES.go_mod.contains(&format!("k8s.io/kubernetes {KUBERNETES_VERSION}")));
        assert_eq!(major_minor(), ("1", "36"));
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
        assert_eq!(tail("", 2), "");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_given_up() {
        let mut hang = Command::new("sleep");
        hang.arg("600");
        let error = run_go(hang, Duration::from_millis(50)).await.unwrap_err();
        assert!(error.to_string().contains("took longer"), "{error:#}");
    }
}
