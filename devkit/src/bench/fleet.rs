//! The objects: made by the driver, and watched by it until they are Ready.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::floor::webhook_resource;

/// Over so many namespaces they are spread.
const NAMESPACES: usize = 20;
/// So many are made at once.
const AT_ONCE: usize = 32;
/// Without any progress for so long, a wait is given up.
const PATIENCE: Duration = Duration::from_secs(90);

/// Name of an object, which also says its namespace.
type Key = (String, String);

#[derive(Debug)]
struct Seen {
    /// The generation of which it is Ready, and when that was seen first.
    ready: Option<(i64, Instant)>,
    id: Option<String>,
}

/// All Webhooks of the cluster, as an administrator's watch shows them.
pub(super) struct Fleet {
    client: Client,
    seen: Arc<Mutex<HashMap<Key, Seen>>>,
    watch: JoinHandle<()>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Fleet {
    /// Makes the namespaces, and watches.
    ///
    /// # Errors
    /// A namespace cannot be made.
    pub(super) async fn new(client: Client) -> Result<Self> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for index in 0..NAMESPACES {
            let object = serde_json::from_value(json!({"metadata": {"name": namespace(index)}}))?;
            namespaces.create(&PostParams::default(), &object).await?;
        }
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let watch = tokio::spawn(follow(client.clone(), Arc::clone(&seen)));
        Ok(Self { client, seen, watch })
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<Key, Seen>> {
        lock(&self.seen)
    }

    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &webhook_resource())
    }

    /// Makes objects `<prefix>-0` and so on; gives how long that took.
    ///
    /// # Errors
    /// One of them cannot be made.
    pub(super) async fn create(&self, prefix: &str, number: usize) -> Result<Duration> {
        let begun = Instant::now();
        let made = stream::iter((0..number).map(Ok))
            .try_for_each_concurrent(AT_ONCE, |index| async move { self.create_one(prefix, index).await });
        made.await?;
        Ok(begun.elapsed())
    }

    async fn create_one(&self, prefix: &str, index: usize) -> Result<()> {
        let object = serde_json::from_value(object(prefix, index, "first"))?;
        self.api(&namespace(index)).create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// Makes objects at a fixed rate, whatever becomes of the earlier ones; gives for each how long it took from the moment
    /// at which it was to be sent until it was seen to be Ready, in seconds.
    ///
    /// # Errors
    /// One of them cannot be made, or does not become Ready.
    pub(super) async fn create_at_rate(&self, prefix: &str, rate: u32, seconds: u32) -> Result<Vec<f64>> {
        let number = (rate * seconds) as usize;
        let pause = Duration::from_secs(1) / rate;
        let begun = tokio::time::Instant::now();
        let sent = (0..number).map(|index| async move {
            tokio::time::sleep_until(begun + pause * u32::try_from(index)?).await;
            self.create_one(prefix, index).await
        });
        futures::future::try_join_all(sent).await?;
        self.wait(prefix, number, 1).await?;
        let seen = self.seen();
        let mut times = Vec::new();
        for index in 0..number {
            let ready = seen.get(&key(prefix, index)).and_then(|seen| seen.ready);
            let due = (begun + pause * u32::try_from(index)?).into_std();
            times.extend(ready.map(|(_, at)| at.saturating_duration_since(due).as_secs_f64()));
        }
        Ok(times)
    }

    /// Waits until objects are Ready in this generation, and gives when each was seen to be.
    ///
    /// # Errors
    /// No further one became Ready for a while.
    pub(super) async fn wait(&self, prefix: &str, number: usize, generation: i64) -> Result<Vec<Instant>> {
        let (mut most, mut since) = (0, Instant::now());
        loop {
            let ready: Vec<Instant> = {
                let seen = self.seen();
                let ready = |index| seen.get(&key(prefix, index)).and_then(|seen: &Seen| seen.ready);
                let fits = |(of, at): (i64, Instant)| (of >= generation).then_some(at);
                (0..number).filter_map(|index| ready(index).and_then(fits)).collect()
            };
            if ready.len() == number {
                return Ok(ready);
            }
            if ready.len() > most {
                (most, since) = (ready.len(), Instant::now());
            } else if since.elapsed() > PATIENCE {
                bail!("only {most} of {number} became Ready");
            }
            // When each was seen is known all the same.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Replaces objects by ones with another header.
    ///
    /// # Errors
    /// One cannot be replaced.
    pub(super) async fn replace(&self, prefix: &str, number: usize) -> Result<()> {
        for index in 0..number {
            let api = self.api(&namespace(index));
            let mut now = api.get(&format!("{prefix}-{index}")).await?;
            if let Some(spec) = object(prefix, index, "second").get("spec")
                && let Some(fields) = now.data.as_object_mut()
            {
                fields.insert("spec".to_owned(), spec.clone());
            }
            api.replace(&now.name_any(), &PostParams::default(), &now).await?;
        }
        Ok(())
    }

    /// Deletes objects, and waits until they are gone.
    ///
    /// # Errors
    /// One cannot be deleted, or stays.
    pub(super) async fn delete(&self, prefix: &str, number: usize) -> Result<()> {
        let deleted = stream::iter((0..number).map(anyhow::Ok)).try_for_each_concurrent(AT_ONCE, |index| async move {
            self.api(&namespace(index)).delete(&format!("{prefix}-{index}"), &DeleteParams::default()).await?;
            Ok(())
        });
        deleted.await?;
        let begun = Instant::now();
        while (0..number).any(|index| self.seen().contains_key(&key(prefix, index))) {
            if begun.elapsed() > PATIENCE {
                bail!("not all of {number} are gone");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Ids that are in the status of objects.
    pub(super) fn ids(&self, prefix: &str, number: usize) -> Vec<String> {
        let seen = self.seen();
        (0..number).filter_map(|index| seen.get(&key(prefix, index))?.id.clone()).collect()
    }
}

async fn follow(client: Client, seen: Arc<Mutex<HashMap<Key, Seen>>>) {
    let api: Api<DynamicObject> = Api::all_with(client, &webhook_resource());
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(webhook) | Event::InitApply(webhook)) => note(&mut lock(&seen), &webhook),
            Ok(Event::Delete(webhook)) => {
                lock(&seen).remove(&(webhook.namespace().unwrap_or_default(), webhook.name_any()));
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => eprintln!("the driver's watch: {error}"),
        }
    }
}

fn note(seen: &mut HashMap<Key, Seen>, webhook: &DynamicObject) {
    let key = (webhook.namespace().unwrap_or_default(), webhook.name_any());
    let status = webhook.data.get("status").unwrap_or(&Value::Null);
    let conditions = status.get("conditions").and_then(Value::as_array);
    let is_ready = conditions.is_some_and(|conditions| {
        conditions.iter().any(|condition| {
            condition.get("type") == Some(&json!("Ready")) && condition.get("status") == Some(&json!("True"))
        })
    });
    let generation = webhook.metadata.generation.unwrap_or_default();
    let is_ready = is_ready && status.get("observedGeneration").and_then(Value::as_i64) == Some(generation);
    let known = seen.entry(key).or_insert(Seen { ready: None, id: None });
    if is_ready && known.ready.is_none_or(|(of, _)| of < generation) {
        known.ready = Some((generation, Instant::now()));
    }
    known.id = status.get("webhookId").and_then(Value::as_str).map(str::to_owned);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn namespace(index: usize) -> String {
    format!("team-{}", index % NAMESPACES)
}

fn key(prefix: &str, index: usize) -> Key {
    (namespace(index), format!("{prefix}-{index}"))
}

/// As `kubectl apply` makes it, with what kubectl keeps in an annotation.
fn object(prefix: &str, index: usize, value: &str) -> Value {
    let name = format!("{prefix}-{index}");
    let spec = json!({
        "url": format!("https://hooks.example.com/orion/{name}"), "userId": "user-42", "presenceName": name,
        "headers": [{"name": "X-Team", "value": value}],
    });
    let applied = json!({
        "apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook",
        "metadata": {"annotations": {}, "name": name, "namespace": namespace(index)}, "spec": spec,
    });
    json!({
        "apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook",
        "metadata": {
            "name": name, "namespace": namespace(index),
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": format!("{applied}\n")},
        },
        "spec": spec,
    })
}
