//! From a webhook at Orion to the manifests for it. Pure.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde::Serialize;

use super::names::{keys, looks_secret, object_name};
use crate::api::{
    AdoptSpec, ConnectionRef, DeletionPolicy, GROUP, HeaderSpec, HeaderValueFrom, InstanceId, OWNER_HEADER,
    RemoteHeader, RemoteWebhook, Schema, SecretKeyRef, VERSION, WebhookSpec, is_masked,
};

/// How manifests are to be.
pub(super) struct Wanted {
    /// Their namespace; none leaves it to kubectl.
    pub(super) namespace: Option<String>,
    /// What becomes of the webhook at Orion when its object is deleted.
    pub(super) deletion_policy: DeletionPolicy,
    /// The connection; none is the operator's default one.
    pub(super) connection: Option<ConnectionRef>,
    /// Secrets are only named, and not written.
    pub(super) no_secrets: bool,
    /// Those of other installations too.
    pub(super) all: bool,
    /// This installation, where it is known.
    pub(super) instance: Option<InstanceId>,
}

/// The manifests for one webhook.
pub(super) struct Imported {
    /// The name of the Webhook.
    pub(super) name: String,
    /// What a person should know of it.
    pub(super) notes: Vec<String>,
    /// The Webhook.
    pub(super) webhook: Webhook,
    /// The Secret of its headers, where there are values for it.
    pub(super) secret: Option<Secret>,
}

/// A webhook for which there is no manifest.
pub(super) struct LeftOut {
    /// Its id at Orion.
    pub(super) id: String,
    /// Why, and what to do.
    pub(super) why: String,
}

#[derive(Clone, Serialize)]
struct Metadata {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
}

/// A Webhook to be written. Unlike the type of the API it has no status, and its fields are in the order that people expect.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Webhook {
    api_version: String,
    kind: &'static str,
    metadata: Metadata,
    spec: WebhookSpec,
}

/// A Secret to be written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Secret {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    #[serde(rename = "type")]
    type_: &'static str,
    string_data: BTreeMap<String, String>,
}

/// Whose a webhook is.
enum Holder {
    Nobody,
    Us,
    Another(String),
    /// It carries a marker that cannot be read.
    Unreadable,
}

/// A header as it will be declared.
enum Header {
    Plain(String),
    /// In a Secret.
    Secret(String),
    /// In a Secret, and Orion does not show it.
    Masked,
}

