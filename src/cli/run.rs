//! `orion-operator run`: the operator itself.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::cluster::{APISERVER_TIMEOUT, ClusterArgs, ClusterError, named};
use super::connection::{ConnectionArgs, ConnectionError};
use super::election::{ElectionArgs, Electorate, Offices};
use super::stopping::{Signals, idle, until_stopped};
use crate::api::{Access, parse_duration};
use crate::controller::{
    self, ConnectionHandle, ConnectionKey, ConnectionSettings, ContextConfig, SystemClock, Terms, Watching,
};
use crate::fence::Fence;
use crate::health::{Health, Phase};
use crate::leader::Office;
use crate::metrics::Metrics;
use crate::orion::Oversight;
use crate::plan::Settings;
use crate::server::secure::{self, Certificate};
use crate::telemetry::{self, LogFormat};
use crate::version::VERSION;
use crate::{apiserver, server};

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
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Watch only Webhooks with these labels, for sharding
    #[arg(long, env = "ORION_OPERATOR_WATCH_LABEL_SELECTOR", value_name = "SELECTOR")]
    pub watch_label_selector: Option<String>,
    /// Which Orion.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// How the default connection's webhooks are marked as ours
    #[arg(long, env = "ORION_OPERATOR_OWNERSHIP", value_enum, default_value = "header")]
    pub ownership: Ownership,
    /// Namespaces that may use the default connection, separated by commas [default: all watched]
    #[arg(long, env = "ORION_OPERATOR_DEFAULT_CONNECTION_NAMESPACES", value_name = "A,B", value_delimiter = ',')]
    pub default_connection_namespaces: Vec<String>,
    /// Webhooks may adopt by id on the default connection
    #[arg(long, env = "ORION_OPERATOR_ALLOW_ADOPTION", value_parser = FalseyValueParser::new())]
    pub allow_adoption: bool,
    /// OrionConnections may use http and addresses that are not globally routable
    #[arg(long, env = "ORION_OPERATOR_ALLOW_INSECURE_CONNECTIONS", value_parser = FalseyValueParser::new())]
    pub allow_insecure_connections: bool,
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
    /// Whether several processes may run.
    #[command(flatten)]
    pub election: ElectionArgs,
    /// Address of /metrics, or 0 for off
    #[arg(long, env = "ORION_OPERATOR_METRICS_BIND_ADDRESS", value_name = "ADDRESS", default_value = ":8080", value_parser = parse_bind)]
    pub metrics_bind_address: Bind,
    /// Serve /metrics over TLS, and only to those whom the apiserver lets get the path /metrics
    #[arg(long, env = "ORION_OPERATOR_METRICS_SECURE", value_parser = FalseyValueParser::new())]
    pub metrics_secure: bool,
    /// Directory with tls.crt and tls.key for --metrics-secure; read again when they change
    #[arg(
        long,
        env = "ORION_OPERATOR_METRICS_CERT_PATH",
        value_name = "DIRECTORY",
        required_if_eq("metrics_secure", "true")
    )]
    pub metrics_cert_path: Option<PathBuf>,
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

fn parse_bind(text: &str) -> Result<Bind, String> {
    server::bind_address(text).map(Bind)
}

/// Why the operator did not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RunError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("cannot listen on {address}: {source}. Give another address, or 0 to switch it off")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("{0}")]
    Election(String),
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    #[error("--metrics-cert-path: {0}")]
    MetricsCertificate(std::io::Error),
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
    let level = telemetry::init(args.log_level, args.log_format)?;
    super::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(RunError::Runtime)?;
    runtime.spawn(level.follow_signals());
    let result = runtime.block_on(operate(args));
    // What still hangs (a DNS look-up, say) must not hold the exit up.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

