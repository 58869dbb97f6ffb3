//! Table tests of the decisions, room by room, and properties over a small in-memory world.
//!
//! [`Case`] is one moment: change what matters and ask for the step. [`Script`] plays whole stories: it carries the
//! steps out as the controller does, against one object, one Orion and one clock that only moves when told to.

mod adopt;
mod case;
mod create;
mod found;
mod gone;
mod memory;
mod moved;
mod orphans;
mod process;
mod properties;
mod remove;
mod resolve;
mod script;
mod settle;
mod sync;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use secrecy::SecretString;

use super::*;
use crate::api::{
    AppliedSecret, CREATE_ATTEMPT, Capabilities, Endpoint, FINALIZER, Failure, FailureClass, HeaderSpec,
    HeaderValueFrom, InstanceId, OWNER_HEADER, Owner, RESOLVE, Readiness, Reason, RemoteHeader, RemoteWebhook,
    SecretKeyRef, Sent, Support, Webhook, WebhookSpec, WebhookStatus, conditions, ready_condition,
};
use case::Case;
use script::Script;
use world::Fault;

/// What no message may ever show: the part of a webhook's url behind its host.
const URL_SECRET: &str = "s3cret-in-path";
const ENDPOINT: &str = "https://acme.example.com/v1alpha";
const NAMESPACE: &str = "team-a";
const NAME: &str = "hook";
const SECRET: &str = "hook-secret";
const TOKEN: &str = "token-of-this-round";
const START: Duration = Duration::from_secs(1000);
const SETTLE: Duration = Duration::from_secs(60);
const ALL: Capabilities = Capabilities {
    list: Support::Proven,
    get: Support::Proven,
    put: Support::Proven,
    patch: Support::Proven,
    delete: Support::Proven,
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settings() -> Settings {
    Settings {
        instance: InstanceId::new("this installation"),
        interval: secs(600),
        min_interval: secs(30),
        create_settle: SETTLE,
        dry_run: false,
    }
}

fn owner() -> Owner {
    settings().instance.owner(NAMESPACE, NAME)
}

fn facts() -> ConnectionFacts {
    ConnectionFacts {
        endpoint: Endpoint::new("https://acme.example.com", "/v1alpha").unwrap(),
        capabilities: ALL,
        ownership: true,
        adoption: true,
        timeout: secs(10),
        trouble: None,
        markers_survive: false,
        proven: true,
        credentials: 0,
        recoveries: 0,
        last_list: None,
        begun: Boot::ZERO,
    }
}

fn trouble() -> Trouble {
    Trouble { reason: Reason::OrionUnavailable, message: "Orion refuses connections".into() }
}

/// A Webhook that was just applied.
fn webhook() -> Webhook {
    let header = HeaderSpec { name: "X-Team".into(), value: Some("data".into()), value_from: None };
    let mut webhook = Webhook::new(
        NAME,
        WebhookSpec {
            url: format!("https://hooks.example.com/{URL_SECRET}"),
            user_id: "user-42".into(),
            presence_name: "job-notifications".into(),
            headers: vec![header],
            connection_ref: None,
            deletion_policy: None,
            suspend: None,
            interval: None,
            adopt: None,
        },
    );
    webhook.metadata.namespace = Some(NAMESPACE.into());
    webhook.metadata.uid = Some("uid-1".into());
    webhook.metadata.generation = Some(1);
    webhook.metadata.resource_version = Some("1".into());
    webhook.status = Some(WebhookStatus { observed_generation: Some(-1), ..WebhookStatus::default() });
    webhook
}

fn secret_header() -> HeaderSpec {
    let secret_key_ref = SecretKeyRef { name: SECRET.into(), key: "token".into() };
    HeaderSpec { name: "X-Secret".into(), value: None, value_from: Some(HeaderValueFrom { secret_key_ref }) }
}

/// Header values as they are read while the Secret is at `version`.
fn values(spec: &WebhookSpec, version: &str) -> SecretValues {
    let value = |header: &HeaderSpec| header.value.clone().unwrap_or_else(|| format!("value-{version}"));
    let applied = |name: &str| AppliedSecret { name: name.into(), resource_version: version.into() };
    SecretValues {
        headers: spec.headers.iter().map(|header| (header.name.clone(), SecretString::from(value(header)))).collect(),
        versions: spec.secret_names().into_iter().map(applied).collect(),
    }
}

/// The webhook at Orion that `spec` declares.
fn remote(id: &str, spec: &WebhookSpec, version: &str, owner: Option<&Owner>) -> RemoteWebhook {
    let mut headers: Vec<RemoteHeader> = values(spec, version)
        .headers
        .into_iter()
        .map(|(name, value)| RemoteHeader { name, value: Some(value) })
        .collect();
    headers.extend(
        owner.map(|owner| RemoteHeader { name: OWNER_HEADER.into(), value: Some(SecretString::from(owner.as_str())) }),
    );
    RemoteWebhook {
        id: id.into(),
        url: Some(spec.url.clone()),
        user_id: Some(spec.user_id.clone()),
        presence_name: Some(spec.presence_name.clone()),
        headers: Some(headers),
    }
}

/// Ours, as declared.
fn ours(id: &str) -> RemoteWebhook {
    remote(id, &webhook().spec, "1", Some(&owner()))
}

/// As declared, without a marker.
fn unmarked(id: &str) -> RemoteWebhook {
    remote(id, &webhook().spec, "1", None)
}

/// Ours, and not as declared.
fn differing() -> RemoteWebhook {
    RemoteWebhook { url: Some("https://elsewhere.example.com/".into()), ..ours("wh_1") }
}

/// Somebody else's, with their marker.
fn foreign(id: &str) -> RemoteWebhook {
    remote(id, &webhook().spec, "1", Some(&settings().instance.owner("team-b", "other")))
}

fn list(begun: Boot, webhooks: &[RemoteWebhook]) -> Arc<Snapshot> {
    Arc::new(Snapshot::new(begun, webhooks.to_vec(), None))
}

fn flawed(begun: Boot, webhooks: &[RemoteWebhook]) -> Arc<Snapshot> {
    Arc::new(Snapshot::new(begun, webhooks.to_vec(), Some("its pages repeat".into())))
}

fn unsent(class: FailureClass) -> Failure {
    Failure { class, status: None, sent: Sent::No, json: false, retry_after: None, message: "It was not sent".into() }
}

fn lost(class: FailureClass) -> Failure {
    Failure { sent: Sent::Maybe, message: "No answer came".into(), ..unsent(class) }
}

/// An answer of Orion's own with this status.
fn answer(status: u16) -> Failure {
    let class = match status {
        300..=399 => FailureClass::Redirect,
        401 => FailureClass::Unauthorized,
        403 => FailureClass::Forbidden,
        404 => FailureClass::NotFound,
        405 | 501 => FailureClass::MethodNotAllowed,
        409 => FailureClass::Conflict,
        429 => FailureClass::RateLimited,
        400..=499 => FailureClass::Rejected,
        _ => FailureClass::ServerError,
    };
    Failure { class, status: Some(status), json: true, message: format!("Orion answered {status}"), ..lost(class) }
}

fn wall(now: Boot) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(now.as_secs()).unwrap()).unwrap()
}