/// Makes the manifests for `webhook`.
///
/// # Errors
/// There is none for it.
pub(super) fn import(webhook: &RemoteWebhook, wanted: &Wanted, schema: &Schema) -> Result<Imported, LeftOut> {
    let left_out = |why: String| LeftOut { id: webhook.id.clone(), why };
    let mut notes = Vec::new();
    let force = match holder(webhook, wanted.instance.as_ref()) {
        Holder::Nobody => None,
        Holder::Us => {
            return Err(left_out(
                "this installation has it already; its Webhook, of the same name, takes it back".into(),
            ));
        }
        Holder::Another(prefix) if wanted.all => {
            notes.push(format!("Another installation ({prefix}) has this webhook: adopt.force takes it from there."));
            Some(true)
        }
        Holder::Unreadable if wanted.all => {
            notes.push("Some installation has this webhook: adopt.force takes it from there.".into());
            Some(true)
        }
        Holder::Another(prefix) => {
            return Err(left_out(format!("another installation ({prefix}) has it; --all takes it from there")));
        }
        Holder::Unreadable => {
            return Err(left_out("some installation has it, and Orion masks which; --all takes it from there".into()));
        }
    };
    let (Some(url), Some(user_id), Some(presence_name), Some(headers)) =
        (&webhook.url, &webhook.user_id, &webhook.presence_name, &webhook.headers)
    else {
        return Err(left_out("Orion does not show all of its fields (url, user_id, presence_name, headers)".into()));
    };
    let name = object_name(presence_name, &webhook.id);
    let secret_name = format!("{name}-headers");
    let headers = declared(headers);
    let manifest = |headers: Vec<HeaderSpec>| Webhook {
        api_version: format!("{GROUP}/{VERSION}"),
        kind: "Webhook",
        metadata: Metadata { name: name.clone(), namespace: wanted.namespace.clone() },
        spec: WebhookSpec {
            url: url.clone(),
            user_id: user_id.clone(),
            presence_name: presence_name.clone(),
            headers,
            connection_ref: wanted.connection.clone(),
            deletion_policy: Some(wanted.deletion_policy),
            suspend: None,
            interval: None,
            adopt: Some(AdoptSpec { id: webhook.id.clone(), force }),
        },
    };
    // With each value in the open first: what cannot be declared so cannot be sent from a Secret either.
    let open = serde_json::to_value(manifest(headers.iter().map(in_the_open).collect())).unwrap_or_default();
    let problems: Vec<String> = schema.validate(&open).iter().map(ToString::to_string).collect();
    if !problems.is_empty() {
        return Err(left_out(format!("it cannot be declared: {}", problems.join("; "))));
    }
    let keys = keys(headers.iter().map(|(name, _)| name.as_str()));
    let keyed = || headers.iter().zip(&keys);
    let missing: Vec<&str> = keyed()
        .filter(|((_, header), _)| match header {
            Header::Plain(_) => false,
            Header::Secret(_) => wanted.no_secrets,
            Header::Masked => true,
        })
        .map(|(_, key)| key.as_str())
        .collect();
    let masked: Vec<&str> =
        headers.iter().filter(|(_, header)| matches!(header, Header::Masked)).map(|(name, _)| name.as_str()).collect();
    if !masked.is_empty() {
        notes.push(format!("Orion masks the value of {}.", masked.join(", ")));
    }
    let data: BTreeMap<String, String> = keyed()
        .filter_map(|((_, header), key)| match header {
            Header::Secret(value) if !wanted.no_secrets => Some((key.clone(), value.clone())),
            Header::Plain(_) | Header::Secret(_) | Header::Masked => None,
        })
        .collect();
    if !missing.is_empty() {
        let verb = if data.is_empty() { "Create the Secret" } else { "Add to the Secret" };
        let keys = missing.join(", ");
        notes.push(format!(
            "{verb} {secret_name}: {keys}. Do it before you apply this; what comes later is sent to Orion."
        ));
    }
    let specs = keyed().map(|((header_name, header), key)| match header {
        Header::Plain(value) => HeaderSpec { name: header_name.clone(), value: Some(value.clone()), value_from: None },
        Header::Secret(_) | Header::Masked => HeaderSpec {
            name: header_name.clone(),
            value: None,
            value_from: Some(HeaderValueFrom {
                secret_key_ref: SecretKeyRef { name: secret_name.clone(), key: key.clone() },
            }),
        },
    });
    let secret = (!data.is_empty()).then(|| Secret {
        api_version: "v1",
        kind: "Secret",
        metadata: Metadata { name: secret_name.clone(), namespace: wanted.namespace.clone() },
        type_: "Opaque",
        string_data: data,
    });
    Ok(Imported { webhook: manifest(specs.collect()), name: name.clone(), notes, secret })
}

fn holder(webhook: &RemoteWebhook, instance: Option<&InstanceId>) -> Holder {
    let is_marked = webhook.headers.iter().flatten().any(|header| is_marker(&header.name));
    match webhook.owner() {
        Some(owner) if instance.is_some_and(|instance| instance.prefix() == owner.instance_prefix()) => Holder::Us,
        Some(owner) => Holder::Another(owner.instance_prefix().to_owned()),
        None if is_marked => Holder::Unreadable,
        None => Holder::Nobody,
    }
}

fn is_marker(name: &str) -> bool {
    name.eq_ignore_ascii_case(OWNER_HEADER)
}

