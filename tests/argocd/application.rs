//! An Application, from Git to what Argo CD says of it.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use super::rig::{PATIENCE, example, until};
use super::stack::{ARGOCD, Stack};

/// How long something that must not happen is waited for.
const WATCHED: Duration = Duration::from_secs(2);

pub struct Application<'a> {
    stack: &'a Stack,
    pub name: String,
}

/// What Argo CD says of an Application.
#[derive(Debug, Default)]
pub struct State {
    pub sync: String,
    pub health: String,
    /// The commit that it is compared with.
    pub revision: String,
    /// Of the last operation: `Running`, `Succeeded`, `Failed`, and why.
    pub phase: String,
    pub message: String,
    /// By kind and name.
    pub resources: Vec<Value>,
}

impl State {
    pub fn is_well(&self) -> bool {
        self.sync == "Synced" && self.health == "Healthy" && self.phase == "Succeeded"
    }

    /// The health of a resource.
    pub fn health_of(&self, name: &str) -> Option<&str> {
        self.resources.iter().find(|it| it["name"] == name)?["health"]["status"].as_str()
    }
}

impl<'a> Application<'a> {
    /// Applies one.
    pub async fn of(stack: &'a Stack, object: Value) -> Self {
        stack.plane.apply(&object.to_string()).await.unwrap();
        Self { stack, name: object["metadata"]["name"].as_str().unwrap().to_owned() }
    }

    /// The example of a team under another name, with a repository and a namespace of that name. `more` is put into its sync
    /// policy.
    pub async fn start(stack: &'a Stack, name: &str, objects: &[Value], more: Value) -> Self {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        stack.plane.apply(&namespace.to_string()).await.unwrap();
        let mut object = example("gitops/argocd/applications.yaml").remove(1);
        object["metadata"]["name"] = json!(name);
        object["spec"]["source"]["repoURL"] = json!(format!("https://github.com/your-org/{name}.git"));
        object["spec"]["destination"]["namespace"] = json!(name);
        let policy = object["spec"]["syncPolicy"].as_object_mut().unwrap();
        policy.extend(more.as_object().unwrap().clone());
        policy.retain(|_, value| !value.is_null());
        commit(stack, name, objects);
        Self::of(stack, stack.here(&object)).await
    }

    /// Another commit; waits until Argo CD has compared it.
    pub async fn push(&self, objects: &[Value]) -> String {
        let commit = commit(self.stack, &self.name, objects);
        self.refresh().await;
        self.shows("the commit", |state| state.revision == commit).await;
        commit
    }

    fn api(&self) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application"));
        Api::namespaced_with(self.stack.client.clone(), ARGOCD, &resource)
    }

    pub async fn state(&self) -> State {
        let Some(object) = self.api().get_opt(&self.name).await.unwrap() else { return State::default() };
        let status = &object.data["status"];
        let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        State {
            sync: text("/sync/status"),
            health: text("/health/status"),
            revision: text("/sync/revision"),
            phase: text("/operationState/phase"),
            message: text("/operationState/message"),
            resources: status["resources"].as_array().cloned().unwrap_or_default(),
        }
    }

    /// Waits until its state is like that; gives it.
    pub async fn shows(&self, what: &str, fits: impl Fn(&State) -> bool) -> State {
        let started = Instant::now();
        loop {
            let state = self.state().await;
            if fits(&state) {
                return state;
            }
            assert!(started.elapsed() < PATIENCE, "{}: not within {PATIENCE:?}: {what}: {state:?}", self.name);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn is_well(&self) {
        self.shows("Synced and Healthy", State::is_well).await;
    }

    /// Watches for some seconds, and some of Argo CD's looks, that its state stays like that.
    pub async fn stays(&self, fits: impl Fn(&State) -> bool) {
        let started = Instant::now();
        while started.elapsed() < WATCHED {
            self.refresh().await;
            let state = self.state().await;
            assert!(fits(&state), "{}: {state:?}", self.name);
        }
    }

    /// As `argocd app get --hard-refresh` does, and waits until it is done.
    pub async fn refresh(&self) {
        self.annotate(json!("hard")).await;
        until(PATIENCE, "Argo CD has looked again", async || {
            let object = self.api().get(&self.name).await.unwrap();
            let annotations = object.metadata.annotations.unwrap_or_default();
            (!annotations.contains_key("argocd.argoproj.io/refresh")).then_some(())
        })
        .await;
    }

    async fn annotate(&self, refresh: Value) {
        let patch = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": refresh}}});
        self.api().patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Puts this into the spec, by hand.
    pub async fn merge(&self, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api().patch(&self.name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Deletes it, and what it has applied.
    pub async fn delete(&self) {
        self.api().delete(&self.name, &Default::default()).await.unwrap();
    }

    /// Deletes it and what it has applied, though it has not the finalizer: `argocd app delete --cascade` puts it on.
    pub async fn cascade(&self) {
        let finalizers = json!(["resources-finalizer.argocd.argoproj.io"]);
        let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
        self.api().patch(&self.name, &PatchParams::default(), &patch).await.unwrap();
        self.delete().await;
    }

    /// Deletes it, and leaves what it has applied.
    pub async fn abandon(&self) {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        self.api().patch(&self.name, &PatchParams::default(), &patch).await.unwrap();
        self.delete().await;
        self.is_gone().await;
    }

    /// Watches for some seconds that it does not go.
    pub async fn stays_there(&self) {
        let started = Instant::now();
        while started.elapsed() < WATCHED {
            self.api().get(&self.name).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn is_gone(&self) {
        let gone = async || self.api().get_opt(&self.name).await.unwrap().is_none().then_some(());
        until(PATIENCE, "the Application is gone", gone).await;
    }

    pub async fn end(self) {
        self.delete().await;
        self.is_gone().await;
    }
}

/// A ConfigMap in a wave, which takes no time.
pub fn marker(name: &str, wave: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "annotations": {"argocd.argoproj.io/sync-wave": wave}},
    })
}

fn commit(stack: &Stack, name: &str, objects: &[Value]) -> String {
    let files: Vec<(String, String)> =
        objects.iter().enumerate().map(|(number, object)| (format!("{number}.json"), object.to_string())).collect();
    let files: Vec<(&str, String)> = files.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
    stack.git.commit(name, &files)
}
