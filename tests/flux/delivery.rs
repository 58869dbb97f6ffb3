//! A Kustomization and its source, from files to Ready and back.

use std::time::{Duration, Instant};

use orion_operator::api::Webhook;
use serde_json::{Value, json};

use super::rig::{PATIENCE, example, until};
use super::stack::{FLUX, Stack, ready};

/// How long something that must not happen is waited for. Flux asks every other second.
pub const WATCHED: Duration = Duration::from_secs(4);

/// The examples' OCIRepository and Kustomization.
pub struct Delivery<'a> {
    stack: &'a Stack,
    name: String,
    namespace: String,
}

impl<'a> Delivery<'a> {
    /// As the files say.
    pub async fn of_the_examples(stack: &'a Stack, content: String) -> (Self, String) {
        let it = Self { stack, name: "orion-webhooks".into(), namespace: "default".into() };
        let digest = stack.push(&it.name, &[("webhook.yaml", content)]);
        for file in ["gitops/flux/source.yaml", "gitops/flux/kustomization.yaml"] {
            for object in example(file) {
                stack.plane.apply(&stack.here(&object).to_string()).await.unwrap();
            }
        }
        (it, digest)
    }

    /// The same under another name, for another namespace; `more` is put into the Kustomization's spec.
    pub async fn start(stack: &'a Stack, name: &str, files: &[(&str, String)], more: Value) -> (Self, String) {
        let it = Self { stack, name: name.into(), namespace: name.into() };
        stack.plane.kubectl_ok(&["create", "namespace", name]).await.unwrap();
        let digest = stack.push(name, files);
        let mut source = example("gitops/flux/source.yaml").remove(0);
        source["metadata"]["name"] = json!(name);
        source["spec"]["url"] = json!(format!("oci://ghcr.io/your-org/{name}"));
        let mut kustomization = example("gitops/flux/kustomization.yaml").remove(0);
        kustomization["metadata"]["name"] = json!(name);
        kustomization["spec"]["sourceRef"]["name"] = json!(name);
        kustomization["spec"]["targetNamespace"] = json!(name);
        for (field, value) in more.as_object().unwrap() {
            let spec = kustomization["spec"].as_object_mut().unwrap();
            if value.is_null() {
                spec.remove(field)
            } else {
                spec.insert(field.clone(), value.clone())
            };
        }
        for object in [source, kustomization] {
            stack.plane.apply(&stack.here(&object).to_string()).await.unwrap();
        }
        (it, digest)
    }

    /// The same with the files in Git.
    pub async fn from_git(stack: &'a Stack, name: &str, files: &[(&str, String)], more: Value) -> (Self, String) {
        let commit = stack.git.commit(name, files);
        let source = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": name, "namespace": FLUX},
            "spec": {"interval": "1m", "url": stack.git.url(name), "ref": {"branch": "main"}},
        });
        stack.plane.apply(&source.to_string()).await.unwrap();
        let mut with = json!({"sourceRef": {"kind": "GitRepository", "name": name}});
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (Self::start(stack, name, files, with).await.0, commit)
    }

    /// Another artifact.
    pub async fn push(&self, content: String) -> String {
        let digest = self.stack.push(&self.name, &[("webhook.yaml", content)]);
        self.stack.reconcile("OCIRepository", &self.name).await;
        digest
    }

    pub async fn is_green(&self, digest: &str) -> bool {
        let object = self.stack.get("Kustomization", FLUX, &self.name).await.unwrap();
        let applied = object.data["status"]["lastAppliedRevision"].as_str().unwrap_or_default().ends_with(digest);
        applied && ready(&object).0 == "True"
    }

    pub async fn turns_green(&self, digest: &str) {
        let started = Instant::now();
        while !self.is_green(digest).await {
            let object = self.stack.get("Kustomization", FLUX, &self.name).await.unwrap();
            assert!(started.elapsed() < PATIENCE, "{}: {:?} {}", self.name, ready(&object), object.data["status"]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Watches for some seconds that it is not.
    pub async fn stays_not_green(&self, digest: &str) {
        let started = Instant::now();
        while started.elapsed() < WATCHED {
            assert!(!self.is_green(digest).await, "{} is green too early", self.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the Webhook is in the cluster as `fits` wants it.
    pub async fn webhook(&self, name: &str, fits: impl Fn(&Webhook) -> bool) -> Webhook {
        let api = self.stack.webhooks(&self.namespace);
        let there = async || api.get_opt(name).await.unwrap().filter(&fits);
        until(PATIENCE, "the Webhook is in the cluster", there).await
    }

    pub async fn end(self) {
        self.stack.delete("Kustomization", &self.name).await;
        self.stack.is_gone("Kustomization", &self.name).await;
        self.stack.delete("OCIRepository", &self.name).await;
    }
}
