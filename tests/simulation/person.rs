//! What people do to Webhooks, straight at the apiserver and at Orion.

use orion_operator::api::{REQUESTED_AT, RESOLVE};
use serde_json::{Value, json};

use super::apiserver::{GROUP_VERSION, Key, Part, Refusal, Store};
use super::world::{NAMESPACE, World};

/// What a person does, to the Webhook of a number.
#[derive(Clone, Debug)]
pub struct Act(pub usize, pub Deed);

#[derive(Clone, Debug)]
pub enum Deed {
    Create,
    /// Another url.
    Edit(u32),
    Delete,
    /// `reconcile.fluxcd.io/requestedAt`.
    Request(u32),
    Suspend(bool),
    /// The header Secret of all gets another value.
    Rotate(u32),
    WipeStatus,
    TakeFinalizerOff,
    /// What is stored is removed at Orion.
    Vanish,
    /// `orion-operator.dev/resolve`.
    Resolve(String),
}

pub fn name(number: usize) -> String {
    format!("hook-{number}")
}

pub fn key(number: usize) -> Key {
    ("webhooks".into(), NAMESPACE.into(), name(number))
}

pub fn secret_key() -> Key {
    ("secrets".into(), NAMESPACE.into(), "hook-secret".into())
}

/// A value that must show up nowhere but at Orion.
pub fn secret_value(version: u32) -> String {
    format!("canary-{version}-s3cr3t")
}

pub fn secret(version: u32) -> Value {
    let value = data_encoding::BASE64.encode(secret_value(version).as_bytes());
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook-secret"}, "type": "Opaque", "data": {"token": value}})
}

pub fn webhook(number: usize) -> Value {
    json!({
        "apiVersion": GROUP_VERSION, "kind": "Webhook", "metadata": {"name": name(number)},
        "spec": {
            "url": "https://hooks.example.com/0", "userId": "user-42", "presenceName": name(number),
            "headers": [
                {"name": "X-Team", "value": "data"},
                {"name": "X-Secret", "valueFrom": {"secretKeyRef": {"name": "hook-secret", "key": "token"}}},
            ],
        },
    })
}

impl World {
    /// A person acts. What cannot be done is not done.
    pub fn act(&self, Act(number, deed): &Act) {
        self.trace(|| format!("person: {} {deed:?}", name(*number)));
        let key = key(*number);
        let edit = |part, change: &dyn Fn(&mut Value)| {
            let edited = self.api.change(|store: &mut Store| {
                store.update(&key, part, |object| {
                    change(object);
                    Ok(())
                })
            });
            drop::<Result<Value, Refusal>>(edited);
        };
        let annotate = |name: &str, value: &str| {
            edit(Part::Main, &|object| object["metadata"]["annotations"][name] = json!(value));
        };
        match deed {
            Deed::Create => drop(self.api.change(|store| store.create(key.clone(), webhook(*number)))),
            Deed::Delete => drop(self.api.change(|store| store.delete(&key))),
            Deed::Edit(url) => edit(Part::Main, &|object| {
                object["spec"]["url"] = json!(format!("https://hooks.example.com/{url}"));
            }),
            Deed::Request(text) => annotate(REQUESTED_AT, &text.to_string()),
            Deed::Resolve(text) => annotate(RESOLVE, text),
            Deed::Suspend(suspend) => edit(Part::Main, &|object| object["spec"]["suspend"] = json!(suspend)),
            Deed::Rotate(version) => {
                let data = secret(*version)["data"].clone();
                let changed = self.api.change(|store| {
                    store.update(&secret_key(), Part::Main, |object| {
                        object["data"] = data;
                        Ok(())
                    })
                });
                drop::<Result<Value, Refusal>>(changed);
            }
            Deed::WipeStatus => edit(Part::Status, &|object| object["status"] = json!({})),
            Deed::TakeFinalizerOff => edit(Part::Main, &|object| {
                object["metadata"].as_object_mut().unwrap().remove("finalizers");
            }),
            Deed::Vanish => {
                let store = self.api.store();
                let id =
                    store.get(&key).ok().and_then(|object| object["status"]["webhookId"].as_str()).map(str::to_owned);
                drop(store);
                id.and_then(|id| self.orion().webhooks.remove(&id));
            }
        }
    }
}
