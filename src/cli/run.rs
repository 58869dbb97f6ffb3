//! `orion-operator run`: the operator itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::api::{Endpoint, InstanceId, parse_duration};
use crate::controller::{self, ConnectionHandle, ConnectionSettings, ContextConfig, SystemClock, Watching};
use crate::metrics::Metrics;
use crate::orion::{ConnectionConfig, Credentials, HttpOrion, NoCredentials, RateLimit, TokenFile};
use crate::plan::Settings;
use crate::server;
use crate::telemetry::{self, LogFormat};

/// In flight work has this long to end after the first signal.
const DRAIN: Duration = Duration::from_secs(25);
/// Longest time for one call to the apiserver.
const APISERVER_TIMEOUT: Duration = Duration::from_secs(10);
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Whether webhooks carry the owner marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ownership {
    /// As one more header, `X-Orion-Operator-Owner`.
    Header,
    /// Not at all: then a create of unknown result may need a person.
    None,
}

/// Arguments of `run`. Each is also an environment variable, `ORION_OPERATOR_<FLAG>`.
#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    /// Kubeconfig file [default: in-cluster, else $KUBECONFIG, else ~/.kube/config]
    #[arg(long, env = "ORION_OPERATOR_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespaces to watch, separated by commas [default: all]
    #[arg(long, env = "ORION_OPERATOR_WATCH_NAMESPACES", value_name = "A,B", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Watch only Webhooks with these labels, for sharding
    #[arg(long, env = "ORION_OPERATOR_WATCH_LABEL_SELECTOR", value_name = "SELECTOR")]
    pub watch_label_selector: Option<String>,
    /// The operator's own namespace [default: the ServiceAccount's, else "default"]
    #[arg(long, env = "ORION_OPERATOR_OPERATOR_NAMESPACE", value_name = "NAME")]
    pub operator_namespace: Option<String>,
    /// Identity of this installation: the same for all its shards and when it moves, another one for a clone of the
    /// cluster [default: UID of the operator's namespace]
    #[arg(long, env = "ORION_OPERATOR_INSTANCE_ID", value_name = "ID")]
    pub instance_id: Option<String>,
    /// URL of Orion for the default connection: scheme, host and port
    #[arg(long, env = "ORION_OPERATOR_ORION_URL", value_name = "URL")]
    pub orion_url: Option<String>,
    /// Path prefix of Orion's API
    #[arg(long, env = "ORION_OPERATOR_ORION_PATH_PREFIX", value_name = "PATH", default_value = "/v1alpha")]
    pub orion_path_prefix: String,
    /// File with the bearer token; read again when it changes and when Orion answers 401
    #[arg(long, env = "ORION_OPERATOR_ORION_TOKEN_FILE", value_name = "FILE")]
    pub orion_token_file: Option<PathBuf>,
    /// File with a CA certificate (PEM) to trust besides the system's
    #[arg(long, env = "ORION_OPERATOR_ORION_CA_FILE", value_name = "FILE")]
    pub orion_ca_file: Option<PathBuf>,
    /// Longest time for one call to Orion, 1s to 30s
    #[arg(long, env = "ORION_OPERATOR_ORION_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = parse_timeout)]
    pub orion_timeout: Duration,
    /// Calls to Orion: requests per second / burst, or 0 for no limit
    #[arg(long, env = "ORION_OPERATOR_ORION_RATE_LIMIT", value_name = "N/BURST", default_value = "20/40", value_parser = parse_rate_limit)]
    pub orion_rate_limit: RateLimitFlag,
    /// How the default connection's webhooks are marked as ours
    #[arg(long, env = "ORION_OPERATOR_OWNERSHIP", value_enum, default_value = "header")]
    pub ownership: Ownership,
    /// Namespaces that may use the default connection, separated by commas [default: all watched]
    #[arg(long, env = "ORION_OPERATOR_DEFAULT_CONNECTION_NAMESPACES", value_name = "A,B", value_delimiter = ',')]
    pub default_connection_namespaces: Vec<String>,
    /// Webhooks may adopt by id on the default connection
    #[arg(long, env = "ORION_OPERATOR_ALLOW_ADOPTION", value_parser = FalseyValueParser::new())]
    pub allow_adoption: bool,
    /// Time between drift checks where a Webhook names none
    #[arg(long, env = "ORION_OPERATOR_INTERVAL", value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    pub interval: Duration,
    /// Least time between drift checks, whatever a Webhook names
    #[arg(long, env = "ORION_OPERATOR_MIN_INTERVAL", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub min_interval: Duration,
    /// How long a create of unknown result may take to show in Orion's list
    #[arg(long, env = "ORION_OPERATOR_CREATE_SETTLE", value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub create_settle: Duration,
    /// Reconciles at once
    #[arg(long, env = "ORION_OPERATOR_MAX_CONCURRENT_RECONCILES", value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_concurrent_reconciles: u16,
    /// Change nothing at Orion; say in the status what would be done
    #[arg(long, env = "ORION_OPERATOR_DRY_RUN", value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
    /// Address of /metrics, or 0 for off
    #[arg(long, env = "ORION_OPERATOR_METRICS_BIND_ADDRESS", value_name = "ADDRESS", default_value = ":8080", value_parser = parse_bind)]
    pub metrics_bind_address: Bind,
    /// Address of /healthz and /readyz, or 0 for off
    #[arg(long, env = "ORION_OPERATOR_HEALTH_PROBE_BIND_ADDRESS", value_name = "ADDRESS", default_value = ":8081", value_parser = parse_bind)]
    pub health_probe_bind_address: Bind,
    /// Log level: error, warn, info, debug or trace
    #[arg(long, env = "ORION_OPERATOR_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: tracing::Level,
    /// Log format
    #[arg(long, env = "ORION_OPERATOR_LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
}

