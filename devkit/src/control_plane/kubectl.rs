//! `kubectl` against the control plane.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;

use super::ControlPlane;

/// How long one `kubectl` may take.
const KUBECTL_WITHIN: Duration = Duration::from_secs(60);

/// How long the apiserver may take to serve a new custom resource. A second or two.
const SERVED_WITHIN: Duration = Duration::from_secs(30);

impl ControlPlane {
    /// A `kubectl` for the administrator, to which arguments can be added. The user's own kubeconfig and cache are
    /// neither read nor written. It is killed if dropped while it runs; limiting its time is up to the caller.
    pub fn kubectl(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.binaries.kubectl);
        command
            .env("KUBECONFIG", &self.admin_kubeconfig)
            .env("HOME", self.data.path())
            .env("KUBECACHEDIR", self.data.path().join("kubectl-cache"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs `kubectl` as the administrator and returns its standard output.
    ///
    /// # Errors
    /// If it fails (the message has its standard error) or takes longer than a minute.
    pub async fn kubectl_ok(&self, args: &[&str]) -> Result<String> {
        self.kubectl_with_input(args, "").await
    }

    /// Applies manifests: `kubectl apply -f -`.
    ///
    /// # Errors
    /// As for [`Self::kubectl_ok`].
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        self.kubectl_with_input(&["apply", "-f", "-"], yaml).await.map(|_| ())
    }

    /// Installs the custom resource definitions in a directory, and waits until their objects are served.
    ///
    /// # Errors
    /// As for [`Self::kubectl_ok`], or if they are not served in time.
    pub async fn install_crds(&self, dir: &Path) -> Result<()> {
        self.kubectl_ok(&["apply", "-f", &dir.to_string_lossy()]).await?;
        self.kubectl_ok(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]).await?;
        // Established comes a moment before the first request is served.
        let deadline = Instant::now() + SERVED_WITHIN;
        let all = self.kubectl_ok(&["get", "crd", "-o", "jsonpath={.items[*].metadata.name}"]).await?;
        for resource in all.split_whitespace() {
            while let Err(error) = self.kubectl_ok(&["get", resource]).await {
                ensure!(Instant::now() < deadline, "{resource} is not served: {error:#}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    async fn kubectl_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        let what = || format!("kubectl {}", args.join(" "));
        let mut child = self
            .kubectl()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(what)?;
        let stdin = child.stdin.take();
        let feed = async {
            // kubectl may end without having read everything; then its own words say why.
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let run = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = tokio::time::timeout(KUBECTL_WITHIN, run)
            .await
            .with_context(|| format!("{} took longer than {} s", what(), KUBECTL_WITHIN.as_secs()))?
            .with_context(what)?;
        if !output.status.success() {
            bail!("{} failed: {}", what(), String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8(output.stdout).with_context(what)
    }
}
