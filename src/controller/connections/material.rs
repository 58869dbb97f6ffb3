//! What a connection is made of: its spec with its Secrets read, and the client of Orion that comes of it.
//!
//! Secrets are read by `get`, in the one namespace that is the connection's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use secrecy::SecretString;

use super::key::ConnectionKey;
use super::registry::Problem;
use crate::api::{Endpoint, OrionConnectionSpec, Reason, SecretKeyRef};
use crate::controller::context::Context;
use crate::controller::gather::{Wiped, refused_type};
use crate::controller::patch::{ApiError, within};
use crate::orion::{
    ConfigError, ConnectionConfig, Given, GivenCell, HttpOrion, Oversight, Password, RateLimit, Reach, Source,
    login_text, token_text,
};

/// The largest list of a tenant's Orion, in bytes: many of them must fit into memory.
const TENANTS_LIST: usize = 16 * 1024 * 1024;

/// What a client of Orion is made of, apart from the credentials: where it changes there must be another client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub endpoint: Endpoint,
    pub timeout: Duration,
    pub marking: bool,
    rate_limit: Option<(u32, u32)>,
    ca: Option<Vec<u8>>,
    place: String,
    login_path: Option<String>,
    scopes: Vec<String>,
    reach: Reach,
    of_a_tenant: bool,
}

/// What was read for a connection.
pub(super) struct Material {
    pub shape: Shape,
    pub given: Given,
}

/// resourceVersions of the Secrets that a connection refers to, as the cache has them.
pub(super) type Versions = BTreeMap<String, Option<String>>;

/// Those of `spec`.
pub(super) fn versions(
    stores: &[Store<PartialObjectMeta<Secret>>],
    namespace: &str,
    spec: &OrionConnectionSpec,
) -> Versions {
    let version = |name: &str| {
        let key = ObjectRef::new(name).within(namespace);
        stores.iter().find_map(|store| store.get(&key)).and_then(|secret| secret.resource_version())
    };
    spec.secret_names().into_iter().map(|name| (name.to_owned(), version(name))).collect()
}

/// Reads what `spec` refers to.
///
/// # Errors
/// The outer error is the apiserver's; the inner one is for the connection's status.
pub(super) async fn read(
    context: &Context,
    spec: &OrionConnectionSpec,
    namespace: &str,
    key: &ConnectionKey,
    reach: Reach,
) -> Result<Result<Material, Problem>, ApiError> {
    let (endpoint, timeout) = match (spec.endpoint(), spec.timeout()) {
        (Ok(endpoint), Ok(timeout)) => (endpoint, timeout),
        (Err(why), _) | (_, Err(why)) => {
            return Ok(Err(Problem::new(Reason::InvalidSpec, format!("{why}. Correct it"))));
        }
    };
    if reach == Reach::PublicOnly && !endpoint.as_str().starts_with("https://") {
        return Ok(Err(insecure(&ConfigError::NotHttps)));
    }
    match secrets(&context.client, context.apiserver_timeout, spec, namespace).await {
        Ok(secrets) => Ok(collect(spec, endpoint, timeout, key, reach, &secrets)),
        Err(Unread::Missing(name)) => Ok(Err(missing(name, namespace))),
        Err(Unread::Forbidden(name)) => Ok(Err(Problem::passing(
            Reason::SecretNotFound,
            format!(
                "The operator may not read the Secret {name} in the namespace {namespace}. Check its ClusterRole or Roles; trying again by itself"
            ),
        ))),
        Err(Unread::Failed(error)) => Err(error),
    }
}

/// What the operator would call Orion with for a connection, for a command that reads it as somebody else. It is not
/// kept up to date.
///
/// # Errors
/// What is wrong, and what to do.
pub(crate) async fn connection_config(
    client: &Client,
    timeout: Duration,
    spec: &OrionConnectionSpec,
    key: &ConnectionKey,
    secrets_namespace: &str,
    reach: Reach,
) -> Result<ConnectionConfig, String> {
    let endpoint = spec.endpoint().map_err(|why| format!("{why}. Correct it"))?;
    let longest_call = spec.timeout().map_err(|why| format!("{why}. Correct it"))?;
    let secrets = secrets(client, timeout, spec, secrets_namespace).await.map_err(|unread| match unread {
        Unread::Missing(name) => missing(name, secrets_namespace).message,
        Unread::Forbidden(name) => format!(
            "You may not read the Secret {name} in the namespace {secrets_namespace}, without which nothing more can be asked. Use a kubeconfig of somebody who may, or run this as the operator"
        ),
        Unread::Failed(error) => format!("{error}. Try again"),
    })?;
    let Material { shape, given } =
        collect(spec, endpoint, longest_call, key, reach, &secrets).map_err(|problem| problem.message)?;
    Ok(config(&shape, given, Oversight::default()).0)
}

/// Why a Secret was not read.
enum Unread<'a> {
    Missing(&'a str),
    Forbidden(&'a str),
    Failed(ApiError),
}

async fn secrets<'a>(
    client: &Client,
    timeout: Duration,
    spec: &'a OrionConnectionSpec,
    namespace: &str,
) -> Result<BTreeMap<&'a str, Wiped>, Unread<'a>> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut secrets = BTreeMap::new();
    for name in spec.secret_names() {
        match within(timeout, "get a Secret", api.get_opt(name)).await {
            Ok(Some(secret)) => secrets.insert(name, Wiped(secret)),
            Ok(None) => return Err(Unread::Missing(name)),
            Err(ApiError::Refused { code: 403, .. }) => return Err(Unread::Forbidden(name)),
            Err(error) => return Err(Unread::Failed(error)),
        };
    }
    Ok(secrets)
}

