//! The apiserver: definitions, rights, a connection.

use futures::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use super::super::cluster::{self, Answer, Found, Question};
use super::super::connection::{self, ConnectionPath, Seen};
use super::super::line::{Check, Line};
use crate::api::rbac::RIGHTS;
use crate::api::{ClusterOrionConnection, OrionConnection, crds};
use crate::cli::cluster::{APISERVER_TIMEOUT, ClusterArgs, ClusterError, InstallationArgs};
use crate::cli::objects::{self, Failed, Kind, ObjectError};
use crate::cli::test_delivery::ObjectName;
use crate::controller::{ApiError, ConnectionKey, connection_config, within};
use crate::orion::{ConnectionConfig, Reach};

/// What the definitions serve.
const OURS: &str = "orion-operator.dev/v1alpha1";
/// Questions at once.
const AT_ONCE: usize = 8;

/// A client of the apiserver, if there is one that answers. `is_wanted`: somebody has asked for it.
pub(in super::super) async fn reach(args: &InstallationArgs, is_wanted: bool) -> (Option<Client>, Line) {
    let check = Check::Cluster;
    let client = match args.client().await {
        Ok(client) => client,
        Err(ClusterError::NoCluster) if !is_wanted => {
            return (None, Line::skipped(check, "there is no kubeconfig, so nothing is said of a cluster"));
        }
        Err(error) => {
            let line = if is_wanted { Line::fail } else { Line::warn };
            let todo = "Give one that can be used: --kubeconfig FILE, or $KUBECONFIG";
            return (None, line(check, error.to_string(), todo.to_owned()));
        }
    };
    match within(APISERVER_TIMEOUT, "tell its version", client.apiserver_version()).await {
        Ok(version) => {
            let line = Line::ok(check, format!("the apiserver answers, {}", version.git_version));
            (Some(client), line)
        }
        // It answers.
        Err(ApiError::Refused { code: 403, .. }) => (Some(client), Line::ok(check, "the apiserver answers")),
        Err(error) => {
            let todo = "Correct the kubeconfig: --kubeconfig, or $KUBECONFIG; and see that kubectl version answers";
            let line = if is_wanted { Line::fail } else { Line::warn };
            (None, line(check, error.to_string(), todo.to_owned()))
        }
    }
}

/// Whether the definitions are those of this build.
pub(in super::super) async fn definitions(client: &Client) -> Line {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut all = Vec::new();
    for ours in crds() {
        let found = match within(APISERVER_TIMEOUT, "get a definition", api.get_opt(&ours.name_any())).await {
            Ok(Some(theirs)) => Found::There(theirs),
            Ok(None) => Found::Missing,
            Err(ApiError::Refused { code: 403, .. }) => Found::Forbidden,
            Err(error) => Found::Failed(error.to_string()),
        };
        all.push((ours, found));
    }
    if all.iter().any(|(_, found)| matches!(found, Found::Forbidden)) {
        discover(client, &mut all).await;
    }
    cluster::crds(&all)
}

/// Everybody may ask what is served: also the operator's own ServiceAccount, which may not read definitions.
async fn discover(client: &Client, all: &mut [(CustomResourceDefinition, Found<CustomResourceDefinition>)]) {
    let call = client.list_api_group_resources(OURS);
    let served: Vec<String> = match within(APISERVER_TIMEOUT, "tell what it serves", call).await {
        Ok(list) => list.resources.into_iter().map(|resource| resource.name).collect(),
        // Of a 404: nothing of ours is there.
        Err(ApiError::Changed) => Vec::new(),
        Err(ApiError::Refused { .. } | ApiError::Timeout { .. } | ApiError::Unreachable { .. }) => return,
    };
    for (ours, found) in all.iter_mut().filter(|(_, found)| matches!(found, Found::Forbidden)) {
        *found = if served.contains(&ours.spec.names.plural) { Found::Served } else { Found::Missing };
    }
}

/// Which installation this is.
pub(in super::super) async fn instance(client: &Client, args: &InstallationArgs) -> Line {
    let found = args.instance(client).await.map_err(|error| error.to_string());
    cluster::instance(&args.own_namespace(), &found)
}

