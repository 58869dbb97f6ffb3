//! `orion-operator test-delivery`: one sample event to a Webhook's receiver, with the right secret and with wrong ones.

mod trial;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use kube::{Api, Client};
use rand::distr::{Alphanumeric, SampleString};
use secrecy::ExposeSecret;

use self::trial::{Answer, Outcome, PATIENCE, Shown, Trial, sample, shown, trials};
use super::Error;
use super::cluster::{self, APISERVER_TIMEOUT, ClusterError};
use crate::api::Webhook;
use crate::controller::{ApiError, header_values, within};
use crate::plan::{SecretProblem, url_host};

/// Arguments of `test-delivery`.
#[derive(Args, Debug)]
pub struct TestDeliveryArgs {
    /// The Webhook
    #[arg(value_name = "NAMESPACE/NAME")]
    pub webhook: ObjectName,
    /// Kubeconfig file; who it is for must be able to read the Webhook and its Secrets [default: $KUBECONFIG,
    /// else ~/.kube/config, else in-cluster]
    #[arg(long, env = "ORION_OPERATOR_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub output: Form,
}

/// The name of an object in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: String,
    /// The name within it.
    pub name: String,
}

impl FromStr for ObjectName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            Some(_) | None => Err("it must be NAMESPACE/NAME, like team-a/job-notifications"),
        }
    }
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    Text,
    /// One object.
    Json,
}

/// Why the test could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TestDeliveryError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the runtime: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("there is no Webhook {name} in the namespace {namespace}")]
    NoWebhook { namespace: String, name: String },
    #[error("{}", .0.message)]
    Secret(SecretProblem),
    #[error("the header {0} cannot be sent: its name or its value is not one of HTTP")]
    Header(String),
    #[error("no HTTP client can be made: {0}")]
    Client(String),
}

/// Sends the sample, writes to `out` what came back, and fails if that is not as it should be.
pub(super) fn run(args: &TestDeliveryArgs, out: &mut impl Write) -> Result<ExitCode, Error> {
    super::install_tls_provider();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(TestDeliveryError::Runtime)?;
    let outcome = runtime.block_on(test(args))?;
    let text = match args.output {
        Form::Text => outcome.text(),
        Form::Json => serde_json::to_string_pretty(&outcome).unwrap_or_default() + "\n",
    };
    out.write_all(text.as_bytes())?;
    Ok(if outcome.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn test(args: &TestDeliveryArgs) -> Result<Outcome, TestDeliveryError> {
    let config = cluster::config(args.kubeconfig.as_deref()).await?;
    let client = Client::try_from(config).map_err(ClusterError::Client)?;
    let ObjectName { namespace, name } = &args.webhook;
    let webhooks: Api<Webhook> = Api::namespaced(client.clone(), namespace);
    let found = within(APISERVER_TIMEOUT, "get the Webhook", webhooks.get_opt(name)).await?;
    let missing = || TestDeliveryError::NoWebhook { namespace: namespace.clone(), name: name.clone() };
    let webhook = found.ok_or_else(missing)?;
    let values = header_values(&client, APISERVER_TIMEOUT, &webhook).await?.map_err(TestDeliveryError::Secret)?;
    let wrong = format!("wrong-{}", Alphanumeric.sample_string(&mut rand::rng(), 16));
    let http = receiver_client()?;
    let mut deliveries: Vec<Shown> = Vec::new();
    for trial in trials(&webhook.spec, &values.headers, &wrong) {
        eprintln!("sending a sample event to {}", url_host(&webhook.spec.url));
        let answer = deliver(&http, &webhook, &trial).await?;
        deliveries.push(shown(trial.wrong, &answer));
        // A receiver that takes nothing refuses a wrong secret for no good reason.
        if deliveries.iter().any(|delivery| delivery.wrong_header.is_none() && !delivery.ok) {
            break;
        }
    }
    Ok(Outcome::new(format!("{namespace}/{name}"), &webhook.spec, deliveries))
}

fn receiver_client() -> Result<reqwest::Client, TestDeliveryError> {
    let builder = reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(crate::api::FIELD_MANAGER);
    builder.build().map_err(|error| TestDeliveryError::Client(error.to_string()))
}

async fn deliver(http: &reqwest::Client, webhook: &Webhook, trial: &Trial) -> Result<Answer, TestDeliveryError> {
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    for (name, value) in &trial.headers {
        let unsendable = || TestDeliveryError::Header(name.clone());
        let mut sent = HeaderValue::from_str(value.expose_secret()).map_err(|_| unsendable())?;
        sent.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable())?, sent);
    }
    let body = Bytes::from(sample(&webhook.spec).to_string());
    let begun = Instant::now();
    let answer = http.post(&webhook.spec.url).headers(headers).body(body).send().await;
    Ok(match answer {
        Ok(answer) => Answer::Status(answer.status().as_u16(), begun.elapsed()),
        Err(error) => Answer::None(why(&error)),
    })
}

/// In a few words, and without the url: it may hold a secret.
fn why(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "not within 5 s"
    } else if error.is_dns() {
        "the host name did not resolve"
    } else if error.is_connect() && is_tls(error) {
        "the certificate is not trusted, or the host does not speak TLS"
    } else if error.is_connect() {
        "the host cannot be connected to"
    } else if error.is_builder() {
        "the url or a header cannot be sent"
    } else {
        "the connection broke"
    }
}

fn is_tls(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_namespace() {
        let name = ObjectName { namespace: "team-a".into(), name: "jobs".into() };
        assert_eq!("team-a/jobs".parse(), Ok(name));
        for text in ["jobs", "/jobs", "team-a/", "a/b/c", ""] {
            assert!(text.parse::<ObjectName>().is_err(), "{text}");
        }
    }
}