async fn operate(args: RunArgs) -> Result<ExitCode, RunError> {
    let terms = args.election.terms()?;
    let metrics = Arc::new(Metrics::default());
    let oversight = Oversight {
        fence: if terms.is_some() { Fence::closed() } else { Fence::open() },
        calls: metrics.orion.clone(),
        witness: None,
    };
    let connection = default_connection(&args, &oversight)?;
    let health = Arc::new(Health::default());
    let cluster = args.cluster.installation.config().await?;
    let made = |fence: &Fence, health| {
        apiserver::client(cluster.clone(), &metrics, fence, health).map_err(ClusterError::Client)
    };
    let fence = oversight.fence;
    let (client, aside) = (made(&fence, Some(&health))?, made(&fence, None)?);
    let mut signals = Signals::new().map_err(RunError::Signals)?;
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    listen(args.health_probe_bind_address, server::probes(Arc::clone(&health)), &ended).await?;
    let page = server::metrics(Arc::clone(&metrics));
    match args.metrics_cert_path.as_deref().filter(|_| args.metrics_secure) {
        Some(directory) => {
            // Who asks may be known while another process leads.
            let page = server::guarded(page, made(&Fence::open(), None)?);
            listen_securely(args.metrics_bind_address, directory, page, &ended).await?;
        }
        None => listen(args.metrics_bind_address, page, &ended).await?,
    }
    let instance = tokio::select! {
        instance = args.cluster.installation.instance_patiently(&client) => instance?,
        signal = signals.next() => return Ok(idle(signal)),
    };
    info!(version = VERSION, instance = instance.prefix(), instance_id = instance.as_str(), "starting");

    let watching =
        Watching { namespaces: args.cluster.namespaces(), label_selector: args.watch_label_selector.clone() };
    let is_shard = watching.label_selector.is_some();
    let electorate = terms.map(|terms| Electorate {
        config: cluster,
        namespace: args.cluster.installation.own_namespace(),
        watched: watching.namespaces.clone(),
        selector: watching.label_selector.clone(),
        terms,
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
    });
    let elected = electorate.as_ref().map(|electorate| electorate.elector(Office::Webhooks, fence.clone()));
    let elector = match elected.transpose().map_err(ClusterError::Client)? {
        Some(mut elector) => {
            info!("waiting for the Lease");
            health.enter(Phase::Standby);
            let signal = tokio::select! {
                () = elector.acquire() => None,
                signal = signals.next() => Some(signal),
            };
            if let Some(signal) = signal {
                // It may just have been taken.
                elector.release().await;
                return Ok(idle(signal));
            }
            health.enter(Phase::Filling);
            Some(elector)
        }
        None => None,
    };
    if elector.is_none() && is_shard {
        warn!("with --watch-label-selector and without --leader-elect every process writes the status of connections");
    }
    // Where a selector divides the Webhooks among processes, one of these writes the status of the connections.
    let speaking = electorate.filter(|_| is_shard).map(|electorate| electorate.speak()).transpose();
    let (speaker, speaks) = speaking.map_err(ClusterError::Client)?.unzip();
    let config = ContextConfig {
        client,
        aside,
        settings: Settings {
            instance,
            interval: args.interval,
            min_interval: args.min_interval,
            create_settle: args.create_settle,
            dry_run: args.dry_run,
        },
        default_connection: connection,
        operator_namespace: args.cluster.installation.own_namespace(),
        allow_insecure_connections: args.allow_insecure_connections,
        clock: Arc::new(SystemClock),
        apiserver_timeout: APISERVER_TIMEOUT,
        concurrency: args.max_concurrent_reconciles,
        fence,
        speaks: speaks.unwrap_or_else(|| watch::channel(true).1),
        health,
    };
    let work = tokio::spawn(controller::run(config, watching, metrics, stop.clone()));
    let code = until_stopped(work, Offices { elector, speaker }, &mut signals, &stop).await;
    ended.cancel();
    Ok(code)
}

fn default_connection(
    args: &RunArgs,
    oversight: &Oversight,
) -> Result<Option<(Arc<ConnectionHandle>, Terms)>, RunError> {
    let Some(orion) = args.connection.orion(oversight)? else {
        info!("no --orion-url: there is no default connection");
        return Ok(None);
    };
    let ownership = args.ownership == Ownership::Header;
    let settings = ConnectionSettings { ownership, timeout: args.connection.orion_timeout };
    let handle = ConnectionHandle::new(ConnectionKey::Default, Arc::new(orion), settings, Arc::new(SystemClock));
    let access = named(&args.default_connection_namespaces).map_or(Access::All, Access::Named);
    Ok(Some((Arc::new(handle), Terms { access, adoption: args.allow_adoption })))
}

async fn listen(bind: Bind, router: axum::Router, stop: &CancellationToken) -> Result<(), RunError> {
    let Some(address) = bind.0 else { return Ok(()) };
    let listener = server::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    tokio::spawn(server::serve(listener, router, stop.clone()));
    Ok(())
}

async fn listen_securely(
    bind: Bind,
    directory: &Path,
    router: axum::Router,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let Some(address) = bind.0 else { return Ok(()) };
    let certificate = Certificate::read(directory).await.map_err(RunError::MetricsCertificate)?;
    let listener = server::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    tokio::spawn(secure::serve(listener, certificate, router, stop.clone()));
    Ok(())
}