/// The rights of who runs this, or of a ServiceAccount.
pub(in super::super) async fn rbac(client: &Client, args: &ClusterArgs, account: Option<&ObjectName>) -> Vec<Line> {
    let watched: Option<Vec<String>> = args.namespaces().map(|names| names.into_iter().collect());
    let asked = cluster::questions(RIGHTS, watched.as_deref(), &args.installation.own_namespace());
    let answers = stream::iter(asked).map(async |question| {
        let answer = match may(client, attributes(&question), account).await {
            Ok(status) if status.allowed => Answer::May,
            Ok(_) => Answer::MayNot,
            Err(error) => Answer::Unknown(error.to_string()),
        };
        (question, answer)
    });
    let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
    let who = account.map_or_else(
        || "who runs this".to_owned(),
        |account| format!("the ServiceAccount {}/{}", account.namespace, account.name),
    );
    cluster::rbac(&who, account.is_some(), &answers)
}

fn attributes(question: &Question) -> ResourceAttributes {
    ResourceAttributes {
        group: Some(question.group.to_owned()),
        resource: Some(question.resource.to_owned()),
        subresource: question.subresource.map(str::to_owned),
        verb: Some(question.verb.to_owned()),
        namespace: question.namespace.clone(),
        name: question.name.clone(),
        ..ResourceAttributes::default()
    }
}

async fn may(
    client: &Client,
    attributes: ResourceAttributes,
    account: Option<&ObjectName>,
) -> Result<SubjectAccessReviewStatus, ApiError> {
    let (resource_attributes, what) = (Some(attributes), "review a right");
    let status = match account {
        None => {
            let spec = SelfSubjectAccessReviewSpec { resource_attributes, ..SelfSubjectAccessReviewSpec::default() };
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
            within(APISERVER_TIMEOUT, what, api.create(&PostParams::default(), &review)).await?.status
        }
        Some(ObjectName { namespace, name }) => {
            let groups =
                ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), "system:authenticated"];
            let spec = SubjectAccessReviewSpec {
                resource_attributes,
                user: Some(format!("system:serviceaccount:{namespace}:{name}")),
                groups: Some(groups.map(str::to_owned).to_vec()),
                ..SubjectAccessReviewSpec::default()
            };
            let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
            let api: Api<SubjectAccessReview> = Api::all(client.clone());
            within(APISERVER_TIMEOUT, what, api.create(&PostParams::default(), &review)).await?.status
        }
    };
    Ok(status.unwrap_or_default())
}

/// A connection as the operator would use it, and whether its webhooks are marked; and what is told of its object.
pub(in super::super) async fn connection(
    client: &Client,
    path: &ConnectionPath,
    own: &str,
    allow_insecure: bool,
) -> (Option<(ConnectionConfig, bool)>, Vec<Line>) {
    let (found, key, namespace, reach) = match &path.namespace {
        Some(namespace) => {
            let api: Api<OrionConnection> = Api::namespaced(client.clone(), namespace);
            let found = objects::within("get the OrionConnection", api.get(&path.name)).await;
            let found = found.map(|it| (it.spec, it.status)).map_err(|failed| unread(failed, Kind::Connection));
            let key = ConnectionKey::Namespaced { namespace: namespace.clone(), name: path.name.clone() };
            let reach = if allow_insecure { Reach::Anywhere } else { Reach::PublicOnly };
            (found, key, namespace.as_str(), reach)
        }
        None => {
            let api: Api<ClusterOrionConnection> = Api::all(client.clone());
            let found = objects::within("get the ClusterOrionConnection", api.get(&path.name)).await;
            let found = found.map(|it| (it.spec.connection, it.status));
            let found = found.map_err(|failed| unread(failed, Kind::ClusterConnection));
            (found, ConnectionKey::Cluster { name: path.name.clone() }, own, Reach::Anywhere)
        }
    };
    let (spec, status) = match found {
        Ok(found) => found,
        Err(seen) => return (None, vec![connection::told(path, &seen)]),
    };
    let mut lines = vec![connection::told(path, &Seen::There { url: spec.url.clone(), status })];
    match connection_config(client, APISERVER_TIMEOUT, &spec, &key, namespace, reach).await {
        Ok(config) => (Some((config, spec.is_marking())), lines),
        Err(why) => {
            lines.push(connection::unusable(&why));
            (None, lines)
        }
    }
}

/// Why a connection was not read.
fn unread(failed: Failed, kind: Kind) -> Seen {
    if failed.is_not_found() {
        return Seen::Missing;
    }
    let error = failed.explained(kind);
    if matches!(error, ObjectError::NoDefinition(_)) {
        Seen::NoDefinition
    } else if matches!(error, ObjectError::Forbidden { .. }) {
        Seen::Forbidden
    } else {
        Seen::Failed(error.to_string())
    }
}
