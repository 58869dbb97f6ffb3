//! One Webhook's trouble stays its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use devkit::sim::Operation;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use orion_operator::api::{Access, Capabilities, Desired, Endpoint, Failure, InstanceId, RemoteWebhook};
use orion_operator::controller::{
    self, ConnectionHandle, ConnectionKey, ConnectionSettings, ContextConfig, SystemClock, Terms, Watching,
};
use orion_operator::fence::Fence;
use orion_operator::metrics::Metrics;
use orion_operator::orion::{ConnectionConfig, HttpOrion, Listing, Orion, TokenFile};
use orion_operator::plan::Settings;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::world::{World, object, run, run_alone, spec, until};

/// Orion, but a create for the presence `panic` panics.
struct Panicking(HttpOrion);

#[async_trait]
impl Orion for Panicking {
    fn endpoint(&self) -> &Endpoint {
        self.0.endpoint()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    async fn discover(&self) -> Result<(), Failure> {
        self.0.discover().await
    }
    async fn prepare(&self) -> Result<(), Failure> {
        self.0.prepare().await
    }
    async fn create(&self, desired: &Desired, token: &str) -> Result<String, Failure> {
        assert_ne!(desired.presence_name, "panic", "provoked by the test");
        self.0.create(desired, token).await
    }
    async fn list(&self) -> Result<Listing, Failure> {
        self.0.list().await
    }
    async fn get(&self, id: &str) -> Result<RemoteWebhook, Failure> {
        self.0.get(id).await
    }
    async fn update(&self, id: &str, desired: &Desired) -> Result<(), Failure> {
        self.0.update(id, desired).await
    }
    async fn delete(&self, id: &str) -> Result<(), Failure> {
        self.0.delete(id).await
    }
    async fn credentials_epoch(&self) -> u64 {
        self.0.credentials_epoch().await
    }
}

fn config(world: &World, client: Client) -> ContextConfig {
    let endpoint = Endpoint::new(&world.sim.url(), "/v1alpha").unwrap();
    let orion = HttpOrion::new(ConnectionConfig::new(endpoint, Arc::new(TokenFile::new(&world.token_file)))).unwrap();
    let settings = ConnectionSettings { ownership: true, timeout: Duration::from_secs(10) };
    let connection =
        ConnectionHandle::new(ConnectionKey::Default, Arc::new(Panicking(orion)), settings, Arc::new(SystemClock));
    let terms = Terms { access: Access::All, adoption: false };
    ContextConfig {
        aside: client.clone(),
        client,
        settings: Settings {
            instance: InstanceId::new("isolation"),
            interval: Duration::from_secs(600),
            min_interval: Duration::from_secs(1),
            create_settle: Duration::from_secs(60),
            dry_run: false,
        },
        default_connection: Some((Arc::new(connection), terms)),
        operator_namespace: "orion-system".into(),
        allow_insecure_connections: true,
        clock: Arc::new(SystemClock),
        apiserver_timeout: Duration::from_secs(10),
        concurrency: 4,
        fence: Fence::open(),
        speaks: watch::channel(true).1,
        health: Arc::default(),
    }
}

#[test]
fn a_panic_in_one_reconcile_leaves_the_others_running() {
    run(async |world| {
        let stop = CancellationToken::new();
        let watching = Watching { namespaces: Some(BTreeSet::from([world.namespace.clone()])), label_selector: None };
        let running = tokio::spawn(controller::run(
            config(&world, world.client.clone()),
            watching,
            Arc::new(Metrics::default()),
            stop.clone(),
        ));
        world.create("panic", spec("panic")).await;
        for n in 0..5 {
            world.create(&format!("hook-{n}"), spec(&format!("calm-{n}"))).await;
        }
        for n in 0..5 {
            world.synced(&format!("hook-{n}")).await;
        }
        // The panic came in the middle of a POST: its result is unknown, and that is what the status says.
        world.ready("panic", "Unknown", "CreateUncertain").await;
        assert!(!running.is_finished());
        stop.cancel();
        running.await.unwrap();
    });
}

#[test]
fn an_object_that_does_not_decode_leaves_the_others_running() {
    run_alone(async |world| {
        let _operator = world.operator(&[]).await;
        // A Webhook of another group stands in for one that was stored under another schema: the rule that refuses it is
        // taken out of the definition for a moment.
        let name = "webhooks.orion-operator.dev";
        let crds: Api<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> =
            Api::all(world.client.clone());
        let original = crds.get(name).await.unwrap();
        let loosen = json!([
            {"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
             "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                   "properties": {"presenceName": {"type": "string"}, "userId": {"type": "string"}}}},
        ]);
        let loosen: Patch<()> = Patch::Json(serde_json::from_value(loosen).unwrap());
        let mut spec_of_strangers = spec("strange");
        spec_of_strangers["url"] = json!(["not", "a", "string"]);
        let mut strange = object("strange", spec_of_strangers);
        strange["metadata"]["namespace"] = json!(world.namespace);
        crds.patch(name, &PatchParams::default(), &loosen).await.unwrap();
        until("the looser definition is served", async || world.plane.apply(&strange.to_string()).await.ok()).await;
        let tight = json!([{"op": "replace", "path": "/spec/versions", "value": original.spec.versions}]);
        let tight: Patch<()> = Patch::Json(serde_json::from_value(tight).unwrap());
        crds.patch(name, &PatchParams::default(), &tight).await.unwrap();

        for n in 0..3 {
            world.create(&format!("hook-{n}"), spec(&format!("decodes-{n}"))).await;
            world.synced(&format!("hook-{n}")).await;
        }
        assert_eq!(world.calls(Operation::Create), 3);
        world
            .plane
            .kubectl_ok(&["delete", "webhook", "-n", &world.namespace, "strange", "--timeout=20s"])
            .await
            .unwrap();
    });
}
