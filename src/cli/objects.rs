//! Objects of ours in a cluster, as the commands for people read and change them: which cluster and namespace, which
//! objects, and what it means when the apiserver refuses.

mod manager;
mod named;
mod object;

use std::path::PathBuf;

use clap::Args;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::Status;
use kube::{Api, Client};
use serde_json::{Value, json};

pub(super) use self::manager::put_back_by;
pub use self::named::{Kind, Named};
pub(super) use self::object::Object;
use super::cluster::{self, APISERVER_TIMEOUT, ClusterError};
use crate::api::{ClusterOrionConnection, OrionConnection, Webhook};

/// Field manager on what people change by these commands.
const MANAGER: &str = "kubectl-orion";
/// Objects in one answer.
const PAGE: u32 = 500;

/// Which cluster, and where in it.
#[derive(Args, Debug, Clone)]
pub struct WhereArgs {
    /// Namespace [default: the context's]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Kubeconfig file [default: $KUBECONFIG, else ~/.kube/config, else in-cluster]
    #[arg(long, env = "ORION_OPERATOR_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Which objects: by name, or all that there are.
#[derive(Args, Debug, Clone)]
#[group(skip)]
pub struct WhichArgs {
    /// Names, like jobs or webhook/jobs
    #[arg(value_name = "NAME", conflicts_with_all = ["all", "selector", "all_namespaces"])]
    pub names: Vec<Named>,
    /// All Webhooks of the namespace
    #[arg(long)]
    pub all: bool,
    /// All Webhooks with these labels, like team=data
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// With --all or --selector: of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
}

impl WhichArgs {
    fn is_incomplete(&self) -> bool {
        self.names.is_empty() && !self.all && self.selector.is_none()
    }
}

/// Why something cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ObjectError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("say which: names, --all or --selector")]
    Which,
    #[error("{0}: a {kind} cannot be suspended or decided on, only a Webhook can", kind = .0.kind.name())]
    OnlyWebhooks(Named),
    #[error("there is no {}. Which there are: kubectl get {} -A", what(.0, .1.as_deref()), .0.kind.plural())]
    NotFound(Named, Option<String>),
    #[error(
        "this cluster does not know {0}: the operator's definitions are not installed here. Install them (kubectl apply -f crds/, \
         or the Helm chart), or give another --context"
    )]
    NoDefinition(&'static str),
    #[error("you may not {what}: {why}. Ask who runs the cluster for that right, or use another --context")]
    Forbidden { what: String, why: String },
    #[error("the apiserver does not take your credentials (401): log in again, or check the kubeconfig")]
    Unauthorized,
    #[error("it changed meanwhile, so that nothing was done: {0}. Look at it, and try again")]
    Changed(String),
    #[error("the apiserver refused to {what}: {why} ({code})")]
    Refused { what: String, why: String, code: u16 },
    #[error("the apiserver did not answer within {} s: {what}. Try again", APISERVER_TIMEOUT.as_secs())]
    Timeout { what: String },
    #[error("the apiserver cannot be reached: {why}. Check the kubeconfig and the network")]
    Unreachable { why: String },
}

impl ObjectError {
    /// It is of one object, and says nothing of the next.
    fn is_of_one(&self) -> bool {
        match self {
            Self::NotFound(..) | Self::Forbidden { .. } | Self::Changed(_) | Self::Refused { .. } => true,
            Self::Cluster(_)
            | Self::Runtime(_)
            | Self::Which
            | Self::OnlyWebhooks(_)
            | Self::NoDefinition(_)
            | Self::Unauthorized
            | Self::Timeout { .. }
            | Self::Unreachable { .. } => false,
        }
    }

    /// The apiserver may answer when it is asked again.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unreachable { .. } => true,
            Self::Refused { code, .. } => *code == 429 || *code >= 500,
            Self::Cluster(_)
            | Self::Runtime(_)
            | Self::Which
            | Self::OnlyWebhooks(_)
            | Self::NotFound(..)
            | Self::NoDefinition(_)
            | Self::Forbidden { .. }
            | Self::Unauthorized
            | Self::Changed(_) => false,
        }
    }
}

