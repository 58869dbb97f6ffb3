//! The floor: the smallest program that can do the job. It watches, and for each Webhook sends one patch of the metadata
//! with the finalizer, one POST to Orion and one patch of the status. No cache but of what is done, no updates, no drift,
//! no retries, no limits but of what is in flight: nobody should run it, and nothing that does the job can be cheaper.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, future};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::kind::Kind;

/// Where the floor finds what it needs, and how much it does at once.
#[derive(Clone, Debug, clap::Args)]
pub struct FloorArgs {
    /// As whom.
    #[arg(long)]
    kubeconfig: std::path::PathBuf,
    /// With prefix.
    #[arg(long)]
    orion_endpoint: String,
    /// Bearer token.
    #[arg(long)]
    orion_token_file: std::path::PathBuf,
    /// Webhooks in flight.
    #[arg(long, default_value_t = 32)]
    in_flight: usize,
}

/// Runs until it is killed.
///
/// # Errors
/// It cannot start; what goes wrong later is printed.
pub async fn floor(args: FloorArgs) -> Result<()> {
    let client = crate::control_plane::client(&args.kubeconfig).await?;
    let orion = Orion::new(&args.orion_endpoint, &args.orion_token_file)?;
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &Kind::Webhook.resource());
    let mut done = HashSet::new();
    watcher(all, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .filter_map(|event| future::ready(event.inspect_err(|error| eprintln!("{error}")).ok()))
        .filter(|webhook| {
            let is_done = webhook.data.get("status").is_some_and(|status| status.get("webhookId").is_some());
            let is_new = done.insert(webhook.uid().unwrap_or_default());
            future::ready(is_new && !is_done)
        })
        .map(|webhook| register(client.clone(), &orion, webhook))
        .buffer_unordered(args.in_flight)
        .for_each(|result| {
            if let Err(error) = result {
                eprintln!("{error:#}");
            }
            future::ready(())
        })
        .await;
    Ok(())
}

struct Orion {
    http: reqwest::Client,
    webhooks: String,
    token: String,
}

impl Orion {
    fn new(endpoint: &str, token: &Path) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let token = std::fs::read_to_string(token).context("the token file")?;
        Ok(Self { http, webhooks: format!("{endpoint}/webhooks/"), token })
    }
}

async fn register(client: Client, orion: &Orion, webhook: DynamicObject) -> Result<()> {
    let (name, namespace) = (webhook.name_any(), webhook.namespace().unwrap_or_default());
    let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &Kind::Webhook.resource());
    let parameters = PatchParams { field_manager: Some("floor".into()), ..PatchParams::default() };
    let finalizer = json!({"metadata": {"finalizers": ["orion-operator.dev/webhook"]}});
    api.patch(&name, &parameters, &Patch::Merge(finalizer)).await?;
    let spec = webhook.data.get("spec").cloned().unwrap_or_default();
    let field = |name: &str| spec.get(name).cloned().unwrap_or_default();
    let body = json!({
        "url": field("url"), "user_id": field("userId"), "presence_name": field("presenceName"), "headers": field("headers"),
    });
    let request = orion.http.post(&orion.webhooks).bearer_auth(&orion.token).json(&body);
    let answer: Value = request.send().await?.error_for_status()?.json().await?;
    let generation = webhook.metadata.generation;
    let status = json!({"status": {
        "observedGeneration": generation,
        "webhookId": answer.get("id"),
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Synced", "message": "Orion has the webhook as declared",
            "observedGeneration": generation, "lastTransitionTime": format!("{:.0}", jiff::Timestamp::now()),
        }],
    }});
    api.patch_status(&name, &parameters, &Patch::Merge(status)).await?;
    Ok(())
}
