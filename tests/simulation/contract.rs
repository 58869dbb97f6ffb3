//! What the simulation takes for granted of an apiserver, asked of the simulated one and of a real one alike.

use std::time::Duration;

use devkit::control_plane::{ControlPlane, Options};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt};
use orion_operator::api::Webhook;
use serde_json::{Value, json};

use super::apiserver::ApiServer;
use super::person::{key, secret};
use super::scenario::simulate;

const NAMESPACE: &str = "contract";
const FINALIZER: &str = "orion-operator.dev/webhook";

#[test]
fn the_simulated_apiserver_keeps_the_contract() {
    simulate(async {
        let server = ApiServer::new();
        keeps(&server.client(), || server.compact()).await;
    });
}

#[tokio::test]
async fn a_real_apiserver_keeps_the_contract() {
    let plane = ControlPlane::start(Options { quiet: true, ..Options::default() }).await.unwrap();
    plane.kubectl_ok(&["apply", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/crds")]).await.unwrap();
    plane.kubectl_ok(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]).await.unwrap();
    let client = plane.admin_client().await.unwrap();
    let webhooks: Api<Webhook> = Api::all(client.clone());
    // Established comes a moment before the first request is served.
    while webhooks.list(&ListParams::default()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    keeps(&client, || {}).await;
}

/// All cases. `compact` makes the versions of before too old to watch from, where that can be done.
async fn keeps(client: &Client, compact: impl Fn()) {
    let world = Cases { client: client.clone() };
    world.an_object_begins_with_what_the_apiserver_gives_it().await;
    world.a_generation_is_of_the_spec_alone().await;
    world.a_status_and_the_rest_are_apart().await;
    world.a_test_that_fails_is_a_422().await;
    world.an_old_version_is_a_409().await;
    world.what_changes_nothing_is_no_write().await;
    world.what_is_not_there_is_a_404().await;
    world.a_finalizer_holds_an_object().await;
    world.a_watch_tells_what_happens_in_order().await;
    world.metadata_comes_alone().await;
    compact();
    world.a_version_that_is_too_old_is_a_410().await;
}

struct Cases {
    client: Client,
}

impl Cases {
    fn api(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), NAMESPACE, &ApiResource::erase::<Webhook>(&()))
    }

    async fn create(&self, number: usize) -> DynamicObject {
        let object = serde_json::from_value(super::person::webhook(number)).unwrap();
        self.api().create(&PostParams::default(), &object).await.unwrap()
    }

    async fn patch(&self, number: usize, patch: Value) -> Result<DynamicObject, kube::Error> {
        let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
        self.api().patch(&key(number).2, &PatchParams::default(), &patch).await
    }

    async fn patch_status(&self, number: usize, patch: Value) -> Result<DynamicObject, kube::Error> {
        let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
        self.api().patch_status(&key(number).2, &PatchParams::default(), &patch).await
    }

    async fn an_object_begins_with_what_the_apiserver_gives_it(&self) {
        let object = self.create(1).await;
        let metadata = &object.metadata;
        assert_eq!(metadata.generation, Some(1));
        assert!(metadata.uid.is_some() && metadata.creation_timestamp.is_some() && metadata.resource_version.is_some());
        assert_eq!(object.data["status"], json!({"observedGeneration": -1}));
        let again = serde_json::from_value(super::person::webhook(1)).unwrap();
        let again = self.api().create(&PostParams::default(), &again).await;
        assert_eq!(refusal(again), (409, "AlreadyExists".into()));
    }

    async fn a_generation_is_of_the_spec_alone(&self) {
        let annotated =
            self.patch(1, json!([{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}])).await.unwrap();
        assert_eq!(annotated.metadata.generation, Some(1));
        let edited = self.patch(1, json!([{"op": "replace", "path": "/spec/userId", "value": "other"}])).await.unwrap();
        assert_eq!(edited.metadata.generation, Some(2));
        let told = self
            .patch_status(1, json!([{"op": "add", "path": "/status", "value": {"observedGeneration": 2}}]))
            .await
            .unwrap();
        assert_eq!(told.metadata.generation, Some(2));
        let versions: Vec<u64> = [&annotated, &edited, &told].map(version).into();
        assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    }

    async fn a_status_and_the_rest_are_apart(&self) {
        let patch = json!([
            {"op": "add", "path": "/status", "value": {"webhookId": "wh_1"}},
            {"op": "add", "path": "/metadata/annotations/c", "value": "d"},
        ]);
        let main = self.patch(1, patch.clone()).await.unwrap();
        assert_eq!(
            (main.annotations().get("c").map(String::as_str), &main.data["status"]),
            (Some("d"), &json!({"observedGeneration": 2}))
        );
        let patch = json!([
            {"op": "add", "path": "/status", "value": {"webhookId": "wh_1"}},
            {"op": "add", "path": "/metadata/annotations/e", "value": "f"},
            {"op": "replace", "path": "/spec/userId", "value": "third"},
        ]);
        let status = self.patch_status(1, patch).await.unwrap();
        assert_eq!(status.data["status"], json!({"webhookId": "wh_1"}));
        assert!(status.annotations().get("e").is_none() && status.data["spec"]["userId"] == "other");
        assert_eq!(status.metadata.generation, Some(2));
    }

    async fn a_test_that_fails_is_a_422(&self) {
        for path in ["/metadata/resourceVersion", "/metadata/uid", "/metadata/annotations/none"] {
            let patch = json!([{"op": "test", "path": path, "value": "1"}]);
            let expected = (422, "Invalid".into());
            assert_eq!(refusal(self.patch(1, patch.clone()).await), expected, "{path}");
            assert_eq!(refusal(self.patch_status(1, patch).await), expected, "{path}");
        }
        let missing = json!([{"op": "remove", "path": "/metadata/annotations/none"}]);
        assert_eq!(refusal(self.patch(1, missing).await).0, 422);
        let object = self.api().get("hook-1").await.unwrap();
        let holds = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": object.resource_version()},
            {"op": "test", "path": "/metadata/uid", "value": object.uid()},
            {"op": "add", "path": "/status", "value": {"webhookId": "wh_2"}},
        ]);
        assert_eq!(self.patch_status(1, holds).await.unwrap().data["status"], json!({"webhookId": "wh_2"}));
    }

    async fn an_old_version_is_a_409(&self) {
        let old = self.api().get("hook-1").await.unwrap();
        self.patch(1, json!([{"op": "add", "path": "/metadata/annotations/g", "value": "h"}])).await.unwrap();
        let replaced = self.api().replace("hook-1", &PostParams::default(), &old).await;
        assert_eq!(refusal(replaced), (409, "Conflict".into()));
    }

    async fn what_changes_nothing_is_no_write(&self) {
        let before = self.api().get("hook-1").await.unwrap();
        let same = self
            .patch_status(1, json!([{"op": "add", "path": "/status", "value": before.data["status"]}]))
            .await
            .unwrap();
        assert_eq!(version(&same), version(&before));
    }

    async fn what_is_not_there_is_a_404(&self) {
        let expected = (404, "NotFound".to_owned());
        assert_eq!(refusal(self.api().get("none").await), expected);
        assert_eq!(refusal(self.patch(99, json!([])).await), expected);
        assert_eq!(refusal(self.patch_status(99, json!([])).await), expected);
        assert!(self.api().delete("none", &DeleteParams::default()).await.is_err());
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        assert!(secrets.get_opt("none").await.unwrap().is_none());
    }

    async fn a_finalizer_holds_an_object(&self) {
        self.create(2).await;
        let held =
            self.patch(2, json!([{"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}])).await.unwrap();
        assert_eq!(held.metadata.generation, Some(1));
        self.api().delete("hook-2", &DeleteParams::default()).await.unwrap();
        let going = self.api().get("hook-2").await.unwrap();
        assert!(going.metadata.deletion_timestamp.is_some());
        assert_eq!((going.metadata.generation, going.metadata.deletion_grace_period_seconds), (Some(2), Some(0)));
        self.api().delete("hook-2", &DeleteParams::default()).await.unwrap();
        assert_eq!(version(&self.api().get("hook-2").await.unwrap()), version(&going), "a second time is no write");
        let another = json!([{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/another"}]);
        assert_eq!(refusal(self.patch(2, another).await).0, 422);
        let told = self
            .patch_status(2, json!([{"op": "add", "path": "/status", "value": {"webhookId": "wh_1"}}]))
            .await
            .unwrap();
        assert!(told.metadata.deletion_timestamp.is_some(), "its status can still be written");
        let release = json!([
            {"op": "test", "path": "/metadata/finalizers/0", "value": FINALIZER},
            {"op": "remove", "path": "/metadata/finalizers/0"},
        ]);
        self.patch(2, release).await.unwrap();
        assert!(self.api().get_opt("hook-2").await.unwrap().is_none());
        let first = self.create(2).await.uid();
        self.api().delete("hook-2", &DeleteParams::default()).await.unwrap();
        assert!(self.api().get_opt("hook-2").await.unwrap().is_none(), "without a finalizer it goes at once");
        let second = self.create(2).await.uid();
        assert_ne!(first, second);
        self.api().delete("hook-2", &DeleteParams::default()).await.unwrap();
    }

    async fn a_watch_tells_what_happens_in_order(&self) {
        let from = self.api().list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        let watch = self.api().watch(&WatchParams::default().timeout(20), &from).await.unwrap();
        self.create(3).await;
        let held = json!([{"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}]);
        self.patch(3, held).await.unwrap();
        self.api().delete("hook-3", &DeleteParams::default()).await.unwrap();
        self.patch(3, json!([{"op": "remove", "path": "/metadata/finalizers/0"}])).await.unwrap();
        let events: Vec<WatchEvent<DynamicObject>> = watch.take(4).try_collect().await.unwrap();
        let told: Vec<(&str, bool, u64)> = events
            .iter()
            .map(|event| {
                let (kind, object) = match event {
                    WatchEvent::Added(object) => ("added", object),
                    WatchEvent::Modified(object) => ("modified", object),
                    WatchEvent::Deleted(object) => ("deleted", object),
                    WatchEvent::Bookmark(_) | WatchEvent::Error(_) => panic!("{event:?}"),
                };
                (kind, object.metadata.deletion_timestamp.is_some(), version(object))
            })
            .collect();
        let kinds: Vec<(&str, bool)> = told.iter().map(|(kind, going, _)| (*kind, *going)).collect();
        assert_eq!(kinds, [("added", false), ("modified", false), ("modified", true), ("deleted", true)]);
        assert!(told.is_sorted_by(|a, b| a.2 < b.2), "{told:?}");
    }

    async fn metadata_comes_alone(&self) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let object = serde_json::from_value(secret(0)).unwrap();
        let created = secrets.create(&PostParams::default(), &object).await.unwrap();
        assert_eq!(created.metadata.generation, None);
        let metadata: Api<PartialObjectMeta<Secret>> = Api::namespaced(self.client.clone(), NAMESPACE);
        let list = metadata.list(&ListParams::default()).await.unwrap();
        let found = list.items.iter().find(|found| found.name_any() == "hook-secret").unwrap();
        assert_eq!(found.resource_version(), created.resource_version());
    }

    async fn a_version_that_is_too_old_is_a_410(&self) {
        let watch = self.api().watch(&WatchParams::default().timeout(20), "1").await;
        let code = match watch {
            Err(kube::Error::Api(status)) => status.code,
            Err(error) => panic!("{error}"),
            Ok(events) => match Box::pin(events).next().await {
                Some(Ok(WatchEvent::Error(status))) => status.code,
                other => panic!("{other:?}"),
            },
        };
        assert_eq!(code, 410);
    }
}

fn version(object: &DynamicObject) -> u64 {
    object.resource_version().unwrap().parse().unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> (u16, String) {
    match result {
        Err(kube::Error::Api(status)) => (status.code, status.reason.clone()),
        other => panic!("{other:?}"),
    }
}
