//! Reads the Secrets of a Webhook's headers. Always `get`, always in the Webhook's own namespace.

use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use secrecy::SecretString;
use secrecy::zeroize::Zeroize;

use super::patch::{ApiError, within};
use crate::api::{AppliedSecret, HeaderValue, Reason, Webhook};
use crate::plan::{SecretProblem, SecretValues};

/// Types of Secret that are never sent anywhere: they open the cluster itself.
const REFUSED_TYPES: [&str; 3] =
    ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1"];

/// Reads every header value that the spec names. Each call to the apiserver has so much time.
///
/// # Errors
/// The outer error is the apiserver's; the inner one is for the Webhook's status.
pub(crate) async fn header_values(
    client: &Client,
    timeout: Duration,
    webhook: &Webhook,
) -> Result<Result<SecretValues, SecretProblem>, ApiError> {
    let namespace = webhook.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let mut secrets = Vec::new();
    for name in webhook.spec.secret_names() {
        match within(timeout, "get a Secret", api.get_opt(name)).await? {
            Some(secret) => secrets.push((name, Wiped(secret))),
            None => return Ok(Err(not_found(format!("There is no Secret {name} in the namespace {namespace}")))),
        }
    }
    Ok(collect(webhook, &secrets))
}

fn collect(webhook: &Webhook, secrets: &[(&str, Wiped)]) -> Result<SecretValues, SecretProblem> {
    let mut headers = Vec::new();
    for header in &webhook.spec.headers {
        let value = match (&header.value, &header.value_from) {
            (Some(value), _) => HeaderValue::from(value.clone()),
            (None, Some(from)) => {
                let reference = &from.secret_key_ref;
                let secret = secrets.iter().find(|(name, _)| *name == reference.name).map(|(_, secret)| &secret.0);
                let Some(secret) = secret else {
                    return Err(not_found(format!("There is no Secret {}", reference.name)));
                };
                value_of(secret, &reference.name, &reference.key, &header.name)?
            }
            (None, None) => HeaderValue::from(String::new()),
        };
        headers.push((header.name.clone(), value));
    }
    let versions = secrets
        .iter()
        .map(|(name, secret)| AppliedSecret {
            name: (*name).to_owned(),
            resource_version: secret.0.resource_version().unwrap_or_default(),
        })
        .collect();
    Ok(SecretValues { headers, versions })
}

fn value_of(secret: &Secret, name: &str, key: &str, header: &str) -> Result<SecretString, SecretProblem> {
    if let Some(type_) = refused_type(secret) {
        return Err(invalid(format!(
            "The Secret {name} is of type {type_}, which is never sent out. Name another Secret"
        )));
    }
    let Some(ByteString(bytes)) = secret.data.as_ref().and_then(|data| data.get(key)) else {
        return Err(not_found(format!("The Secret {name} has no key {key}")));
    };
    let where_ = format!("The value of key {key} in the Secret {name}, for the header {header},");
    let text = std::str::from_utf8(bytes)
        .map_err(|_| invalid(format!("{where_} is not text. Header values are printable ASCII")))?;
    match text {
        "" => Err(invalid(format!("{where_} is empty. Put the value in"))),
        text if text.ends_with(['\n', '\r']) => {
            Err(invalid(format!("{where_} ends with a line break. Make it without one, as with: printf %s \"$VALUE\"")))
        }
        text if text.len() > 4096 => Err(invalid(format!("{where_} is longer than 4096 bytes"))),
        text if !text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) => Err(invalid(format!(
            "{where_} holds characters that a header cannot carry. Header values are printable ASCII and tab"
        ))),
        text => Ok(SecretString::from(text)),
    }
}

fn not_found(message: String) -> SecretProblem {
    let message = format!("{message}. Create it; it is seen at once");
    SecretProblem { reason: Reason::SecretNotFound, message }
}

fn invalid(message: String) -> SecretProblem {
    SecretProblem { reason: Reason::SecretInvalid, message }
}

/// The type of a Secret that is never sent anywhere.
pub(super) fn refused_type(secret: &Secret) -> Option<&str> {
    secret.type_.as_deref().filter(|type_| REFUSED_TYPES.contains(type_))
}

/// A Secret whose values are overwritten when it is dropped.
pub(super) struct Wiped(pub(super) Secret);

impl Drop for Wiped {
    fn drop(&mut self) {
        for value in self.0.data.iter_mut().flat_map(|data| data.values_mut()) {
            value.0.zeroize();
        }
    }
}
