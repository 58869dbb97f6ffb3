//! `orion-operator validate` says what a real kube-apiserver says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, reason = "updates are not asked for")]
mod common;
#[path = "common/mutations.rs"]
mod mutations;
#[path = "common/strict.rs"]
mod strict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use devkit::control_plane::{ControlPlane, Options};
use kube::Client;
use mutations::{Made, manifests};
use serde_json::Value;
use strict::{install, path, send};
use tokio::io::AsyncWriteExt;

/// As many as take some seconds.
const COUNT: usize = 600;
const SEED: u64 = 20_261_126;

/// One control plane for both.
#[tokio::test]
async fn validate_agrees_with_a_real_apiserver() -> Result<()> {
    let plane = ControlPlane::start(Options { quiet: true, ..Options::default() }).await?;
    install(&plane).await?;
    manifests_by_chance(&plane.admin_client().await?).await?;
    yaml_as_kubectl_reads_it(&plane).await
}

/// The fields that are wrong, by file.
fn validate(files: &[PathBuf]) -> Result<BTreeMap<String, Vec<String>>> {
    let output = Command::new(env!("CARGO_BIN_EXE_orion-operator"))
        .args(["validate", "--output", "json"])
        .args(files)
        .output()?;
    let report: Value = serde_json::from_slice(&output.stdout).context("the report")?;
    ensure!(report["skipped"] == 0, "{report}");
    let mut found = BTreeMap::<_, Vec<String>>::new();
    for error in report["errors"].as_array().context("errors")? {
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        found.entry(text("file")).or_default().push(text("field"));
        ensure!(error["line"].as_u64() > Some(0), "{error} has no line");
    }
    Ok(found)
}

/// Half of them as JSON, half as YAML.
fn written(directory: &Path, number: usize, made: &Made) -> Result<PathBuf> {
    let (name, text) = if number.is_multiple_of(2) {
        (format!("{number}.json"), serde_json::to_string_pretty(&made.object)?)
    } else {
        (format!("{number}.yaml"), serde_yaml::to_string(&made.object)?)
    };
    let path = directory.join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}

async fn manifests_by_chance(client: &Client) -> Result<()> {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let all = manifests(seed, COUNT);
    let directory = tempfile::tempdir()?;
    let files = all.iter().enumerate().map(|(number, made)| written(directory.path(), number, made));
    let files = files.collect::<Result<Vec<_>>>()?;
    let found = validate(&files)?;
    let (mut good, mut bad, mut wrong) = (0, 0, Vec::new());
    for (file, made) in files.iter().zip(&all) {
        let kind = made.object["kind"].as_str().context("a kind")?;
        let answer = send(client, "POST", &format!("{}?dryRun=All", path(kind)), &made.object).await;
        match (answer.with_context(|| made.name.clone())?, found.get(file.to_str().context("a path")?)) {
            (Ok(_), None) => good += 1,
            (Err(refusal), Some(fields)) if fields.iter().any(|field| is_named(field, &refusal)) => bad += 1,
            (answer, fields) => wrong.push(format!("{}: the apiserver {answer:?}, validate {fields:?}", made.name)),
        }
    }
    println!("seed {seed}: {good} good, {bad} bad, {} not agreed on", wrong.len());
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(good >= 100 && bad >= 200, "{good} good, {bad} bad: too few of one sort to prove anything");
    Ok(())
}

/// The refusal is for this field, or for one around it. Of metadata the apiserver names no indices, labels and the like; of what
/// does not decode there, Go's name.
fn is_named(field: &str, refusal: &strict::Refusal) -> bool {
    let plain: String = field.split(['[', ']']).step_by(2).collect();
    let is_around = |outer: &String| {
        [field, plain.as_str()].iter().any(|field| {
            field.strip_prefix(outer.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    };
    refusal.names(field)
        || refusal.fields.iter().any(is_around)
        || refusal.message.contains(field)
        || field == "metadata" && refusal.message.contains("ObjectMeta")
        || field == "metadata.generateName" && refusal.names("metadata.name")
}

/// Where YAML can be read in two ways, it is read as kubectl does.
async fn yaml_as_kubectl_reads_it(plane: &ControlPlane) -> Result<()> {
    let (mut wrong, mut good, mut bad) = (Vec::new(), 0, 0);
    for (field, spelled) in [
        ("userId", "yes"),
        ("userId", "y"),
        ("userId", "'yes'"),
        ("userId", "Off"),
        ("userId", "12"),
        ("userId", "0777"),
        ("userId", "0o17"),
        ("userId", "1e3"),
        ("userId", "1_000"),
        ("userId", "2026-01-01"),
        ("userId", "1:30"),
        ("userId", "~"),
        ("userId", "null"),
        ("userId", ".inf"),
        ("userId", "!!str 12"),
        ("userId", "|\n    text"),
        ("userId", "user 42 # and a comment"),
        ("suspend", "on"),
        ("suspend", "'true'"),
        ("suspend", "TRUE"),
        ("suspend", ""),
        ("interval", "10"),
        ("interval", "1h30m"),
        ("headers", "[{name: A, value: 1}]"),
        ("headers", "[{name: A, value: no}]"),
        ("headers", "[{name: A, value: '1'}]"),
    ] {
        let mut spec = BTreeMap::from([("url", "https://a.example"), ("userId", "u"), ("presenceName", "p")]);
        spec.insert(field, spelled);
        let spec: String = spec.iter().map(|(name, value)| format!("  {name}: {value}\n")).collect();
        let yaml =
            format!("apiVersion: orion-operator.dev/v1alpha1\nkind: Webhook\nmetadata: {{name: yaml}}\nspec:\n{spec}");
        let mut kubectl = plane.kubectl();
        kubectl.args(["create", "--dry-run=server", "--validate=strict", "-f", "-"]);
        let accepted = is_success(kubectl, &yaml).await?;
        *(if accepted { &mut good } else { &mut bad }) += 1;
        let mut ours = tokio::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"));
        ours.args(["validate", "-"]);
        if is_success(ours, &yaml).await? != accepted {
            wrong.push(format!("{field}: {spelled}: kubectl says {accepted}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(good >= 8 && bad >= 8, "{good} good, {bad} bad");
    Ok(())
}

async fn is_success(mut command: tokio::process::Command, input: &str) -> Result<bool> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    child.stdin.take().context("an input")?.write_all(input.as_bytes()).await?;
    Ok(child.wait().await?.success())
}

#[test]
fn the_same_seed_makes_the_same_manifests() {
    let texts = |seed| manifests(seed, 50).iter().map(|made| made.object.to_string()).collect::<Vec<_>>();
    assert_eq!(texts(1), texts(1));
    assert_ne!(texts(1), texts(2));
}
