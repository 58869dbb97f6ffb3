//! The files in `examples/` on a real kube-apiserver: each is accepted, and read back as it was written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "common/example_files.rs"]
mod example_files;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use devkit::control_plane::{ControlPlane, Options};
use example_files::{examples, namespace_of};
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[tokio::test]
async fn every_example_is_read_back_unchanged() -> Result<()> {
    let plane = ControlPlane::start(Options { quiet: true, ..Options::default() }).await?;
    plane.install_crds(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/crds"))).await?;
    // A dry run makes no namespaces, so they are made before.
    for name in examples().iter().flat_map(|(_, objects)| objects).map(namespace_of).collect::<BTreeSet<_>>() {
        if name != "default" {
            plane.kubectl_ok(&["create", "namespace", name]).await?;
        }
    }
    for (file, objects) in examples() {
        let path = format!("{ROOT}/examples/{file}");
        // As a careful person would, before it is written and after.
        plane.kubectl_ok(&["apply", "--dry-run=server", "-f", &path]).await.with_context(|| file.clone())?;
        plane.kubectl_ok(&["apply", "-f", &path]).await.with_context(|| file.clone())?;
        for object in objects.iter().filter(|object| object["spec"].is_object()) {
            let (kind, name) = (object["kind"].as_str(), object["metadata"]["name"].as_str());
            let (kind, name) = (kind.context("no kind")?, name.context("no name")?);
            let args = ["get", kind, name, "-n", namespace_of(object), "-o", "json"];
            let read: Value = serde_json::from_str(&plane.kubectl_ok(&args).await?)?;
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
async fn the_permissions_can_be_installed_twice_and_are_what_they_say() -> Result<()> {
    let plane = ControlPlane::start(Options { quiet: true, ..Options::default() }).await?;
    plane.install_crds(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/crds"))).await?;
    for namespace in ["team-a", "team-b"] {
        plane.kubectl_ok(&["create", "namespace", namespace]).await?;
    }
    for (file, is_namespaced) in [("rbac-namespaced.yaml", true), ("rbac.yaml", false)] {
        let path = format!("{ROOT}/examples/install/{file}");
        for _first_and_again in 0..2 {
            plane.kubectl_ok(&["apply", "-f", &path]).await?;
        }
        plane.kubectl_ok(&["diff", "-f", &path]).await?;
        for (args, in_both) in [
            // A Role of a namespace can give the right to read that namespace.
            (&["get", "namespace", "team-a"][..], true),
            (&["get", "namespace", "orion-system"], true),
            (&["get", "namespace", "default"], false),
            (&["get", "secrets", "-n", "team-b"], true),
            (&["get", "secrets", "-n", "orion-system"], false),
            (&["get", "secrets", "-A"], false),
            (&["get", "webhooks,orionconnections", "-n", "team-a"], true),
            (&["get", "webhooks,orionconnections", "-A"], false),
            (&["get", "clusterorionconnections"], false),
        ] {
            let operator = "--as=system:serviceaccount:orion-system:orion-operator";
            let answer = plane.kubectl_ok(&[args, &[operator]].concat()).await;
            assert_eq!(answer.is_ok(), in_both || !is_namespaced, "{file}: {args:?}: {answer:?}");
        }
        for (verb, resource) in
            [("create", "webhooks"), ("delete", "webhooks"), ("update", "secrets"), ("patch", "secrets")]
        {
            let operator = "--as=system:serviceaccount:orion-system:orion-operator";
            let answer = plane.kubectl_ok(&["auth", "can-i", verb, resource, "-n", "team-a", operator]).await;
            assert!(answer.is_err(), "{file}: {verb} {resource}: {answer:?}");
        }
    }
    plane.service_account_kubeconfig("orion-system", "orion-operator").await?;
    Ok(())
}
