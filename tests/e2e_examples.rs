//! The files in `examples/` on a real kube-apiserver: each is accepted, and read back as it was written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "common/example_files.rs"]
mod example_files;

use std::path::Path;

use anyhow::{Context, Result};
use devkit::control_plane::{ControlPlane, Options};
use example_files::{examples, is_webhook};
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[tokio::test]
async fn every_example_is_read_back_unchanged() -> Result<()> {
    let plane = ControlPlane::start(Options { quiet: true, ..Options::default() }).await?;
    plane.install_crds(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/crds"))).await?;
    for (file, objects) in examples() {
        let path = format!("{ROOT}/examples/{file}");
        // As a careful person would, before it is written and after.
        plane.kubectl_ok(&["apply", "--dry-run=server", "-f", &path]).await.with_context(|| file.clone())?;
        plane.kubectl_ok(&["apply", "-f", &path]).await.with_context(|| file.clone())?;
        for object in objects.iter().filter(|object| is_webhook(object)) {
            let name = object["metadata"]["name"].as_str().context("no name")?;
            let read: Value = serde_json::from_str(&plane.kubectl_ok(&["get", "webhook", name, "-o", "json"]).await?)?;
            assert_eq!(read["spec"], object["spec"], "{file}");
        }
        // kubectl diff fails where something differs.
        plane
            .kubectl_ok(&["diff", "-f", &path])
            .await
            .with_context(|| format!("{file} differs from what is stored"))?;
    }
    Ok(())
}

#[tokio::test]
async fn the_permissions_can_be_installed_twice() -> Result<()> {
    let plane = ControlPlane::start(Options { quiet: true, ..Options::default() }).await?;
    let path = format!("{ROOT}/examples/install/rbac.yaml");
    for _first_and_again in 0..2 {
        plane.kubectl_ok(&["apply", "-f", &path]).await?;
    }
    plane.kubectl_ok(&["diff", "-f", &path]).await?;
    plane.service_account_kubeconfig("orion-system", "orion-operator").await?;
    Ok(())
}