/// The headers without the marker, sorted: Orion's order need not stay.
fn declared(headers: &[RemoteHeader]) -> Vec<(String, Header)> {
    let users = headers.iter().filter(|header| !is_marker(&header.name));
    let mut all: Vec<(String, Header)> = users
        .map(|header| {
            let kind = match header.value.as_ref().map(ExposeSecret::expose_secret) {
                None => Header::Masked,
                Some(value) if is_masked(value) => Header::Masked,
                // A Secret's value may not be empty, and nothing is nobody's secret.
                Some(value) if !value.is_empty() && looks_secret(&header.name, value) => {
                    Header::Secret(value.to_owned())
                }
                Some(value) => Header::Plain(value.to_owned()),
            };
            (header.name.clone(), kind)
        })
        .collect();
    all.sort_by_cached_key(|(name, _)| (name.to_ascii_lowercase(), name.clone()));
    all
}

fn in_the_open((name, header): &(String, Header)) -> HeaderSpec {
    let value = match header {
        Header::Plain(value) | Header::Secret(value) => value.clone(),
        Header::Masked => String::new(),
    };
    HeaderSpec { name: name.clone(), value: Some(value), value_from: None }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::crds;

    fn wanted() -> Wanted {
        Wanted {
            namespace: Some("team-a".into()),
            deletion_policy: DeletionPolicy::Orphan,
            connection: None,
            no_secrets: false,
            all: false,
            instance: Some(InstanceId::new("ours")),
        }
    }

    fn remote(headers: &[(&str, Option<&str>)]) -> RemoteWebhook {
        let header = |(name, value): &(&str, Option<&str>)| RemoteHeader {
            name: (*name).into(),
            value: value.map(SecretString::from),
        };
        RemoteWebhook {
            id: "wh_1".into(),
            url: Some("https://hooks.example.com/t0p".into()),
            user_id: Some("user-42".into()),
            presence_name: Some("jobs".into()),
            headers: Some(headers.iter().map(header).collect()),
        }
    }

    fn schema() -> Schema {
        crds().iter().filter_map(Schema::new).find(|schema| schema.kind() == "Webhook").unwrap()
    }

    fn made(webhook: &RemoteWebhook, wanted: &Wanted) -> (Value, Value, Vec<String>) {
        let imported = import(webhook, wanted, &schema()).unwrap_or_else(|left| panic!("{}", left.why));
        let webhook = serde_json::to_value(imported.webhook).unwrap();
        assert_eq!(schema().validate(&webhook), []);
        (webhook, serde_json::to_value(imported.secret).unwrap(), imported.notes)
    }

    fn refused(webhook: &RemoteWebhook, wanted: &Wanted) -> String {
        import(webhook, wanted, &schema()).err().unwrap().why
    }

    #[test]
    fn plain_headers_stay_and_secrets_move() {
        let headers = [("X-Webhook-Secret", Some("s3cret")), ("X-Team", Some("data")), ("X-Api-Key", Some(""))];
        let (webhook, secret, notes) = made(&remote(&headers), &wanted());
        let name = object_name("jobs", "wh_1");
        let secret_name = format!("{name}-headers");
        assert_eq!(
            webhook,
            json!({
                "apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook",
                "metadata": {"name": name, "namespace": "team-a"},
                "spec": {
                    "url": "https://hooks.example.com/t0p", "userId": "user-42", "presenceName": "jobs",
                    "headers": [
                        {"name": "X-Api-Key", "value": ""},
                        {"name": "X-Team", "value": "data"},
                        {"name": "X-Webhook-Secret", "valueFrom": {"secretKeyRef": {"name": secret_name, "key": "x-webhook-secret"}}},
                    ],
                    "deletionPolicy": "Orphan", "adopt": {"id": "wh_1"},
                },
            })
        );
        assert_eq!(secret["stringData"], json!({"x-webhook-secret": "s3cret"}));
        assert_eq!(secret["metadata"], json!({"name": secret_name, "namespace": "team-a"}));
        assert!(notes.is_empty(), "{notes:?}");
    }

    #[test]
    fn what_is_masked_or_not_wanted_is_named_only() {
        let headers = [("X-Secret", Some("s3cret")), ("X-Team", Some("***")), ("X-Hidden", None)];
        let (webhook, secret, notes) = made(&remote(&headers), &wanted());
        assert_eq!(secret["stringData"], json!({"x-secret": "s3cret"}));
        let referred = webhook["spec"]["headers"].as_array().unwrap().iter().filter(|it| it["valueFrom"].is_object());
        assert_eq!(referred.count(), 3);
        assert_eq!(notes[0], "Orion masks the value of X-Hidden, X-Team.");
        assert!(
            notes[1].starts_with("Add to the Secret jobs-") && notes[1].contains(": x-hidden, x-team."),
            "{notes:?}"
        );

        let (again, secret, notes) = made(&remote(&headers), &Wanted { no_secrets: true, ..wanted() });
        assert_eq!((&again, &secret), (&webhook, &Value::Null));
        assert!(notes[1].contains("Create the Secret") && notes[1].contains("x-hidden, x-secret, x-team"), "{notes:?}");
        assert!(!format!("{notes:?}").contains("s3cret"));
    }

    #[test]
    fn what_somebody_has_is_left_out() {
        let (ours, other) = (InstanceId::new("ours").owner("a", "b"), InstanceId::new("other").owner("a", "b"));
        let prefix = InstanceId::new("other").prefix().to_owned();
        let all = Wanted { all: true, ..wanted() };
        let mine = remote(&[(OWNER_HEADER, Some(ours.as_str()))]);
        assert!(refused(&mine, &wanted()).contains("this installation") && refused(&mine, &all).contains("this"));
        let theirs = remote(&[("X-Team", Some("data")), (OWNER_HEADER, Some(other.as_str()))]);
        assert!(refused(&theirs, &wanted()).contains(&prefix));
        let masked = remote(&[(OWNER_HEADER, Some("***"))]);
        assert!(refused(&masked, &wanted()).contains("masks"));
        for webhook in [&theirs, &masked] {
            let (made, _, notes) = made(webhook, &all);
            assert_eq!(made["spec"]["adopt"], json!({"id": "wh_1", "force": true}));
            assert!(!made.to_string().contains(OWNER_HEADER), "{made}");
            assert!(notes[0].contains("adopt.force"), "{notes:?}");
        }
    }

    #[test]
    fn what_cannot_be_declared_is_left_out_and_its_values_are_not_told() {
        let twice = remote(&[("X-Secret", Some("s3cret")), ("x-secret", Some("s3cret"))]);
        let line_break = remote(&[("X-Secret", Some("s3cret\n"))]);
        let reserved = remote(&[("Host", Some("s3cret"))]);
        let mut id = remote(&[]);
        id.id = "a/b".into();
        let mut hidden = remote(&[]);
        hidden.headers = None;
        for (webhook, words) in [
            (twice, "spec.headers"),
            (line_break, "spec.headers[0].value"),
            (reserved, "spec.headers[0].name"),
            (id, "spec.adopt.id"),
            (hidden, "does not show"),
        ] {
            let why = refused(&webhook, &wanted());
            assert!(why.contains(words) && !why.contains("s3cret") && !why.contains("t0p"), "{why}");
        }
    }

    #[test]
    fn a_connection_is_named_where_it_is_wanted() {
        let connection = Some(ConnectionRef { kind: None, name: "acme".into() });
        let wanted = Wanted { connection, namespace: None, deletion_policy: DeletionPolicy::Delete, ..wanted() };
        let (webhook, ..) = made(&remote(&[]), &wanted);
        assert_eq!(webhook["spec"]["connectionRef"], json!({"name": "acme"}));
        assert_eq!(webhook["spec"]["deletionPolicy"], "Delete");
        assert!(webhook["metadata"].get("namespace").is_none());
    }
}