/// What came of one of several. What failed of this one alone is told, so that the next can be tried; else it is over.
pub(super) fn or_told<T>(object: &Object, result: Result<T, ObjectError>) -> Result<Option<T>, ObjectError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_of_one() => {
            eprintln!("{}: {error}", object.full_name());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn what(named: &Named, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("{} {} in the namespace {namespace}", named.kind.name(), named.name),
        None => format!("{} {}", named.kind.name(), named.name),
    }
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    Namespace(String),
}

/// A cluster, and the namespace that is meant where none is named.
pub(super) struct Cluster {
    pub client: Client,
    pub namespace: String,
}

impl Cluster {
    pub(super) async fn connect(args: &WhereArgs) -> Result<Self, ClusterError> {
        let config = cluster::config_of(args.kubeconfig.as_deref(), args.context.as_deref()).await?;
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self { client: Client::try_from(config)?, namespace })
    }

    fn api(&self, kind: Kind, scope: &Scope) -> Api<DynamicObject> {
        let resource = match kind {
            Kind::Webhook => ApiResource::erase::<Webhook>(&()),
            Kind::Connection => ApiResource::erase::<OrionConnection>(&()),
            Kind::ClusterConnection => ApiResource::erase::<ClusterOrionConnection>(&()),
        };
        match scope {
            Scope::Namespace(namespace) if kind.is_namespaced() => {
                Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
            Scope::Namespace(_) | Scope::All => Api::all_with(self.client.clone(), &resource),
        }
    }

    fn here(&self) -> Scope {
        Scope::Namespace(self.namespace.clone())
    }

    /// One object of the namespace, or of the cluster where its kind is.
    pub(super) async fn get(&self, named: &Named) -> Result<Object, ObjectError> {
        let what = format!("read {named}");
        let found = within(&what, self.api(named.kind, &self.here()).get(&named.name)).await;
        found.map(|found| Object::new(named.kind, found)).map_err(|failed| failed.of(named, Some(&self.namespace)))
    }

    /// All of a kind, page by page.
    pub(super) async fn list(
        &self,
        kind: Kind,
        scope: &Scope,
        selector: Option<&str>,
    ) -> Result<Vec<Object>, ObjectError> {
        let what = match scope {
            Scope::Namespace(namespace) if kind.is_namespaced() => format!("list {} of {namespace}", kind.plural()),
            Scope::Namespace(_) | Scope::All => format!("list {} of all namespaces", kind.plural()),
        };
        let api = self.api(kind, scope);
        let mut params =
            ListParams { label_selector: selector.map(str::to_owned), ..ListParams::default() }.limit(PAGE);
        let mut objects = Vec::new();
        loop {
            let page = within(&what, api.list(&params)).await.map_err(|failed| failed.explained(kind))?;
            let next = page.metadata.continue_.filter(|next| !next.is_empty());
            objects.extend(page.items.into_iter().map(|found| Object::new(kind, found)));
            match next {
                Some(next) => params = params.continue_token(&next),
                None => return Ok(objects),
            }
        }
    }

    /// Those that are meant, each as it stands now.
    pub(super) async fn those(&self, which: &WhichArgs) -> Result<Vec<Object>, ObjectError> {
        if which.is_incomplete() {
            return Err(ObjectError::Which);
        }
        if which.names.is_empty() {
            let scope = if which.all_namespaces { Scope::All } else { self.here() };
            return self.list(Kind::Webhook, &scope, which.selector.as_deref()).await;
        }
        let mut objects = Vec::with_capacity(which.names.len());
        for named in &which.names {
            objects.push(self.get(named).await?);
        }
        Ok(objects)
    }

    /// Merges `patch` into the object, if it is still the same one; with `exactly`, if nothing has changed in it.
    pub(super) async fn merge(&self, object: &Object, mut patch: Value, exactly: bool) -> Result<Object, ObjectError> {
        let named = object.named();
        // The apiserver refuses a patch (409, 422) whose uid or resourceVersion is not the object's.
        let test = json!({"uid": object.meta.uid, "resourceVersion": object.meta.resource_version});
        let kept = |field: &str| exactly || field == "uid";
        if let (Some(fields), Value::Object(test)) = (patch.as_object_mut(), test) {
            let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.extend(test.into_iter().filter(|(field, _)| kept(field)));
            }
        }
        let scope = object.meta.namespace.clone().map_or(Scope::All, Scope::Namespace);
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.api(object.kind, &scope);
        let changed = within(&format!("change {named}"), api.patch(&named.name, &params, &Patch::Merge(patch))).await;
        let namespace = object.meta.namespace.as_deref();
        changed.map(|changed| Object::new(object.kind, changed)).map_err(|failed| failed.of(&named, namespace))
    }

    /// The object again; `None` where it is gone, or another one has its name.
    pub(super) async fn again(&self, object: &Object) -> Result<Option<Object>, ObjectError> {
        let named = object.named();
        let scope = object.meta.namespace.clone().map_or(Scope::All, Scope::Namespace);
        match within(&format!("read {named}"), self.api(object.kind, &scope).get(&named.name)).await {
            Ok(found) => Ok(Some(Object::new(object.kind, found)).filter(|found| found.meta.uid == object.meta.uid)),
            Err(failed) if failed.is_not_found() => Ok(None),
            Err(failed) => Err(failed.explained(object.kind)),
        }
    }
}