/// An address, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind(pub Option<SocketAddr>);

/// A rate limit, or none.
#[derive(Clone, Copy, Debug)]
pub struct RateLimitFlag(pub Option<RateLimit>);

fn parse_bind(text: &str) -> Result<Bind, String> {
    server::bind_address(text).map(Bind)
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = parse_duration(text)?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(30);
    if bounds.contains(&timeout) { Ok(timeout) } else { Err(format!("\"{text}\" is not between 1s and 30s")) }
}

fn parse_rate_limit(text: &str) -> Result<RateLimitFlag, String> {
    if text.trim() == "0" {
        return Ok(RateLimitFlag(None));
    }
    let wrong = || format!("\"{text}\" is not requests per second / burst, like 20/40, nor 0 for no limit");
    let (rate, burst) = text.split_once('/').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse().map_err(|_| wrong());
    Ok(RateLimitFlag(Some(RateLimit { requests_per_second: number(rate)?, burst: number(burst)? })))
}

/// Why the operator did not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RunError {
    #[error("--orion-url: {0}")]
    OrionUrl(String),
    #[error("--orion-ca-file {path}: {source}")]
    CaFile { path: PathBuf, source: std::io::Error },
    #[error("--orion-token-file is set, but --orion-url is not: there is nothing to use the token for")]
    TokenWithoutUrl,
    #[error("the connection to Orion: {0}")]
    Connection(#[from] crate::orion::ConfigError),
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
    #[error("cannot listen on {address}: {source}. Give another address, or 0 to switch it off")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("logging: {0}")]
    Logging(#[from] tracing_subscriber::filter::ParseError),
}

/// Runs the operator until it is asked to stop.
///
/// # Errors
/// It could not start.
pub(super) fn run(args: RunArgs) -> Result<ExitCode, RunError> {
    telemetry::init(args.log_level, args.log_format)?;
    // One TLS provider for both clients; a second call (in tests) finds it installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(RunError::Runtime)?;
    let result = runtime.block_on(operate(args));
    // What still hangs (a DNS look-up, say) must not hold the exit up.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

async fn operate(args: RunArgs) -> Result<ExitCode, RunError> {
    let connection = default_connection(&args)?;
    let client = client(&args).await?;
    let instance = instance_id(&args, &client).await?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        instance = instance.prefix(),
        instance_id = instance.as_str(),
        "starting"
    );
    let stop = CancellationToken::new();
    let metrics = Arc::new(Metrics::default());
    let (ready, is_ready) = watch::channel(false);
    listen(args.health_probe_bind_address, server::probes(is_ready), &stop).await?;
    listen(args.metrics_bind_address, server::metrics(Arc::clone(&metrics)), &stop).await?;
    let config = ContextConfig {
        client,
        settings: Settings {
            instance,
            interval: args.interval,
            min_interval: args.min_interval,
            create_settle: args.create_settle,
            dry_run: args.dry_run,
        },
        default_connection: connection,
        clock: Arc::new(SystemClock),
        apiserver_timeout: APISERVER_TIMEOUT,
        concurrency: args.max_concurrent_reconciles,
    };
    let watching =
        Watching { namespaces: named(&args.watch_namespaces), label_selector: args.watch_label_selector.clone() };
    let work = tokio::spawn(controller::run(config, watching, metrics, ready, stop.clone()));
    Ok(until_stopped(work, &stop).await)
}

/// The first signal stops the watches and lets what is in flight end; the second one ends the process.
async fn until_stopped(mut work: tokio::task::JoinHandle<()>, stop: &CancellationToken) -> ExitCode {
    let mut signals = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            error!(%error, "signals cannot be received");
            return ExitCode::FAILURE;
        }
    };
    tokio::select! {
        _ = signals.0.recv() => info!("SIGTERM: finishing what is in flight"),
        _ = signals.1.recv() => info!("SIGINT: finishing what is in flight"),
        _ = &mut work => {
            error!("the controller ended by itself; exiting so that it is started again");
            return ExitCode::FAILURE;
        }
    }
    stop.cancel();
    tokio::select! {
        ended = tokio::time::timeout(DRAIN, &mut work) => match ended {
            Ok(_) => info!("stopped"),
            Err(_) => warn!("stopped, with calls cut off that did not end in time; the next start finds out what became of them"),
        },
        _ = signals.0.recv() => warn!("second signal: stopping at once"),
        _ = signals.1.recv() => warn!("second signal: stopping at once"),
    }
    ExitCode::SUCCESS
}