fn settled(step: Step) -> Settlement {
    let Step::Settle(settlement) = step else { panic!("not settled: {step:?}") };
    *settlement
}

/// A step in a few words: its name, what it is about, and for a settlement its reason and wake after the start.
fn short(step: &Step) -> String {
    match step {
        Step::Refresh => "Refresh".into(),
        Step::ReadSecrets => "ReadSecrets".into(),
        Step::Get { id } => format!("Get {id}"),
        Step::List { .. } => "List".into(),
        Step::LookAtOthers => "LookAtOthers".into(),
        Step::LookAtNamespace => "LookAtNamespace".into(),
        Step::Prepare => "Prepare".into(),
        Step::BeginAttempt { resolved: false, .. } => "BeginAttempt".into(),
        Step::BeginAttempt { resolved: true, .. } => "BeginAttempt resolved".into(),
        Step::Hold => "Hold".into(),
        Step::ClearResolve => "ClearResolve".into(),
        Step::Post { token } => format!("Post {token}"),
        Step::Update { id } => format!("Update {id}"),
        Step::Unmark { id } => format!("Unmark {id}"),
        Step::Delete { id } => format!("Delete {id}"),
        Step::Release { left_behind: None, .. } => "Release".into(),
        Step::Release { left_behind: Some(_), .. } => "Release left behind".into(),
        Step::Settle(settlement) => settlement.readiness.reason.to_string(),
    }
}

/// The status of a condition.
fn condition<'a>(status: &'a WebhookStatus, type_: &str) -> Option<&'a str> {
    status.conditions.iter().find(|condition| condition.type_ == type_).map(|condition| condition.status.as_str())
}