/// A call that failed, before it is known what a 404 means.
pub(super) struct Failed {
    what: String,
    error: Option<kube::Error>,
}

impl Failed {
    /// The kind is there, and no such object. Where the kind is not, the apiserver's 404 names no object.
    pub(super) fn is_not_found(&self) -> bool {
        match &self.error {
            Some(kube::Error::Api(status)) => {
                status.code == 404 && status.details.as_ref().is_some_and(|details| !details.name.is_empty())
            }
            _ => false,
        }
    }

    /// In words, for a call of this object.
    fn of(self, named: &Named, namespace: Option<&str>) -> ObjectError {
        if self.is_not_found() {
            let namespace = namespace.filter(|_| named.kind.is_namespaced()).map(str::to_owned);
            return ObjectError::NotFound(named.clone(), namespace);
        }
        self.explained(named.kind)
    }

    /// In words, for a call where a 404 means that the kind is not there.
    pub(super) fn explained(self, kind: Kind) -> ObjectError {
        let what = self.what;
        match self.error {
            None => ObjectError::Timeout { what },
            Some(kube::Error::Api(status)) => {
                let why = super::printable(&status.message);
                match status.code {
                    401 => ObjectError::Unauthorized,
                    403 => ObjectError::Forbidden { what, why },
                    404 => ObjectError::NoDefinition(kind.plural()),
                    409 => ObjectError::Changed(why),
                    // A uid that is sent and is not the object's.
                    422 if is_about_the_uid(&status) => ObjectError::Changed(why),
                    code => ObjectError::Refused { what, why, code },
                }
            }
            Some(error) => ObjectError::Unreachable { why: innermost(&error) },
        }
    }
}

fn is_about_the_uid(status: &Status) -> bool {
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    causes.iter().any(|cause| cause.field == "metadata.uid")
}

/// What lies at the bottom of an error: what is around it says little.
fn innermost(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let words: Vec<String> = causes.map(ToString::to_string).collect();
    words.last().map(|word| super::printable(word)).unwrap_or_default()
}

/// Waits for a call, as long as one may take.
pub(super) async fn within<T>(what: &str, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failed> {
    match tokio::time::timeout(APISERVER_TIMEOUT, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failed { what: what.to_owned(), error: Some(error) }),
        Err(_) => Err(Failed { what: what.to_owned(), error: None }),
    }
}

/// Runs one command to its end.
pub(super) fn block_on<T, E: From<ObjectError>>(command: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    super::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(ObjectError::Runtime)?.block_on(command)
}
