//! Least privilege: the operator asks for nothing that the rendered roles do not give it, and they give it nothing that it
//! does not ask for. What it asked for is in the apiserver's audit log.

use std::collections::BTreeSet;
use std::time::Duration;

use devkit::control_plane::AuditEvent;
use serde_json::{Value, json};

use super::cluster::{Cluster, OWN, ports, until};
use super::tools::{CHART, of_kind};

const TEAM: &str = "team-a";
const GROUP: &str = "orion-operator.dev";

/// Namespace (empty: everywhere), group, resource with its subresource, verb.
type Right = (String, String, String, String);

fn words(list: &Value) -> Vec<String> {
    serde_json::from_value(list.clone()).unwrap()
}

/// What the roles of a release that are bound to its ServiceAccount let it do.
fn granted(release: &[Value]) -> BTreeSet<Right> {
    let account = &of_kind(release, "ServiceAccount")["metadata"]["name"];
    let bindings = release.iter().filter(|object| object["roleRef"].is_object());
    let ours = bindings.filter(|binding| binding["subjects"][0]["name"] == *account);
    let mut granted = BTreeSet::new();
    for binding in ours {
        let namespace = binding["metadata"]["namespace"].as_str().unwrap_or_default();
        let is_its_role = |object: &&Value| {
            object["kind"] == binding["roleRef"]["kind"]
                && object["metadata"]["name"] == binding["roleRef"]["name"]
                && object["metadata"]["namespace"] == binding["metadata"]["namespace"]
        };
        let role = release.iter().find(is_its_role).unwrap();
        for rule in role["rules"].as_array().unwrap() {
            assert!(rule["resourceNames"].is_null() && rule["nonResourceURLs"].is_null(), "not looked at here: {rule}");
            for group in words(&rule["apiGroups"]) {
                for resource in words(&rule["resources"]) {
                    for verb in words(&rule["verbs"]) {
                        granted.insert((namespace.to_owned(), group.clone(), resource.clone(), verb));
                    }
                }
            }
        }
    }
    granted
}

/// What the operator has asked for so far.
fn asked(cluster: &Cluster) -> Vec<AuditEvent> {
    let operator = format!("system:serviceaccount:{OWN}:orion-operator");
    let events = cluster.plane.audit_events().unwrap();
    events.into_iter().filter(|event| event.user == operator).collect()
}

/// The rights that it took, as roles everywhere or in namespaces would have them.
fn used(cluster: &Cluster, is_everywhere: bool) -> BTreeSet<Right> {
    let right = |event: AuditEvent| {
        let namespace = if is_everywhere { String::new() } else { event.namespace };
        let subresource = if event.subresource.is_empty() { String::new() } else { format!("/{}", event.subresource) };
        (namespace, event.api_group, format!("{}{subresource}", event.resource), event.verb)
    };
    asked(cluster).into_iter().filter(|event| !event.resource.is_empty()).map(right).collect()
}

fn object(kind: &str, name: &str, namespace: Option<&str>, spec: Value) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": format!("{GROUP}/v1alpha1"), "kind": kind, "metadata": metadata, "spec": spec})
}

fn webhook(name: &str, kind: &str) -> Value {
    let spec = json!({
        "url": "https://hooks.example.com/orion", "userId": "user-42", "presenceName": name,
        "connectionRef": {"kind": kind, "name": "acme"},
    });
    object("Webhook", name, Some(TEAM), spec)
}

impl Cluster {
    async fn apply(&self, object: &Value) {
        self.plane.apply(&object.to_string()).await.unwrap();
    }

    async fn is(&self, what: &str, condition: &str) {
        self.kubectl(&["wait", &format!("--for={condition}"), "--timeout=50s", "-n", TEAM, what]).await;
    }

