//! Kubeconfig files for the control plane, and clients made from them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::pki::{Identity, write_private};

/// How a kubeconfig's user proves who it is.
pub(crate) enum Credentials<'a> {
    Certificate(&'a Identity),
    Token(&'a str),
}

/// Writes a kubeconfig that only its owner can read.
pub(crate) fn write(path: &Path, server: &str, ca: &Path, user: &str, credentials: &Credentials<'_>) -> Result<()> {
    let credentials = match credentials {
        Credentials::Certificate(identity) => {
            json!({ "client-certificate": identity.certificate, "client-key": identity.key })
        }
        Credentials::Token(token) => json!({ "token": token }),
    };
    let name = "orion-control-plane";
    let config: Value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": { "server": server, "certificate-authority": ca } }],
        "users": [{ "name": user, "user": credentials }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": user } }],
        "current-context": name,
    });
    write_private(path, &serde_yaml::to_string(&config)?)
}

/// Makes a client from a kubeconfig file of this control plane.
pub(crate) async fn client(path: &Path) -> Result<kube::Client> {
    install_crypto_provider();
    let kubeconfig = Kubeconfig::read_from(path)?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("cannot use the kubeconfig {}", path.display()))?;
    // A proxy from the environment has no business between this process and 127.0.0.1.
    config.proxy_url = None;
    config.connect_timeout = Some(Duration::from_secs(5));
    // Longer than the five minutes after which a watch is ended anyway.
    config.read_timeout = Some(Duration::from_secs(330));
    config.reset_reader_on_write = true;
    config.write_timeout = Some(Duration::from_secs(30));
    Ok(kube::Client::try_from(config)?)
}

/// Chooses aws-lc-rs for TLS in this process, which rustls wants decided once. Harmless if done before.
pub fn install_crypto_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