fn collect(
    spec: &OrionConnectionSpec,
    endpoint: Endpoint,
    timeout: Duration,
    key: &ConnectionKey,
    reach: Reach,
    secrets: &BTreeMap<&str, Wiped>,
) -> Result<Material, Problem> {
    let ca =
        spec.ca_secret_ref.as_ref().map(|reference| bytes(secrets, &reference.name, &reference.key)).transpose()?;
    let (given, place, login_path, scopes) = match (&spec.auth.token_secret_ref, &spec.auth.password_secret_ref) {
        (Some(SecretKeyRef { name, key }), None) => {
            let token = text(secrets, name, key, token_text, "a token for the Orion API")?;
            (Given::Token(token), format!("the key {key} of the Secret {name}"), None, Vec::new())
        }
        (None, Some(reference)) => {
            let (name, user, pass) = (&reference.name, reference.username_key(), reference.password_key());
            let username = text(secrets, name, user, login_text, "the username for Orion")?;
            let password = text(secrets, name, pass, login_text, "the password for Orion")?;
            let place = format!("the keys {user} and {pass} of the Secret {name}");
            (
                Given::Password(Password { username, password }),
                place,
                reference.login_path.clone(),
                reference.scopes.clone(),
            )
        }
        (Some(_), Some(_)) | (None, None) => {
            let message = "spec.auth: it must have exactly one of tokenSecretRef and passwordSecretRef. Correct it";
            return Err(Problem::new(Reason::InvalidSpec, message));
        }
    };
    let shape = Shape {
        endpoint,
        timeout,
        marking: spec.is_marking(),
        rate_limit: spec.rate_limit.map(|limit| (limit.requests_per_second, limit.burst)),
        ca: ca.map(<[u8]>::to_vec),
        place,
        login_path,
        scopes,
        reach,
        of_a_tenant: key.is_of_a_tenant(),
    };
    Ok(Material { shape, given })
}

/// A client of Orion, with the cell that its credentials are put into when they change.
pub(super) fn client(
    shape: &Shape,
    given: Given,
    oversight: Oversight,
) -> Result<(HttpOrion, Arc<GivenCell>), Problem> {
    let (config, cell) = config(shape, given, oversight);
    HttpOrion::new(config).map(|orion| (orion, cell)).map_err(|error| problem_of(&error))
}

fn config(shape: &Shape, given: Given, oversight: Oversight) -> (ConnectionConfig, Arc<GivenCell>) {
    let cell = Arc::new(GivenCell::new(shape.place.clone(), Ok(given)));
    let number = |number: u32| number.try_into().unwrap_or(std::num::NonZeroU32::MIN);
    let limit = |(requests_per_second, burst)| RateLimit {
        requests_per_second: number(requests_per_second),
        burst: number(burst),
    };
    let mut config = ConnectionConfig::new(shape.endpoint.clone(), Arc::clone(&cell) as Arc<dyn Source>);
    config.oversight = oversight;
    config.timeout = shape.timeout;
    config.ca_pem.clone_from(&shape.ca);
    config.rate_limit = Some(shape.rate_limit.map_or_else(RateLimit::default, limit));
    config.login_path.clone_from(&shape.login_path);
    config.scopes.clone_from(&shape.scopes);
    config.reach = shape.reach;
    // The environment is the administrators', and so are its proxies, which connect to what they like.
    config.system_proxy = !shape.of_a_tenant;
    if shape.of_a_tenant {
        config.list_at_most = TENANTS_LIST;
    }
    (config, cell)
}

fn problem_of(error: &ConfigError) -> Problem {
    match error {
        ConfigError::NotHttps | ConfigError::NotPublic => insecure(error),
        ConfigError::Ca => Problem::new(
            Reason::SecretInvalid,
            "spec.caSecretRef: the value holds no certificate in PEM that can be used. Put the CA's certificate in; it is seen at once",
        ),
        ConfigError::LoginPath | ConfigError::Endpoint => {
            Problem::new(Reason::InvalidSpec, format!("spec: {error}. Correct it"))
        }
        ConfigError::Client => Problem::new(Reason::TLSFailed, format!("{error}. Give the connection a caSecretRef")),
    }
}

fn insecure(error: &ConfigError) -> Problem {
    Problem::new(Reason::InsecureConnection, format!("{error}. Give it an https URL with a public address"))
}

fn missing(name: &str, namespace: &str) -> Problem {
    let message = format!("There is no Secret {name} in the namespace {namespace}. Create it; it is seen at once");
    Problem::new(Reason::SecretNotFound, message)
}

fn bytes<'a>(secrets: &'a BTreeMap<&str, Wiped>, name: &str, key: &str) -> Result<&'a [u8], Problem> {
    let secret = secrets.get(name).map(|secret| &secret.0);
    if let Some(type_) = secret.and_then(refused_type) {
        let message = format!("The Secret {name} is of type {type_}, which is never sent out. Name another Secret");
        return Err(Problem::new(Reason::SecretInvalid, message));
    }
    let value = secret.and_then(|secret| secret.data.as_ref()).and_then(|data| data.get(key));
    value.map(|value| value.0.as_slice()).ok_or_else(|| {
        let message = format!("The Secret {name} has no key {key}. Put it in; it is seen at once");
        Problem::new(Reason::SecretNotFound, message)
    })
}

fn text(
    secrets: &BTreeMap<&str, Wiped>,
    name: &str,
    key: &str,
    read: fn(&[u8]) -> Result<SecretString, &'static str>,
    what: &str,
) -> Result<SecretString, Problem> {
    read(bytes(secrets, name, key)?).map_err(|why| {
        let message =
            format!("The value of key {key} in the Secret {name} {why}: put {what} into it; it is seen at once");
        Problem::new(Reason::SecretInvalid, message)
    })
}
