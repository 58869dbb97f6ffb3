//! Which cluster, and which installation in it: arguments that several commands share.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use k8s_openapi::api::core::v1::Namespace;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::api::InstanceId;
use crate::controller;
use crate::metrics::Metrics;

/// Longest time for one call to the apiserver.
pub(super) const APISERVER_TIMEOUT: Duration = Duration::from_secs(10);
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Which cluster, and which installation in it.
#[derive(Args, Debug, Clone)]
pub struct ClusterArgs {
    /// Kubeconfig file [default: in-cluster, else $KUBECONFIG, else ~/.kube/config]
    #[arg(long, env = "ORION_OPERATOR_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespaces to watch, separated by commas [default: all]
    #[arg(long, env = "ORION_OPERATOR_WATCH_NAMESPACES", value_name = "A,B", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// The operator's own namespace [default: the ServiceAccount's, else "default"]
    #[arg(long, env = "ORION_OPERATOR_OPERATOR_NAMESPACE", value_name = "NAME")]
    pub operator_namespace: Option<String>,
    /// Identity of this installation: the same for all its shards and when it moves, another one for a clone of the
    /// cluster [default: UID of the operator's namespace]
    #[arg(long, env = "ORION_OPERATOR_INSTANCE_ID", value_name = "ID")]
    pub instance_id: Option<String>,
}

/// Why the cluster cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ClusterError {
    #[error("no cluster: {0}. Give --kubeconfig, or run inside a cluster")]
    NoCluster(String),
    #[error("the kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("the client of the apiserver: {0}")]
    Client(kube::Error),
    #[error(
        "cannot read the namespace {namespace}, whose UID is the instance id: {why}. Allow it, or give --instance-id"
    )]
    InstanceId { namespace: String, why: String },
}

impl ClusterArgs {
    /// A client of the apiserver that repeats nothing by itself.
    ///
    /// # Errors
    /// There is no configuration, or it does not make sense.
    pub(super) async fn client(&self) -> Result<Client, ClusterError> {
        Client::try_from(self.config().await?).map_err(ClusterError::Client)
    }

    /// The same, with its calls counted.
    ///
    /// # Errors
    /// As [`ClusterArgs::client`].
    pub(super) async fn counted_client(&self, metrics: &Metrics) -> Result<Client, ClusterError> {
        let config = self.config().await?;
        let count = metrics.count_requests(config.cluster_url.authority().map_or("", |host| host.as_str()));
        let builder = ClientBuilder::try_from(config).map_err(ClusterError::Client)?;
        Ok(builder.with_layer(&count).build())
    }

    async fn config(&self) -> Result<Config, ClusterError> {
        let mut config = match &self.kubeconfig {
            Some(path) => {
                Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default()).await?
            }
            None => Config::infer().await.map_err(|error| ClusterError::NoCluster(error.to_string()))?,
        };
        // A repeated write could meet its own first try; every write here is decided afresh instead.
        config.default_retry = false;
        config.read_timeout = Some(controller::APISERVER_SILENCE);
        Ok(config)
    }

    /// The identity of the installation.
    ///
    /// # Errors
    /// It is not given, and the operator's namespace cannot be read.
    pub(super) async fn instance(&self, client: &Client) -> Result<InstanceId, ClusterError> {
        if let Some(id) = self.instance_id.as_deref().filter(|id| !id.is_empty()) {
            return Ok(InstanceId::new(id));
        }
        let namespace = self.own_namespace();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let fail = |why: String| ClusterError::InstanceId { namespace: namespace.clone(), why };
        let read = tokio::time::timeout(APISERVER_TIMEOUT, namespaces.get(&namespace)).await;
        let found = read.map_err(|_| fail("no answer in time".into()))?.map_err(|error| fail(error.to_string()))?;
        found.metadata.uid.map(InstanceId::new).ok_or_else(|| fail("it has no UID".into()))
    }

    /// The operator's own namespace.
    pub(super) fn own_namespace(&self) -> String {
        let of_the_account = || std::fs::read_to_string(NAMESPACE_FILE).ok().map(|text| text.trim().to_owned());
        let given = self.operator_namespace.clone().filter(|name| !name.is_empty());
        given.or_else(of_the_account).unwrap_or_else(|| "default".to_owned())
    }

    /// The namespaces to watch; `None` for all.
    pub(super) fn namespaces(&self) -> Option<BTreeSet<String>> {
        named(&self.watch_namespaces)
    }
}

/// The names of a list, or none: an environment variable that is set to nothing is an empty name.
pub(super) fn named(names: &[String]) -> Option<BTreeSet<String>> {
    let names: BTreeSet<String> =
        names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    (!names.is_empty()).then_some(names)
}
