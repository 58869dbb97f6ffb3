//! `examples/webhook.yaml`, as the demo applies it.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_yaml::Value;

const EXAMPLE: &str = include_str!("../../../examples/webhook.yaml");
/// The header that the receiver asks for.
const SECRET_HEADER: &str = "X-Webhook-Secret";

/// The example with two values of its own.
#[derive(Debug)]
pub(super) struct Example {
    documents: Vec<Value>,
    /// Name of the Webhook.
    pub(super) name: String,
    /// Its presence name.
    pub(super) presence_name: String,
    /// The Secret that its header refers to.
    pub(super) secret: String,
    /// The key in that Secret.
    pub(super) key: String,
}

impl Example {
    /// Reads the example.
    ///
    /// # Errors
    /// It is not what the demo relies on: a Webhook whose secret header comes from a Secret in the same file.
    pub(super) fn read() -> Result<Self> {
        let documents = serde_yaml::Deserializer::from_str(EXAMPLE)
            .map(Value::deserialize)
            .collect::<Result<Vec<_>, _>>()
            .context("examples/webhook.yaml is not YAML")?;
        let webhook = documents.iter().find(|it| text(it, &["kind"]) == Some("Webhook"));
        let webhook = webhook.context("examples/webhook.yaml has no Webhook")?;
        let headers = at(webhook, &["spec", "headers"]).and_then(Value::as_sequence);
        let from = headers.into_iter().flatten().find(|header| text(header, &["name"]) == Some(SECRET_HEADER));
        let from = from.and_then(|header| at(header, &["valueFrom", "secretKeyRef"]));
        let from = from.with_context(|| format!("examples/webhook.yaml has no {SECRET_HEADER} from a Secret"))?;
        let wanted = |value: &Value, path: &[&str]| {
            let found = text(value, path).map(str::to_owned);
            found.with_context(|| format!("examples/webhook.yaml has no {}", path.join(".")))
        };
        Ok(Self {
            name: wanted(webhook, &["metadata", "name"])?,
            presence_name: wanted(webhook, &["spec", "presenceName"])?,
            secret: wanted(from, &["name"])?,
            key: wanted(from, &["key"])?,
            documents,
        })
    }

    /// The example with the receiver's url and a secret that nobody can read in a repository.
    ///
    /// # Errors
    /// It has no such fields.
    pub(super) fn with(mut self, url: &str, secret: &str) -> Result<String> {
        let mut yaml = String::new();
        for document in &mut self.documents {
            match text(document, &["kind"]) {
                Some("Webhook") => set(document, "spec", "url", url)?,
                Some("Secret") if text(document, &["metadata", "name"]) == Some(&self.secret) => {
                    set(document, "stringData", &self.key, secret)?;
                }
                Some(_) | None => {}
            }
            yaml.push_str("---\n");
            yaml.push_str(&serde_yaml::to_string(document)?);
        }
        Ok(yaml)
    }
}

fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(*name))
}

fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path).and_then(Value::as_str)
}

fn set(document: &mut Value, parent: &str, name: &str, value: &str) -> Result<()> {
    let parent_value = document.get_mut(parent).and_then(Value::as_mapping_mut);
    let fields = parent_value.with_context(|| format!("examples/webhook.yaml has no {parent}"))?;
    fields.insert(name.into(), value.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_and_secret_are_replaced_and_nothing_else() {
        let example = Example::read().unwrap();
        let before = example.documents.clone();
        let yaml = example.with("http://127.0.0.1:1/x", "a-secret").unwrap();
        let after: Vec<Value> =
            serde_yaml::Deserializer::from_str(&yaml).map(|it| Value::deserialize(it).unwrap()).collect();
        let mut expected = before;
        set(&mut expected[0], "stringData", "token", "a-secret").unwrap();
        set(&mut expected[1], "spec", "url", "http://127.0.0.1:1/x").unwrap();
        assert_eq!(after, expected);
    }
}
