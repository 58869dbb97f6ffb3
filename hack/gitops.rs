//! Every state of an object, as other tools must read it, and the files for Argo CD that are made of it.

#![allow(dead_code, reason = "`make generate` and the tests use different parts")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use orion_operator::api::{
    CONNECTION_FINALIZER, CREATE_ATTEMPT, ConnectionStatus, FINALIZER, GROUP, RESOLVE, Readiness, Reason, VERSION,
    WebhookStatus, conditions, crds,
};
use serde_json::{Value, json};

/// The kinds, the first of which has `spec.suspend`, a create attempt and ways out.
pub(crate) const KINDS: [&str; 3] = ["Webhook", "OrionConnection", "ClusterOrionConnection"];
pub(crate) const ARGOCD: &str = "examples/gitops/argocd";
const TOKEN: &str = "5f0c8a1e";
const ID: &str = "wh_123";

/// One row of the table of states: what the conditions are of that have these reasons, and how it is read.
pub(crate) struct Row {
    pub(crate) reasons: &'static [Reason],
    /// What kstatus computes: Flux and Helm 4 wait for `Current` and give up at `Failed`.
    pub(crate) kstatus: &'static str,
    /// What health.lua tells Argo CD.
    pub(crate) argocd: &'static str,
}

/// Written out here, and not taken from `Reason::state`, which it is compared with in effect.
pub(crate) const TABLE: [Row; 6] = [
    Row { reasons: &[Reason::Synced], kstatus: "Current", argocd: "Healthy" },
    Row { reasons: &[Reason::Progressing, Reason::DryRun], kstatus: "InProgress", argocd: "Progressing" },
    Row {
        reasons: &[
            Reason::OrionUnavailable,
            Reason::Timeout,
            Reason::TLSFailed,
            Reason::RateLimited,
            Reason::RemoteProtocolError,
            Reason::SecretNotFound,
            Reason::ConnectionNotFound,
            Reason::ConnectionNotReady,
            Reason::Deleting,
        ],
        kstatus: "InProgress",
        argocd: "Progressing",
    },
    Row { reasons: &[Reason::CreateUncertain], kstatus: "InProgress", argocd: "Progressing" },
    Row {
        reasons: &[
            Reason::InvalidSpec,
            Reason::Rejected,
            Reason::Unauthorized,
            Reason::Forbidden,
            Reason::EndpointNotFound,
            Reason::UnexpectedRedirect,
            Reason::Conflict,
            Reason::NotAllowed,
            Reason::SecretInvalid,
            Reason::InsecureConnection,
            Reason::UpdateUnsupported,
            Reason::DeleteUnsupported,
            Reason::CreateUnresolved,
            Reason::AdoptionFailed,
            Reason::EndpointChanged,
            Reason::MassDrift,
        ],
        kstatus: "Failed",
        argocd: "Degraded",
    },
    Row { reasons: &[Reason::Suspended], kstatus: "InProgress", argocd: "Suspended" },
];

/// States that files are made of for Argo CD: each row of the table, and what its actions are for.
const WEBHOOK_FILES: [&str; 17] = [
    "new",
    "synced",
    "progressing",
    "orion-unavailable",
    "create-uncertain",
    "rejected",
    "create-unresolved",
    "endpoint-changed",
    "mass-drift",
    "suspended",
    "suspended-in-sync",
    "edited",
    "edited-after-rejected",
    "deleting",
    "deleting-delete-unsupported",
    "deleting-create-unresolved",
    "deleting-mass-drift",
];
const CONNECTION_FILES: [&str; 7] =
    ["new", "synced", "progressing", "orion-unavailable", "unauthorized", "edited", "deleting"];

/// As the operator says it, in the files.
const MESSAGES: [(Reason, &str); 10] = [
    (Reason::Progressing, "Waiting for Orion to answer"),
    (Reason::OrionUnavailable, "Orion answered 503"),
    (Reason::CreateUncertain, "It is not known whether Orion has created the webhook: no answer in time"),
    (
        Reason::CreateUnresolved,
        "It is not known whether Orion has created the webhook. Orion has no list in which to look",
    ),
    (Reason::Rejected, "Orion refused the webhook: 422"),
    (Reason::Unauthorized, "Orion refused the credentials: 401"),
    (Reason::EndpointChanged, "The webhook wh_123 belongs to another endpoint"),
    (Reason::MassDrift, "Too many webhooks of the connection are gone at once"),
    (Reason::Suspended, "Suspended; the spec is sent to Orion when spec.suspend is taken out"),
    (Reason::DeleteUnsupported, "Orion has no DELETE"),
];

/// One object in one state.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) object: Value,
    pub(crate) kstatus: &'static str,
    pub(crate) argocd: &'static str,
}

