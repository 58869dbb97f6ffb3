//! The objects: made by the driver, and watched by it until they are Ready.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::task::JoinHandle;

use super::kind::{Kind, Recipe, State};

/// Over so many namespaces they are spread.
const NAMESPACES: usize = 20;
/// So many are made at once.
const AT_ONCE: usize = 32;
/// Without any progress for so long, a wait is given up.
const PATIENCE: Duration = Duration::from_secs(90);
/// For each object that is waited for, so long between two looks at all of them.
const LOOK: Duration = Duration::from_micros(20);
/// Where nothing but stuck objects is left, they may still change their mind for so long.
const STUCK: Duration = Duration::from_secs(10);

/// Name of an object, which also says its namespace.
type Key = (String, String);

#[derive(Debug)]
struct Seen {
    /// The generation of which it is Ready, and when that was seen first.
    ready: Option<(i64, Instant)>,
    is_stuck: bool,
    id: Option<String>,
}

/// How far the objects came.
#[derive(Debug)]
pub(super) struct Reached {
    /// When each that is Ready was seen to be.
    pub(super) ready: Vec<Instant>,
    /// Those that wait for a person.
    pub(super) stuck: usize,
}

/// All objects of one kind in the cluster, as an administrator's watch shows them.
pub(super) struct Fleet {
    client: Client,
    kind: Kind,
    recipe: Recipe,
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
    pub(super) async fn new(client: Client, kind: Kind, recipe: Recipe) -> Result<Self> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for index in 0..NAMESPACES {
            let object = serde_json::from_value(json!({"metadata": {"name": namespace(index)}}))?;
            namespaces.create(&PostParams::default(), &object).await?;
        }
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let watch = tokio::spawn(follow(client.clone(), kind, Arc::clone(&seen)));
        Ok(Self { client, kind, recipe, seen, watch })
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<Key, Seen>> {
        lock(&self.seen)
    }

    fn object(&self, prefix: &str, index: usize, value: &str) -> serde_json::Value {
        self.kind.object(&format!("{prefix}-{index}"), &namespace(index), value, &self.recipe)
    }

    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &self.kind.resource())
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
        let object = serde_json::from_value(self.object(prefix, index, "first"))?;
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

    /// Waits until objects are Ready in this generation.
    ///
    /// # Errors
    /// No further one became Ready for a while.
    pub(super) async fn wait(&self, prefix: &str, number: usize, generation: i64) -> Result<()> {
        let reached = self.reach(prefix, number, generation, PATIENCE * 20, || Ok(0)).await?;
        ensure!(reached.ready.len() == number, "only {} of {number} became Ready", reached.ready.len());
        Ok(())
    }

    /// Waits until objects are Ready in this generation: at most so long, and not where nothing moves any more: no further
    /// one is Ready, and `pulse` gives the same number.
    ///
    /// # Errors
    /// That of `pulse`.
    pub(super) async fn reach(
        &self,
        prefix: &str,
        number: usize,
        generation: i64,
        at_most: Duration,
        mut pulse: impl FnMut() -> Result<u64>,
    ) -> Result<Reached> {
        let begun = Instant::now();
        let (mut last, mut since) = ((0, 0), begun);
        loop {
            let reached = self.reached(prefix, number, generation);
            let now = (reached.ready.len(), pulse()?);
            if now != last {
                (last, since) = (now, Instant::now());
            }
            let patience = if now.0 + reached.stuck == number { STUCK } else { PATIENCE };
            if now.0 == number || since.elapsed() > patience || begun.elapsed() > at_most {
                return Ok(reached);
            }
            // When each was seen is known all the same. To look at thousands takes time that others could use.
            tokio::time::sleep((LOOK * u32::try_from(number)?).max(Duration::from_millis(20))).await;
        }
    }

    fn reached(&self, prefix: &str, number: usize, generation: i64) -> Reached {
        let seen = self.seen();
        let mut reached = Reached { ready: Vec::new(), stuck: 0 };
        for it in (0..number).filter_map(|index| seen.get(&key(prefix, index))) {
            match it.ready {
                Some((of, at)) if of >= generation => reached.ready.push(at),
                _ => reached.stuck += usize::from(it.is_stuck),
            }
        }
        reached
    }

    /// Replaces objects by ones with another header.
    ///
    /// # Errors
    /// One cannot be replaced.
    pub(super) async fn replace(&self, prefix: &str, number: usize) -> Result<()> {
        for index in 0..number {
            let api = self.api(&namespace(index));
            let mut now = api.get(&format!("{prefix}-{index}")).await?;
            if let Some(spec) = self.object(prefix, index, "second").get("spec")
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

    /// How many there are.
    pub(super) fn number(&self) -> usize {
        self.seen().len()
    }

    /// Ids that are in the status of objects.
    pub(super) fn ids(&self, prefix: &str, number: usize) -> Vec<String> {
        let seen = self.seen();
        (0..number).filter_map(|index| seen.get(&key(prefix, index))?.id.clone()).collect()
    }
}

async fn follow(client: Client, kind: Kind, seen: Arc<Mutex<HashMap<Key, Seen>>>) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind.resource());
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => note(&mut lock(&seen), kind, &object),
            Ok(Event::Delete(object)) => {
                lock(&seen).remove(&(object.namespace().unwrap_or_default(), object.name_any()));
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => eprintln!("the driver's watch: {error}"),
        }
    }
}

fn note(seen: &mut HashMap<Key, Seen>, kind: Kind, object: &DynamicObject) {
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    let State { is_ready, is_stuck, id } = kind.state(object);
    let generation = object.metadata.generation.unwrap_or_default();
    let known = seen.entry(key).or_insert(Seen { ready: None, is_stuck, id: None });
    if is_ready && known.ready.is_none_or(|(of, _)| of < generation) {
        known.ready = Some((generation, Instant::now()));
    }
    (known.is_stuck, known.id) = (is_stuck, id);
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
