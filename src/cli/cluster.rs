//! Which cluster, and which installation in it: arguments that several commands share.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use k8s_openapi::api::core::v1::Namespace;
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config};
use tracing::{debug, warn};

use crate::api::InstanceId;
use crate::controller;

/// Longest time for one call to the apiserver.
pub(super) const APISERVER_TIMEOUT: Duration = Duration::from_secs(10);
/// The apiserver is asked again so often.
const AGAIN: Duration = Duration::from_secs(2);
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Which cluster, and what is watched there.
#[derive(Args, Debug, Clone)]
pub struct ClusterArgs {
    /// Which installation.
    #[command(flatten)]
    pub installation: InstallationArgs,
    /// Namespaces to watch, separated by commas [default: all]
    #[arg(long, env = "ORION_OPERATOR_WATCH_NAMESPACES", value_name = "A,B", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
}

/// Which cluster, and which installation in it.
#[derive(Args, Debug, Clone)]
pub struct InstallationArgs {
    /// Kubeconfig file [default: $KUBECONFIG, else ~/.kube/config, else in-cluster]
    #[arg(long, env = "ORION_OPERATOR_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
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
    #[error("no cluster: there is no kubeconfig. Give --kubeconfig, or run inside a cluster")]
    NoCluster,
    #[error("no cluster: {0}. Give --kubeconfig, or run inside a cluster")]
    Unusable(String),
    #[error("the kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("the client of the apiserver: {0}")]
    Client(#[from] kube::Error),
    #[error(
        "cannot read the namespace {namespace}, whose UID is the instance id: {why}. Allow it, or give --instance-id"
    )]
    InstanceId { namespace: String, why: String },
    #[error("the apiserver does not give the namespace {namespace}, whose UID is the instance id: {why}. Is it there?")]
    NoAnswer { namespace: String, why: String },
}

impl InstallationArgs {
    /// A client of the apiserver that repeats nothing by itself.
    ///
    /// # Errors
    /// There is no configuration, or it does not make sense.
    pub(super) async fn client(&self) -> Result<Client, ClusterError> {
        Client::try_from(self.config().await?).map_err(ClusterError::Client)
    }

    /// How the apiserver is reached.
    ///
    /// # Errors
    /// There is no configuration.
    pub(super) async fn config(&self) -> Result<Config, ClusterError> {
        config(self.kubeconfig.as_deref()).await
    }

    fn given_instance(&self) -> Option<InstanceId> {
        self.instance_id.as_deref().filter(|id| !id.is_empty()).map(InstanceId::new)
    }

    /// The identity of the installation; the cluster is asked for it only if it is not given.
    ///
    /// # Errors
    /// It is not given, and the cluster does not tell.
    pub(super) async fn instance_or_ask(&self) -> Result<InstanceId, ClusterError> {
        match self.given_instance() {
            Some(instance) => Ok(instance),
            None => self.instance(&self.client().await?).await,
        }
    }

    /// The identity of the installation.
    ///
    /// # Errors
    /// It is not given, and the operator's namespace cannot be read.
    pub(super) async fn instance(&self, client: &Client) -> Result<InstanceId, ClusterError> {
        if let Some(instance) = self.given_instance() {
            return Ok(instance);
        }
        let namespace = self.own_namespace();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let refused = |why: String| ClusterError::InstanceId { namespace: namespace.clone(), why };
        let no_answer = |why: String| ClusterError::NoAnswer { namespace: namespace.clone(), why };
        let read = tokio::time::timeout(APISERVER_TIMEOUT, namespaces.get(&namespace)).await;
        let found = match read {
            Ok(Ok(found)) => found,
            Ok(Err(kube::Error::Api(status))) if status.code < 500 && status.code != 429 => {
                return Err(refused(format!("{} ({})", status.reason, status.code)));
            }
            Ok(Err(error)) => return Err(no_answer(error.to_string())),
            Err(_) => return Err(no_answer("no answer in time".into())),
        };
        found.metadata.uid.map(InstanceId::new).ok_or_else(|| refused("it has no UID".into()))
    }

    /// The same, for as long as the apiserver does not answer: a process that ended then would be started ever more rarely.
    ///
    /// # Errors
    /// The apiserver answers, and does not give it.
    pub(super) async fn instance_patiently(&self, client: &Client) -> Result<InstanceId, ClusterError> {
        let mut is_told = false;
        loop {
            match self.instance(client).await {
                Err(ClusterError::NoAnswer { namespace, why }) => {
                    if !std::mem::replace(&mut is_told, true) {
                        warn!("the apiserver does not answer, and is asked again until it does: {why}");
                    }
                    debug!(namespace, "asking again");
                    tokio::time::sleep(AGAIN).await;
                }
                result => return result,
            }
        }
    }

    /// The operator's own namespace.
    pub(super) fn own_namespace(&self) -> String {
        let of_the_account = || std::fs::read_to_string(NAMESPACE_FILE).ok().map(|text| text.trim().to_owned());
        let given = self.operator_namespace.clone().filter(|name| !name.is_empty());
        given.or_else(of_the_account).unwrap_or_else(|| "default".to_owned())
    }
}

impl ClusterArgs {
    /// The namespaces to watch; `None` for all.
    pub(super) fn namespaces(&self) -> Option<BTreeSet<String>> {
        named(&self.watch_namespaces)
    }
}

/// How the apiserver is reached, by this kubeconfig or the usual rules.
///
/// # Errors
/// There is no configuration.
pub(super) async fn config(kubeconfig: Option<&Path>) -> Result<Config, ClusterError> {
    config_of(kubeconfig, None).await
}

/// The same, by a context of the kubeconfig that is not its current one.
///
/// # Errors
/// There is no configuration, or no such context.
pub(super) async fn config_of(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, ClusterError> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let mut config = match (kubeconfig, context) {
        (Some(path), _) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
        (None, Some(_)) => Config::from_kubeconfig(&options).await?,
        (None, None) => Config::infer().await.map_err(none)?,
    };
    // A repeated write could meet its own first try; every write here is decided afresh instead.
    config.default_retry = false;
    config.read_timeout = Some(controller::APISERVER_SILENCE);
    Ok(config)
}

/// Why neither a kubeconfig nor the pod's own files lead to a cluster.
fn none(error: InferConfigError) -> ClusterError {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    // In a pod both are told.
    if is_set("KUBERNETES_SERVICE_HOST") {
        return ClusterError::Unusable(error.to_string());
    }
    match error.source().and_then(<dyn Error>::downcast_ref) {
        Some(KubeconfigError::FindPath) => ClusterError::NoCluster,
        Some(KubeconfigError::ReadConfig(why, _)) if why.kind() == ErrorKind::NotFound && !is_set("KUBECONFIG") => {
            ClusterError::NoCluster
        }
        Some(why) => ClusterError::Unusable(format!("the kubeconfig: {why}")),
        None => ClusterError::Unusable(error.to_string()),
    }
}

/// The names of a list, or none: an environment variable that is set to nothing is an empty name.
pub(super) fn named(names: &[String]) -> Option<BTreeSet<String>> {
    let names: BTreeSet<String> =
        names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    (!names.is_empty()).then_some(names)
}