async fn client(args: &RunArgs) -> Result<Client, RunError> {
    let mut config = match &args.kubeconfig {
        Some(path) => {
            Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default()).await?
        }
        None => Config::infer().await.map_err(|error| RunError::NoCluster(error.to_string()))?,
    };
    // A repeated write could meet its own first try; every write here is decided afresh instead.
    config.default_retry = false;
    config.read_timeout = Some(controller::APISERVER_SILENCE);
    Client::try_from(config).map_err(RunError::Client)
}

async fn instance_id(args: &RunArgs, client: &Client) -> Result<InstanceId, RunError> {
    if let Some(id) = args.instance_id.as_deref().filter(|id| !id.is_empty()) {
        return Ok(InstanceId::new(id));
    }
    let of_the_account = || std::fs::read_to_string(NAMESPACE_FILE).ok().map(|text| text.trim().to_owned());
    let namespace = args.operator_namespace.clone().or_else(of_the_account).unwrap_or_else(|| "default".to_owned());
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    let fail = |why: String| RunError::InstanceId { namespace: namespace.clone(), why };
    let read = tokio::time::timeout(APISERVER_TIMEOUT, namespaces.get(&namespace)).await;
    let found = read.map_err(|_| fail("no answer in time".into()))?.map_err(|error| fail(error.to_string()))?;
    found.metadata.uid.map(InstanceId::new).ok_or_else(|| fail("it has no UID".into()))
}

fn default_connection(args: &RunArgs) -> Result<Option<Arc<ConnectionHandle>>, RunError> {
    let Some(url) = args.orion_url.as_deref().filter(|url| !url.is_empty()) else {
        if args.orion_token_file.is_some() {
            return Err(RunError::TokenWithoutUrl);
        }
        warn!("no --orion-url: there is no default connection");
        return Ok(None);
    };
    let endpoint = Endpoint::new(url, &args.orion_path_prefix).map_err(RunError::OrionUrl)?;
    let credentials: Arc<dyn Credentials> = match &args.orion_token_file {
        Some(path) => Arc::new(TokenFile::new(path)),
        None => Arc::new(NoCredentials),
    };
    let mut config = ConnectionConfig::new(endpoint, credentials);
    config.timeout = args.orion_timeout;
    config.rate_limit = args.orion_rate_limit.0;
    if let Some(path) = &args.orion_ca_file {
        let read = std::fs::read(path);
        config.ca_pem = Some(read.map_err(|source| RunError::CaFile { path: path.clone(), source })?);
    }
    let settings = ConnectionSettings {
        ownership: args.ownership == Ownership::Header,
        adoption: args.allow_adoption,
        namespaces: named(&args.default_connection_namespaces),
        timeout: args.orion_timeout,
    };
    let orion = Arc::new(HttpOrion::new(config)?);
    Ok(Some(Arc::new(ConnectionHandle::new(orion, settings, Arc::new(SystemClock)))))
}

/// The names of a list, or none: an environment variable that is set to nothing is an empty name.
fn named(names: &[String]) -> Option<BTreeSet<String>> {
    let names: BTreeSet<String> =
        names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    (!names.is_empty()).then_some(names)
}

async fn listen(bind: Bind, router: axum::Router, stop: &CancellationToken) -> Result<(), RunError> {
    let Some(address) = bind.0 else { return Ok(()) };
    let listener = server::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    tokio::spawn(server::serve(listener, router, stop.clone()));
    Ok(())
}
