//! A world of one Webhook: its object at the apiserver, its Orion, and a clock that only moves when told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use secrecy::SecretString;

use super::*;

/// What goes wrong with the next change at Orion.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub failure: Failure,
    /// The change takes effect all the same, so much later.
    pub effect: Option<Duration>,
}

impl Fault {
    pub(super) fn refused(failure: Failure) -> Self {
        Self { failure, effect: None }
    }

    /// The answer is lost; the change takes effect after `delay`.
    pub(super) fn lost(delay: u64) -> Self {
        Self { failure: lost(FailureClass::Timeout), effect: Some(secs(delay)) }
    }
}

/// One POST as Orion saw it.
#[derive(Clone, Debug)]
pub(super) struct Posted {
    pub at: Boot,
    pub token: String,
    pub result: Result<String, Failure>,
}

/// Everything outside of the operator's processes.
pub(super) struct World {
    pub now: Boot,
    pub settings: Settings,
    /// The object; `None` once it is gone.
    pub object: Option<Webhook>,
    pub facts: ConnectionFacts,
    /// Where there is no usable connection.
    pub no_connection: Option<Connection>,
    pub secret: Option<String>,
    pub orion: BTreeMap<String, RemoteWebhook>,
    pub late: Vec<(Boot, RemoteWebhook)>,
    pub others: Others,
    pub holders: BTreeMap<String, String>,
    pub faults: VecDeque<Fault>,
    pub read_faults: VecDeque<Failure>,
    pub flaws: usize,
    pub posts: Vec<Posted>,
    /// Complete lists, by their beginning.
    pub lists: Vec<Boot>,
    /// When the stored id was not found.
    pub not_found: Vec<Boot>,
    /// Writes to the apiserver, and whether the finalizer went.
    pub writes: usize,
    pub log: Vec<String>,
    pub ids: usize,
    pub abandoned: bool,
    /// The namespace is terminating.
    pub terminating: bool,
    /// What was told to be left behind for good.
    pub left_behind: Option<String>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            now: START,
            settings: settings(),
            object: Some(webhook()),
            facts: facts(),
            no_connection: None,
            secret: Some("1".into()),
            orion: BTreeMap::new(),
            late: Vec::new(),
            others: Others { looked_at: 0, gone: 0, gone_in_all: 1, stored: 1 },
            holders: BTreeMap::new(),
            faults: VecDeque::new(),
            read_faults: VecDeque::new(),
            flaws: 0,
            posts: Vec::new(),
            lists: Vec::new(),
            not_found: Vec::new(),
            writes: 0,
            log: Vec::new(),
            ids: 0,
            abandoned: false,
            terminating: false,
            left_behind: None,
        }
    }

    pub(super) fn object(&self) -> &Webhook {
        self.object.as_ref().unwrap()
    }

    pub(super) fn status(&self) -> WebhookStatus {
        self.object().status.clone().unwrap_or_default()
    }

    pub(super) fn reason(&self) -> String {
        ready_condition(&self.status().conditions).map(|ready| ready.reason.clone()).unwrap_or_default()
    }

    /// Somebody changes the object.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Webhook)) {
        let Some(object) = &mut self.object else { return };
        let spec = object.spec.clone();
        change(object);
        if object.spec != spec {
            object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
        }
        let version: u64 = object.resource_version().unwrap().parse().unwrap();
        object.metadata.resource_version = Some((version + 1).to_string());
        if object.metadata.deletion_timestamp.is_some() && object.finalizers().is_empty() {
            self.object = None;
        }
    }

    pub(super) fn annotate(&mut self, key: &str, value: &str) {
        self.edit(|object| {
            object.annotations_mut().insert(key.into(), value.into());
        });
    }

    pub(super) fn delete(&mut self) {
        self.edit(|object| {
            object.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
            object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
        });
    }

    /// What is late takes effect.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= self.now);
        self.late = late;
        let due: Vec<(Boot, RemoteWebhook)> = due;
        self.orion.extend(due.into_iter().map(|(_, webhook)| (webhook.id.clone(), webhook)));
    }

    /// Ids at Orion that carry our marker.
    pub(super) fn marked(&self) -> Vec<&str> {
        let ours = |webhook: &&RemoteWebhook| webhook.owner() == Some(owner());
        self.orion.values().filter(ours).map(|webhook| webhook.id.as_str()).collect()
    }

    pub(super) fn connection(&self) -> Connection {
        self.no_connection.clone().unwrap_or_else(|| Connection::Usable(Box::new(self.facts.clone())))
    }

    pub(super) fn create(&mut self, webhook: &Webhook, values: &SecretValues, token: &str) -> Result<String, Failure> {
        self.ids += 1;
        let id = format!("wh_{}", self.ids);
        let created = self.body(&id, webhook, values, self.facts.ownership);
        let result = match self.faults.pop_front() {
            None => {
                self.orion.insert(id.clone(), created);
                Ok(id)
            }
            Some(fault) => {
                if let Some(delay) = fault.effect {
                    self.late.push((self.now + delay, created));
                    self.pass(Duration::ZERO);
                }
                Err(fault.failure)
            }
        };
        self.posts.push(Posted { at: self.now, token: token.to_owned(), result: result.clone() });
        result
    }

    fn body(&self, id: &str, webhook: &Webhook, values: &SecretValues, marked: bool) -> RemoteWebhook {
        let owner = marked.then(owner);
        let body = desired(&webhook.spec, values, owner);
        let mut headers: Vec<RemoteHeader> = Vec::new();
        headers.extend(body.headers.into_iter().map(|(name, value)| RemoteHeader { name, value: Some(value) }));
        headers.extend(
            body.owner.map(|owner| RemoteHeader {
                name: OWNER_HEADER.into(),
                value: Some(SecretString::from(owner.as_str())),
            }),
        );
        RemoteWebhook { id: id.into(), headers: Some(headers), ..remote(id, &webhook.spec, "1", None) }
    }

    pub(super) fn change(
        &mut self,
        kind: &CallKind,
        webhook: &Webhook,
        values: Option<&SecretValues>,
    ) -> Result<String, Failure> {
        let fault = self.faults.pop_front();
        let takes_effect = fault.as_ref().is_none_or(|fault| fault.effect.is_some());
        let (CallKind::Update { id }
        | CallKind::Unmark { id }
        | CallKind::Delete { id }
        | CallKind::Post { token: id }) = kind;
        let known = self.orion.contains_key(id);
        if takes_effect && known {
            match values {
                Some(values) => {
                    let marked = self.facts.ownership && matches!(kind, CallKind::Update { .. });
                    self.orion.insert(id.clone(), self.body(id, webhook, values, marked));
                }
                None => {
                    self.orion.remove(id);
                }
            }
        }
        match fault {
            Some(fault) => Err(fault.failure),
            None if known => Ok(id.clone()),
            None => Err(answer(404)),
        }
    }

    pub(super) fn list(&mut self, begun_after: Boot) -> Result<Arc<Snapshot>, Failure> {
        // One that is not complete is not shared.
        let is_fit = |list: &Arc<Snapshot>| list.begun >= begun_after && list.is_complete();
        if let Some(list) = self.facts.last_list.clone().filter(is_fit) {
            return Ok(list);
        }
        self.pass(begun_after.saturating_sub(self.now));
        if let Some(failure) = self.read_faults.pop_front() {
            return Err(failure);
        }
        let flaw = (self.flaws > 0).then(|| "its pages repeat".to_owned());
        self.flaws = self.flaws.saturating_sub(1);
        if flaw.is_none() {
            self.lists.push(self.now);
        }
        // A list with a flaw shows nothing: the worst that can be left out.
        let shown = if flaw.is_none() { self.orion.values().cloned().collect() } else { Vec::new() };
        let list = Arc::new(Snapshot::new(self.now, shown, flaw));
        self.facts.markers_survive |= list.shows_markers();
        self.facts.last_list = Some(Arc::clone(&list));
        Ok(list)
    }
}