impl Case {
    /// Whether a file is made of it.
    pub(crate) fn is_file(&self) -> bool {
        let files: &[&str] = if is_webhook(&self.object) { &WEBHOOK_FILES } else { &CONNECTION_FILES };
        files.contains(&self.name.as_str())
    }

    /// What health.lua says besides.
    pub(crate) fn message(&self) -> String {
        let conditions = self.object.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions.and_then(|list| list.first()).and_then(|ready| ready.pointer("/message"));
        let observed = self.object.pointer("/status/observedGeneration") == self.object.pointer("/metadata/generation");
        let text = match () {
            () if self.object.pointer("/metadata/deletionTimestamp").is_some() => "Pending deletion",
            () if self.object.pointer("/spec/suspend") == Some(&json!(true)) => "Reconciliation is suspended",
            () if ready.is_none() => "Waiting for the operator",
            () if !observed => "The operator has not seen the latest change yet",
            () => ready.and_then(Value::as_str).unwrap_or_default(),
        };
        text.to_owned()
    }
}

fn is_webhook(object: &Value) -> bool {
    object.pointer("/kind") == Some(&json!("Webhook"))
}

/// Every state of an object of a kind.
pub(crate) fn cases(kind: &str) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut new = object(kind);
    put(&mut new, "/metadata", "generation", json!(1));
    put(&mut new, "", "status", default_status(kind)?);
    cases.push(Case { name: "new".into(), object: new, kstatus: "InProgress", argocd: "Progressing" });
    for row in &TABLE {
        for reason in row.reasons.iter().copied() {
            let name = kebab(reason.as_str());
            // A connection cannot be suspended: it would say so by nothing but Ready.
            let argocd = if kind != "Webhook" && row.argocd == "Suspended" { "Degraded" } else { row.argocd };
            let told = |deleting| told(kind, reason, deleting);
            let alive = told(false)?;
            if reason != Reason::Deleting {
                cases.push(Case { name: name.clone(), object: alive.clone(), kstatus: row.kstatus, argocd });
            }
            let mut edited = alive.clone();
            put(&mut edited, "/metadata", "generation", json!(3));
            let edited_name = if reason == Reason::Synced { "edited".into() } else { format!("edited-after-{name}") };
            let argocd = if argocd == "Suspended" { argocd } else { "Progressing" };
            cases.push(Case { name: edited_name, object: edited, kstatus: "InProgress", argocd });
            let deleting_name = if reason == Reason::Deleting { name } else { format!("deleting-{name}") };
            let object = told(true)?;
            cases.push(Case { name: deleting_name, object, kstatus: "Terminating", argocd: "Progressing" });
            if kind == "Webhook" && reason == Reason::Synced {
                let mut object = alive;
                put(&mut object, "/spec", "suspend", json!(true));
                let name = "suspended-in-sync".into();
                cases.push(Case { name, object, kstatus: "Current", argocd: "Suspended" });
            }
        }
    }
    Ok(cases)
}

/// An object of which the operator has said this.
fn told(kind: &str, reason: Reason, deleting: bool) -> Result<Value> {
    let mut object = object(kind);
    let message = match (reason == Reason::Synced, reason == Reason::Deleting, kind == "Webhook") {
        (true, _, true) => "Orion has the webhook as declared",
        (true, _, false) => "Orion at acme.example.com answers and takes the credentials",
        (_, true, true) => "Waiting for Orion to delete the webhook",
        (_, true, false) => "1 Webhook still uses it: it goes when they are deleted",
        _ => MESSAGES.iter().find(|(of, _)| *of == reason).map_or("A message for people", |(_, text)| text),
    };
    let readiness = Readiness { reason, message: message.into(), deleting };
    let since: Timestamp = "2026-11-25T12:00:00Z".parse()?;
    let conditions: Vec<Condition> = conditions(&[], &readiness, 2, since);
    let endpoint = Some("https://acme.example.com/v1alpha".to_owned());
    let observed_generation = Some(2);
    let status = if kind == "Webhook" {
        let is_created = !matches!(reason, Reason::CreateUncertain | Reason::CreateUnresolved | Reason::Rejected);
        let is_open = matches!(reason, Reason::CreateUncertain | Reason::CreateUnresolved);
        serde_json::to_value(WebhookStatus {
            observed_generation,
            webhook_id: is_created.then(|| ID.to_owned()),
            endpoint: endpoint.filter(|_| is_created),
            settled_attempt: (!is_open).then(|| TOKEN.to_owned()),
            conditions,
            ..WebhookStatus::default()
        })?
    } else {
        let capabilities = ["list", "get", "put", "delete"].map(str::to_owned).into();
        serde_json::to_value(ConnectionStatus { observed_generation, endpoint, capabilities, conditions })?
    };
    put(&mut object, "", "status", status);
    if kind == "Webhook" {
        put(&mut object, "/metadata", "finalizers", json!([FINALIZER]));
        put(
            &mut object,
            "/metadata",
            "annotations",
            json!({CREATE_ATTEMPT: format!("{TOKEN} 2026-11-25T12:00:00Z k3vq7a2m")}),
        );
        if reason == Reason::Suspended {
            put(&mut object, "/spec", "suspend", json!(true));
        }
    } else {
        put(&mut object, "/metadata", "finalizers", json!([CONNECTION_FINALIZER]));
    }
    if deleting {
        put(&mut object, "/metadata", "deletionTimestamp", json!("2026-11-25T12:30:00Z"));
        put(&mut object, "/metadata", "deletionGracePeriodSeconds", json!(0));
    }
    Ok(object)
}

