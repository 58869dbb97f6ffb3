//! Contexts over a few objects, for the tests here and of the census.

use std::convert::Infallible;

use http::{Request, Response};
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;
use crate::api::{InstanceId, Reason};
use crate::metrics::Counted;

pub(in crate::controller) const HOUR: Duration = Duration::from_secs(3600);

struct Still;

impl Clock for Still {
    fn boot(&self) -> Boot {
        HOUR
    }

    fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

/// A Webhook of a namespace, name and connection of its own, with a reason.
pub(in crate::controller) fn webhook(number: usize, reason: Option<Reason>) -> Guarded {
    let condition = |reason: Reason| json!({"type": "Ready", "status": "False", "reason": reason.as_str(), "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let object = json!({
        "apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook",
        "metadata": {"name": format!("hook-{number}"), "namespace": format!("team-{number}"), "uid": number.to_string()},
        "spec": {
            "url": "https://hooks.example.com", "userId": "u", "presenceName": format!("p-{number}"),
            "connectionRef": {"name": format!("orion-{number}")},
        },
        "status": {"conditions": reason.map(condition).into_iter().collect::<Vec<_>>()},
    });
    DeserializeGuard(Ok(serde_json::from_value(object).unwrap()))
}

pub(in crate::controller) fn context(webhooks: impl Iterator<Item = Guarded>) -> (Arc<Context>, Arc<Metrics>) {
    let nobody = tower::service_fn(async |_: Request<kube::client::Body>| {
        Ok::<_, Infallible>(Response::new(kube::client::Body::empty()))
    });
    let (store, mut writer) = reflector::store();
    for webhook in webhooks {
        writer.apply_watcher_event(&Event::Apply(webhook));
    }
    let config = ContextConfig {
        client: Client::new(nobody, "default"),
        aside: Client::new(nobody, "default"),
        settings: Settings {
            instance: InstanceId::new("census"),
            interval: Duration::from_secs(600),
            min_interval: Duration::from_secs(30),
            create_settle: Duration::from_secs(60),
            dry_run: false,
        },
        default_connection: None,
        operator_namespace: "orion-system".into(),
        allow_insecure_connections: false,
        clock: Arc::new(Still),
        apiserver_timeout: Duration::from_secs(1),
        concurrency: 16,
        fence: Fence::open(),
        speaks: tokio::sync::watch::channel(true).1,
        health: Arc::default(),
    };
    let caches = Caches { webhooks: vec![store], secrets: Vec::new(), namespaces: None, wakes: Vec::new() };
    let watching = Watching { namespaces: None, label_selector: None };
    let metrics = Arc::new(Metrics::default());
    let context = Context::new(config, &watching, caches, Arc::clone(&metrics), CancellationToken::new());
    let context = Arc::new(context);
    let counted: Arc<dyn Counted> = Arc::clone(&context) as Arc<dyn Counted>;
    metrics.asks(Arc::downgrade(&counted));
    (context, metrics)
}

/// The object of number 0 in another version.
pub(in crate::controller) fn at(version: &str, uid: &str) -> Webhook {
    let mut webhook = webhook(0, None).0.unwrap();
    (webhook.metadata.resource_version, webhook.metadata.uid) = (Some(version.into()), Some(uid.into()));
    webhook
}

#[tokio::test]
async fn our_copy_is_kept_until_the_cache_has_it() {
    let key = WebhookName::new("team-0", "hook-0");
    let kept = |cached: Option<Webhook>, seen: Option<Webhook>| {
        let guarded = |webhook| DeserializeGuard(Ok(webhook));
        let (context, _) = context(cached.map(guarded).into_iter());
        let latest = Some(Arc::new(at("5", "0")));
        context.remember(&key, &Entry { uid: "0".into(), latest, ..Entry::default() });
        if let Some(seen) = seen {
            context.caught_up(&key, &guarded(seen));
        }
        context.recall(&key, "0").latest.is_some()
    };
    assert!(kept(None, None) && kept(Some(at("4", "0")), None));
    assert!(!kept(Some(at("5", "0")), None) && !kept(Some(at("6", "0")), None), "dropped as it is remembered");
    assert!(kept(Some(at("3", "0")), Some(at("4", "0"))), "the cache lags behind still");
    for seen in [at("5", "0"), at("6", "0"), at("4", "another")] {
        assert!(!kept(Some(at("4", "0")), Some(seen)), "dropped as the cache catches up");
    }
}
