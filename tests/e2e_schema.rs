//! The custom resource definitions on a real kube-apiserver. Only that proves that they install (CEL cost, structural
//! schema), that each rule says there what it says without a cluster, and what kubectl shows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/strict.rs"]
mod strict;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use common::connection_cases::{cluster_connection, complaints, connection};
use common::webhook_cases::webhook;
use common::{KINDS, Kind};
use devkit::control_plane::{ControlPlane, Options};
use kube::Client;
use serde_json::{Map, Value, json};
use strict::{CLUSTER_CONNECTIONS, CONNECTIONS, WEBHOOKS, install, path, send};

/// One control plane for all, as its start is most of the time.
#[tokio::test]
async fn the_definitions_on_a_real_apiserver() -> Result<()> {
    let plane = ControlPlane::start(Options { quiet: true, ..Options::default() }).await?;
    let client = plane.admin_client().await?;
    install(&plane).await?;
    for kind in &KINDS {
        every_case_has_the_same_verdict(&client, kind).await.context(kind.name)?;
        every_update_has_the_same_verdict(&client, kind).await.context(kind.name)?;
    }
    complaints_are_the_same(&client).await?;
    a_null_is_dropped_or_refused(&plane, &client).await?;
    status_has_its_default(&client).await?;
    kubectl_shows_columns(&plane, &client).await?;
    kubectl_shows_connections(&plane, &client).await?;
    kubectl_selects_fields(&plane).await?;
    kubectl_explains_every_field(&plane).await
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

async fn every_case_has_the_same_verdict(client: &Client, kind: &Kind) -> Result<()> {
    let mut wrong = Vec::new();
    for case in (kind.cases)() {
        let answer = send(client, "POST", &format!("{}?dryRun=All", path(kind.name)), &case.object).await;
        match (answer.with_context(|| case.name.clone())?, case.refused_at) {
            (Ok(stored), None) => {
                // Nothing is added under spec: what was applied is what is read.
                if stored["spec"] != without_nulls(&case.object["spec"]) {
                    wrong.push(format!("{}: stored as {}", case.name, stored["spec"]));
                }
            }
            (Ok(_), Some(field)) => wrong.push(format!("{} should be refused at {field}", case.name)),
            (Err(refusal), None) => wrong.push(format!("{} should be accepted: {refusal:?}", case.name)),
            (Err(refusal), Some(field)) if !refusal.names(field) => {
                wrong.push(format!("{} should be refused at {field}: {refusal:?}", case.name));
            }
            (Err(_), Some(_)) => {}
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn every_update_has_the_same_verdict(client: &Client, kind: &Kind) -> Result<()> {
    let all = path(kind.name);
    let path = format!("{all}/case");
    for case in (kind.updates)() {
        let stored = send(client, "POST", all, &case.old).await?;
        let stored = stored.map_err(|refusal| anyhow::anyhow!("{}: {refusal:?}", case.name))?;
        let mut new = case.new.clone();
        new["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
        match (send(client, "PUT", &path, &new).await?, case.refused_at) {
            (Ok(_), None) => {}
            (Err(refusal), Some(field)) if refusal.fields == [field] => {}
            (answer, expected) => bail!("{}: expected {expected:?}, got {answer:?}", case.name),
        }
        let gone = http::Request::delete(&path).body(Vec::new())?;
        client.request::<Value>(gone).await?;
    }
    Ok(())
}

async fn complaints_are_the_same(client: &Client) -> Result<()> {
    for (object, field, words) in complaints() {
        let Err(refusal) = send(client, "POST", CLUSTER_CONNECTIONS, &object).await? else {
            bail!("{field} should be refused: {object}");
        };
        assert_eq!(refusal.fields, [field], "{refusal:?}");
        assert!(refusal.message.contains(words), "{refusal:?}");
    }
    Ok(())
}

/// A create, an update and kubectl's own apply drop a null. A server-side apply does not, for no definition: there the
/// apiserver refuses it, so that it never means anything else than an absent field.
async fn a_null_is_dropped_or_refused(plane: &ControlPlane, client: &Client) -> Result<()> {
    let nulls = webhook(json!({
        "headers": null, "connectionRef": {"name": "acme", "kind": null}, "deletionPolicy": null, "suspend": null,
        "interval": null, "adopt": null,
    }));
    for _create_then_update in 0..2 {
        plane.apply(&nulls.to_string()).await?;
        let stored: Value = serde_json::from_str(&plane.kubectl_ok(&["get", "owh", "case", "-o", "json"]).await?)?;
        assert_eq!(stored["spec"], webhook(json!({"connectionRef": {"name": "acme"}}))["spec"]);
    }
    plane.kubectl_ok(&["delete", "owh", "case"]).await?;
    let Err(refusal) = send(client, "PATCH", &format!("{WEBHOOKS}/case?fieldManager=test"), &nulls).await? else {
        bail!("a server-side apply of null was accepted: then schema.rs should say so");
    };
    for field in ["headers", "connectionRef.kind", "deletionPolicy", "suspend", "interval", "adopt"] {
        assert!(refusal.names(&format!("spec.{field}")), "{field}: {refusal:?}");
    }
    Ok(())
}

/// Creates the objects `case`, which the steps after it look at.
async fn status_has_its_default(client: &Client) -> Result<()> {
    for (all, mut object) in [
        (WEBHOOKS, webhook(json!({"suspend": true}))),
        (CONNECTIONS, connection(json!({}))),
        (CLUSTER_CONNECTIONS, cluster_connection(json!({}))),
    ] {
        object["status"] = json!({"endpoint": "not from a user"});
        let created = send(client, "POST", all, &object).await?.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        let read: Value = client.request(http::Request::get(format!("{all}/case")).body(Vec::new())?).await?;
        for object in [created, read] {
            assert_eq!(object["status"], json!({"observedGeneration": -1}));
        }
    }
    Ok(())
}

/// Writes a status as the operator would.
async fn set_status(client: &Client, all: &str, more: Value) -> Result<()> {
    let condition = json!({
        "type": "Ready", "status": "False", "reason": "Rejected", "message": "do-this", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let mut status = json!({"observedGeneration": 1, "conditions": [condition]});
    status.as_object_mut().context("an object")?.extend(more.as_object().context("an object")?.clone());
    let request = http::Request::patch(format!("{all}/case/status"))
        .header("content-type", "application/merge-patch+json")
        .body(serde_json::to_vec(&json!({ "status": status }))?)?;
    client.request::<Value>(request).await?;
    Ok(())
}

/// The words of each line.
async fn table(plane: &ControlPlane, args: &[&str]) -> Result<Vec<Vec<String>>> {
    let output = plane.kubectl_ok(args).await?;
    Ok(output.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
}

async fn kubectl_shows_connections(plane: &ControlPlane, client: &Client) -> Result<()> {
    for (all, plural, short) in
        [(CONNECTIONS, "orionconnections", "oconn"), (CLUSTER_CONNECTIONS, "clusterorionconnections", "coconn")]
    {
        set_status(client, all, json!({"endpoint": "https://acme.example.com/v1alpha", "capabilities": ["list"]}))
            .await?;
        for name in [plural, short] {
            let lines = table(plane, &["get", name]).await?;
            assert_eq!(lines[0], ["NAME", "READY", "REASON", "URL", "AGE"], "{name}");
            assert_eq!(lines[1][..4], ["case", "False", "Rejected", "https://acme.example.com"], "{name}");
        }
        let wide = table(plane, &["get", plural, "-o", "wide"]).await?;
        assert_eq!(wide[0][4..], ["AGE", "ENDPOINT", "MESSAGE"], "{plural}");
        assert_eq!(wide[1][5..], ["https://acme.example.com/v1alpha", "do-this"], "{plural}");
    }
    let all = plane.kubectl_ok(&["get", "orion", "-o", "name"]).await?;
    assert_eq!(all.lines().count(), 3, "{all}");
    Ok(())
}

async fn kubectl_shows_columns(plane: &ControlPlane, client: &Client) -> Result<()> {
    set_status(client, WEBHOOKS, json!({"webhookId": "wh_7"})).await?;
    for args in [["get", "webhooks"], ["get", "owh"]] {
        let lines = table(plane, &args).await?;
        assert_eq!(lines[0], ["NAME", "READY", "REASON", "PRESENCE", "AGE"], "{args:?}");
        assert_eq!(lines[1][1..4], ["False", "Rejected", "jobs"], "{args:?}");
    }
    let wide = table(plane, &["get", "webhooks", "-o", "wide"]).await?;
    assert_eq!(wide[0][4..], ["AGE", "URL", "ID", "SUSPENDED", "MESSAGE"]);
    assert_eq!(wide[1][5..], ["https://hooks.example.com/orion", "wh_7", "true", "do-this"]);
    Ok(())
}

async fn kubectl_selects_fields(plane: &ControlPlane) -> Result<()> {
    for (selector, expected) in [
        ("spec.presenceName=jobs", "webhook.orion-operator.dev/case"),
        ("spec.presenceName=other", ""),
        ("spec.userId=user-42", "webhook.orion-operator.dev/case"),
        ("spec.userId!=user-42", ""),
    ] {
        let found = plane.kubectl_ok(&["get", "webhooks", "-o", "name", "--field-selector", selector]).await?;
        assert_eq!(found.trim(), expected, "{selector}");
    }
    Ok(())
}

async fn kubectl_explains_every_field(plane: &ControlPlane) -> Result<()> {
    // The apiserver publishes a new definition's schema a moment after it serves its objects.
    let deadline = Instant::now() + Duration::from_secs(30);
    let explained = loop {
        match plane.kubectl_ok(&["explain", "webhook.spec"]).await {
            Ok(text) => break text.split_whitespace().collect::<Vec<_>>().join(" "),
            Err(error) => ensure!(Instant::now() < deadline, "{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    for text in
        ["A webhook that Orion should have.", "Delete (default) deletes the webhook there", "without user or password"]
    {
        assert!(explained.contains(text), "{text}: {explained}");
    }
    for path in [
        "webhook",
        "webhook.spec",
        "webhook.spec.headers",
        "webhook.spec.connectionRef",
        "webhook.status",
        "orionconnection",
        "orionconnection.spec",
        "orionconnection.spec.auth",
        "orionconnection.spec.auth.passwordSecretRef",
        "orionconnection.status",
        "clusterorionconnection.spec",
        "clusterorionconnection.spec.allowedNamespaces",
        "clusterorionconnection.spec.allowedNamespaces.selector",
        "clusterorionconnection.spec.allowedNamespaces.selector.matchExpressions",
    ] {
        let explained = plane.kubectl_ok(&["explain", path]).await?;
        assert!(!explained.contains("<no description>"), "{path}: {explained}");
    }
    Ok(())
}