/// An object without a status.
pub(crate) fn object(kind: &str) -> Value {
    let connection = json!({
        "url": "https://acme.example.com",
        "auth": {"tokenSecretRef": {"name": "orion", "key": "token"}},
    });
    let spec = match kind {
        "Webhook" => {
            json!({"url": "https://hooks.example.com/orion", "userId": "user-42", "presenceName": "job-notifications"})
        }
        _ => connection,
    };
    let mut object = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": kind,
        "metadata": {
            "name": "example",
            "generation": 2,
            "creationTimestamp": "2026-11-25T11:00:00Z",
            "resourceVersion": "1000",
            "uid": "0a4f4a3e-4a53-4b0e-9c1c-0d7c1b1f0f11",
        },
        "spec": spec,
    });
    if kind != "ClusterOrionConnection" {
        put(&mut object, "/metadata", "namespace", json!("team-a"));
    }
    object
}

/// What the apiserver writes before the operator has seen an object.
fn default_status(kind: &str) -> Result<Value> {
    let crds = crds();
    let crd = crds.iter().find(|crd| crd.spec.names.kind == kind).context("no such kind")?;
    let crd = serde_json::to_value(crd)?;
    let default = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status/default");
    Ok(default.context("no default for status")?.clone())
}

/// Sets a key of the object at `pointer`.
fn put(object: &mut Value, pointer: &str, key: &str, value: Value) {
    if let Some(map) = object.pointer_mut(pointer).and_then(Value::as_object_mut) {
        map.insert(key.to_owned(), value);
    }
}

