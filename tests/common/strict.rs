//! A real kube-apiserver with the definitions, asked as kubectl asks it: with strict field validation.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use devkit::control_plane::ControlPlane;
use kube::Client;
use serde_json::Value;

pub(crate) const WEBHOOKS: &str = "/apis/orion-operator.dev/v1alpha1/namespaces/default/webhooks";
pub(crate) const CONNECTIONS: &str = "/apis/orion-operator.dev/v1alpha1/namespaces/default/orionconnections";
pub(crate) const CLUSTER_CONNECTIONS: &str = "/apis/orion-operator.dev/v1alpha1/clusterorionconnections";

/// Where objects of a kind are created.
pub(crate) fn path(kind: &str) -> &'static str {
    match kind {
        "Webhook" => WEBHOOKS,
        "OrionConnection" => CONNECTIONS,
        _ => CLUSTER_CONNECTIONS,
    }
}

/// Installs the definitions, and waits until they are served.
pub(crate) async fn install(plane: &ControlPlane) -> Result<()> {
    plane.kubectl_ok(&["apply", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/crds")]).await?;
    plane.kubectl_ok(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]).await?;
    // Established comes a moment before the first request is served.
    let deadline = Instant::now() + Duration::from_secs(30);
    for plural in ["webhooks", "orionconnections", "clusterorionconnections"] {
        while let Err(error) = plane.kubectl_ok(&["get", plural]).await {
            ensure!(Instant::now() < deadline, "{plural} are not served: {error:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// What a refusal names: the fields of its causes, or the whole message where it has none.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The fields of its causes.
    pub(crate) fields: Vec<String>,
    /// Its message.
    pub(crate) message: String,
}

impl Refusal {
    /// Unknown fields are found while decoding, and then the message names them instead of a cause.
    pub(crate) fn names(&self, field: &str) -> bool {
        self.fields.iter().any(|found| found == field) || self.message.contains(&format!("unknown field \"{field}\""))
    }
}

/// Sends an object with strict field validation, as kubectl does.
pub(crate) async fn send(client: &Client, method: &str, path: &str, object: &Value) -> Result<Result<Value, Refusal>> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{path}{separator}fieldValidation=Strict"))
        .header("content-type", if method == "PATCH" { "application/apply-patch+yaml" } else { "application/json" })
        .body(serde_json::to_vec(object)?)?;
    match client.request::<Value>(request).await {
        Ok(answer) => Ok(Ok(answer)),
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => {
            let causes = status.details.map(|details| details.causes).unwrap_or_default();
            let fields = causes.into_iter().map(|cause| cause.field).collect();
            Ok(Err(Refusal { fields, message: status.message }))
        }
        Err(error) => Err(error.into()),
    }
}