    /// A Webhook through a connection of its own.
    async fn through_a_connection(&self, kind: &str) {
        let (namespace, secrets, more) = match kind {
            "OrionConnection" => (Some(TEAM), TEAM, json!({})),
            _ => (None, OWN, json!({"allowedNamespaces": [{"name": TEAM}]})),
        };
        let token = self.secret("orion", "token").await;
        let token = format!("--from-literal=token={}", String::from_utf8(token).unwrap());
        self.kubectl(&["create", "secret", "generic", "acme", "-n", secrets, &token]).await;
        let mut spec = json!({"url": self.sim.url(), "auth": {"tokenSecretRef": {"name": "acme", "key": "token"}}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.apply(&object(kind, "acme", namespace, spec)).await;
        let name = kind.to_lowercase();
        self.apply(&webhook(&name, kind)).await;
        self.is(&format!("{name}/acme"), "condition=Ready").await;
        self.is(&format!("webhook/{name}"), "condition=Ready").await;
    }

    /// An object that does not decode, as one that was stored under another schema; the operator tells on it.
    async fn strange(&self, kind: &str, plural: &str, namespace: Option<&str>) {
        let crd = format!("{plural}.{GROUP}");
        let tight = self.json(&["get", "crd", &crd]).await["spec"]["versions"].clone();
        let anything = json!({
            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"presenceName": {"type": "string"}, "userId": {"type": "string"}},
        });
        let mut loose = tight.clone();
        loose[0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = anything;
        let define = async |versions: &Value| {
            let patch = json!([{"op": "replace", "path": "/spec/versions", "value": versions}]).to_string();
            self.kubectl(&["patch", "crd", &crd, "--type=json", "-p", &patch]).await;
        };
        define(&loose).await;
        let strange = object(kind, "strange", namespace, json!({"url": ["not", "a", "string"]})).to_string();
        until("the looser definition is served", async || self.plane.apply(&strange).await.is_ok()).await;
        define(&tight).await;
        self.asks(&format!("for the strange {kind}"), |event| {
            event.verb == "get" && event.resource == plural && event.name == "strange"
        })
        .await;
    }

    /// Waits until the operator has asked for something.
    async fn asks(&self, what: &str, is_it: impl Fn(&AuditEvent) -> bool) {
        until(&format!("the operator asks {what}"), async || asked(self).iter().any(&is_it)).await;
    }

    /// All that the operator does, once.
    async fn everything(&self, kinds: &[&str]) {
        self.main_job(TEAM, "first").await;
        for kind in kinds {
            self.through_a_connection(kind).await;
        }
        // The second Event of one kind is counted in the first.
        let header = |key: &str| {
            format!(r#"[{{"op":"replace","path":"/spec/headers/0/valueFrom/secretKeyRef/key","value":"{key}"}}]"#)
        };
        let reason = |reason: &str| format!(r#"jsonpath={{.status.conditions[?(@.type=="Ready")].reason}}={reason}"#);
        for (key, expected) in [("missing", "SecretNotFound"), ("token", "Synced")] {
            self.kubectl(&["patch", "webhook", "first", "-n", TEAM, "--type=json", "-p", &header(key)]).await;
            self.is("webhook/first", &reason(expected)).await;
        }
        self.strange("Webhook", "webhooks", Some(TEAM)).await;
        self.strange("OrionConnection", "orionconnections", Some(TEAM)).await;
        if kinds.contains(&"ClusterOrionConnection") {
            self.strange("ClusterOrionConnection", "clusterorionconnections", None).await;
        }
        // A connection that is torn out: whether that is because the namespace goes is looked at.
        let acme = ["orionconnection", "acme", "-n", TEAM];
        self.kubectl(&[&["delete", "--wait=false"], &acme[..]].concat()).await;
        self.kubectl(&[&["patch"], &acme[..], &["--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]].concat())
            .await;
        self.kubectl(&["delete", "webhook", "orionconnection", "-n", TEAM, "--wait=false"]).await;
        self.asks("for the namespace", |event| event.resource == "namespaces" && event.name == TEAM).await;
    }
}

async fn are_as_small_as_can_be(test: &str, kinds: &[&str], more: &[&str]) {
    let Some(cluster) = Cluster::start(test, "helm4").await else { return };
    cluster.kubectl(&["create", "namespace", TEAM]).await;
    cluster.token_secret("").await;
    let url = format!("orion.url={}", cluster.sim.url());
    let [metrics, probes] = ports();
    let values = [&url, "orion.existingSecret=orion", "allowInsecureConnections=true", &metrics, &probes];
    let release = cluster.release("install", CHART, &[&values, more].concat());
    let _operator = cluster.operator(of_kind(&release, "Deployment")).await;
    cluster.everything(kinds).await;

    let is_everywhere = release.iter().any(|object| object["kind"] == "ClusterRoleBinding");
    let granted = granted(&release);
    let unused = || granted.difference(&used(&cluster, is_everywhere)).cloned().collect::<Vec<Right>>();
    // What is asked for in the background, Events say, comes a little later; what is not comes never.
    let all_are_used = async {
        while !unused().is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(20), all_are_used).await;
    assert_eq!(unused(), Vec::<Right>::new(), "these rights are not used");
    let refused: Vec<AuditEvent> = asked(&cluster).into_iter().filter(|event| event.code == 403).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let all = used(&cluster, is_everywhere);
    let beyond: Vec<&Right> = all.difference(&granted).collect();
    assert!(beyond.is_empty(), "not by these roles: {beyond:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_in_the_whole_cluster_are_used_and_suffice() {
    let test = "rights_in_the_whole_cluster_are_used_and_suffice";
    are_as_small_as_can_be(test, &["OrionConnection", "ClusterOrionConnection"], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_in_one_namespace_are_used_and_suffice() {
    let test = "rights_in_one_namespace_are_used_and_suffice";
    are_as_small_as_can_be(test, &["OrionConnection"], &["watchNamespaces={team-a}"]).await;
}