/// `CreateUncertain` to `create-uncertain`, `TLSFailed` to `tls-failed`.
fn kebab(reason: &str) -> String {
    let mut text = String::new();
    let mut letters = reason.chars().peekable();
    let mut after_small = false;
    while let Some(letter) = letters.next() {
        let before_small = letters.peek().is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && !text.is_empty() && (after_small || before_small) {
            text.push('-');
        }
        after_small = letter.is_ascii_lowercase();
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// A way out of a state that a person chooses by an action in Argo CD, and the annotation that it writes.
pub(crate) struct WayOut {
    pub(crate) action: &'static str,
    /// For the action, where it takes one.
    pub(crate) parameter: Option<&'static str>,
    pub(crate) annotation: &'static str,
    /// The states where it is offered.
    pub(crate) offered: fn(&Value) -> bool,
}

pub(crate) const WAYS_OUT: [WayOut; 4] = [
    WayOut { action: "abandon", parameter: None, annotation: "abandon", offered: is_deleting },
    WayOut {
        action: "adopt",
        parameter: Some("id=wh_777"),
        annotation: "adopt=wh_777",
        offered: |object| !is_deleting(object) && reason_of(object) == Some("CreateUnresolved"),
    },
    WayOut {
        action: "recreate",
        parameter: None,
        annotation: "recreate=wh_123",
        offered: |object| !is_deleting(object) && matches!(reason_of(object), Some("MassDrift" | "EndpointChanged")),
    },
    WayOut {
        action: "retry",
        parameter: None,
        annotation: "retry=5f0c8a1e",
        offered: |object| !is_deleting(object) && reason_of(object) == Some("CreateUnresolved"),
    },
];

fn is_deleting(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

fn reason_of(object: &Value) -> Option<&str> {
    object.pointer("/status/conditions/0/reason").and_then(Value::as_str)
}

/// The actions of a Webhook by name, each with whether it is disabled.
pub(crate) fn actions(object: &Value) -> Vec<(&'static str, bool)> {
    let is_suspended = object.pointer("/spec/suspend") == Some(&json!(true));
    let mut actions = vec![("refresh", false), ("resume", !is_suspended), ("suspend", is_suspended)];
    actions.extend(WAYS_OUT.iter().map(|way| (way.action, !(way.offered)(object))));
    actions.sort_unstable();
    actions
}

/// What is left of an object after a way out was chosen.
pub(crate) fn resolved(object: &Value, way: &WayOut) -> Value {
    let mut object = object.clone();
    put(&mut object, "/metadata/annotations", RESOLVE, json!(way.annotation));
    object
}

/// The files for Argo CD that are made of the above and of the Lua beside them.
pub(crate) fn files() -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    let lua = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(ARGOCD).join(path);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let group = Path::new(ARGOCD).join("resource_customizations").join(GROUP);
    let health = lua(&format!("resource_customizations/{GROUP}/Webhook/health.lua"))?;
    let mut config_map = String::from(CONFIG_MAP);
    for kind in KINDS {
        let folder = group.join(kind);
        if kind != "Webhook" {
            files.push((folder.join("health.lua"), health.clone()));
        }
        config_map += &format!("  resource.customizations.health.{GROUP}_{kind}: |\n{}", indented(&health, 4));
        let mut tests = Vec::new();
        for case in cases(kind)?.iter().filter(|case| case.is_file()) {
            let path = format!("testdata/{}.yaml", case.name);
            files.push((folder.join(&path), serde_yaml::to_string(&case.object)?));
            tests.push(json!({"healthStatus": {"status": case.argocd, "message": case.message()}, "inputPath": path}));
        }
        files.push((folder.join("health_test.yaml"), serde_yaml::to_string(&json!({"tests": tests}))?));
    }
    let actions = group.join("Webhook/actions");
    let of_actions = |name: &str| lua(&format!("resource_customizations/{GROUP}/Webhook/actions/{name}"));
    config_map += &format!("  resource.customizations.actions.{GROUP}_Webhook: |\n    discovery.lua: |\n");
    config_map += &indented(&of_actions("discovery.lua")?, 6);
    config_map += "    definitions:\n";
    let names = ["refresh", "suspend", "resume"].into_iter().chain(WAYS_OUT.iter().map(|way| way.action));
    for name in names {
        let text = indented(&of_actions(&format!("{name}/action.lua"))?, 10);
        config_map += &format!("      - name: {name}\n        action.lua: |\n{text}");
    }
    files.extend(tests_of_actions(&actions)?);
    files.push((Path::new(ARGOCD).join("argocd-cm.yaml"), config_map));
    Ok(files)
}

/// `action_test.yaml` and what it reads.
fn tests_of_actions(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let cases: Vec<Case> = cases("Webhook")?.into_iter().filter(Case::is_file).collect();
    let discovered = cases.iter().map(|case| {
        let result: Vec<Value> = self::actions(&case.object)
            .into_iter()
            .map(|(name, disabled)| {
                let mut action = json!({"name": name, "disabled": disabled});
                if name == "adopt" {
                    put(&mut action, "", "params", json!([{"name": "id"}]));
                }
                action
            })
            .collect();
        json!({"inputPath": format!("../testdata/{}.yaml", case.name), "result": result})
    });
    let discovered: Vec<Value> = discovered.collect();
    let mut files = Vec::new();
    let mut run = Vec::new();
    for (action, from, to) in [("suspend", "synced", "suspended-in-sync"), ("resume", "suspended-in-sync", "synced")] {
        run.push(json!({
            "action": action,
            "inputPath": format!("../testdata/{from}.yaml"),
            "expectedOutputPath": format!("../testdata/{to}.yaml"),
        }));
    }
    for way in &WAYS_OUT {
        let case = cases.iter().find(|case| (way.offered)(&case.object)).context(way.action)?;
        let output = format!("testdata/{}-{}.yaml", case.name, way.action);
        files.push((folder.join(&output), serde_yaml::to_string(&resolved(&case.object, way))?));
        let mut test = json!({
            "action": way.action,
            "inputPath": format!("../testdata/{}.yaml", case.name),
            "expectedOutputPath": output,
        });
        if let Some((name, value)) = way.parameter.and_then(|parameter| parameter.split_once('=')) {
            put(&mut test, "", "parameters", json!({name: value}));
        }
        run.push(test);
    }
    let tests = json!({"discoveryTests": discovered, "actionTests": run});
    files.push((folder.join("action_test.yaml"), serde_yaml::to_string(&tests)?));
    Ok(files)
}

const CONFIG_MAP: &str = "# Argo CD reads the health of the operator's objects from their status, and offers actions on Webhooks. Add it to yours:
#   kubectl patch configmap argocd-cm -n argocd --patch-file argocd-cm.yaml
# Made of resource_customizations by `make generate`. Do not edit.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    app.kubernetes.io/name: argocd-cm
    app.kubernetes.io/part-of: argocd
data:
";

fn indented(text: &str, by: usize) -> String {
    let space = " ".repeat(by);
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{space}{line}\n") };
    text.lines().map(line).collect()
}
