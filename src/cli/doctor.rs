//! `orion-operator doctor`: what is wrong between the operator, Orion and the cluster, and what to do.

mod abilities;
mod api;
mod ask;
mod cluster;
mod connection;
mod handshake;
mod line;
mod login;
mod names;
mod network;
mod shown;
mod trip;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;
use kube::Client;

use self::ask::orion::{CHAIN, Ear, Wanted};
pub use self::connection::ConnectionPath;
use self::line::{Check, Line, Report, cause, skip_rest};
use self::names::{FIELDS, FLAGS, Names};
use super::Error;
use super::cluster::ClusterArgs;
use super::connection::{ConnectionArgs, ConnectionError, made};
use super::test_delivery::{Form, ObjectName};
use crate::orion::{ConfigError, ConnectionConfig, HttpOrion, Oversight};

/// Arguments of `doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Which Orion.
    #[command(flatten)]
    pub orion: ConnectionArgs,
    /// A connection of the cluster, in place of --orion-url: an OrionConnection with its namespace, else a
    /// ClusterOrionConnection. Its Secrets are read
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub connection: Option<ConnectionPath>,
    /// OrionConnections may use http and addresses that are not globally routable, as the operator's flag says
    #[arg(long, env = "ORION_OPERATOR_ALLOW_INSECURE_CONNECTIONS", value_parser = FalseyValueParser::new())]
    pub allow_insecure_connections: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Whose rights are looked at: the operator's ServiceAccount [default: who runs this]
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub service_account: Option<ObjectName>,
    /// Make a webhook at Orion, look what becomes of it, and delete it. Without this nothing is changed anywhere
    #[arg(long)]
    pub write: bool,
    /// Make it even where nothing shows that it can be deleted: it may stay at Orion
    #[arg(long, requires = "write")]
    pub even_if_it_stays: bool,
    /// The user of that webhook
    #[arg(long, value_name = "ID", requires = "write", default_value = "orion-operator-doctor")]
    pub user_id: String,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub output: Form,
}

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DoctorError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the runtime: {0}")]
    Runtime(std::io::Error),
}

/// Looks, writes to `out` what was found, and fails if something is wrong.
pub(super) fn run(args: &DoctorArgs, out: &mut impl Write) -> Result<ExitCode, Error> {
    super::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DoctorError::Runtime)?;
    let lines = runtime.block_on(examine(args));
    // A look-up that still hangs must not hold the exit up.
    runtime.shutdown_timeout(Duration::from_millis(200));
    let report = Report::new(lines?);
    let text = match args.output {
        Form::Text => report.text(),
        Form::Json => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
    };
    out.write_all(text.as_bytes())?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is needed for the other comes first: a connection is read from the cluster.
async fn examine(args: &DoctorArgs) -> Result<Vec<Line>, DoctorError> {
    let is_wanted =
        args.cluster.installation.kubeconfig.is_some() || args.connection.is_some() || args.service_account.is_some();
    let Some(path) = &args.connection else {
        let mut lines = of_flags(args).await?;
        let (client, reached) = ask::cluster::reach(&args.cluster.installation, is_wanted).await;
        lines.push(reached);
        if let Some(client) = client {
            lines.push(ask::cluster::definitions(&client).await);
            lines.extend(installation(args, &client).await);
        }
        return Ok(lines);
    };
    let (client, reached) = ask::cluster::reach(&args.cluster.installation, is_wanted).await;
    let mut lines = vec![reached];
    if let Some(client) = &client {
        lines.push(ask::cluster::definitions(client).await);
        if cause(&lines).is_none() {
            let own = args.cluster.installation.own_namespace();
            let insecure = args.allow_insecure_connections;
            let (found, told) = ask::cluster::connection(client, path, &own, insecure).await;
            lines.extend(told);
            if let Some((config, is_marking)) = found {
                match HttpOrion::new(heard(&config).0) {
                    Err(error @ (ConfigError::LoginPath | ConfigError::Endpoint)) => {
                        lines.push(connection::unusable(&format!("{error}. Correct it")));
                    }
                    Ok(_) | Err(_) => orion(args, config, is_marking, &FIELDS, &mut lines).await,
                }
            }
        }
    }
    skip_rest(&mut lines, &[Check::Crds, Check::Connection]);
    skip_orion(args, &mut lines);
    if let Some(client) = &client {
        lines.extend(installation(args, client).await);
    }
    Ok(lines)
}

/// Which installation this is, and its rights.
async fn installation(args: &DoctorArgs, client: &Client) -> Vec<Line> {
    let mut lines = vec![ask::cluster::instance(client, &args.cluster.installation).await];
    lines.extend(ask::cluster::rbac(client, &args.cluster, args.service_account.as_ref()).await);
    lines
}

/// The Orion of the flags.
async fn of_flags(args: &DoctorArgs) -> Result<Vec<Line>, DoctorError> {
    let mut lines = Vec::new();
    match args.orion.config(&Oversight::default()) {
        Ok(Some(config)) => {
            // What is wrong with flags is wrong usage, and told before anything is asked.
            if let Err(error) = made(HttpOrion::new(config.clone()))
                && error.is_usage()
            {
                return Err(error.into());
            }
            orion(args, config, true, &FLAGS, &mut lines).await;
        }
        Ok(None) => {
            lines.push(Line::skipped(
                Check::Connection,
                "no Orion is looked at: give --orion-url URL, or --connection [NAMESPACE/]NAME",
            ));
        }
        Err(error) if error.is_usage() => return Err(error.into()),
        Err(error) => {
            lines.push(Line::fail(Check::Connection, error.to_string(), "Give a file that is there and can be read"));
            skip_orion(args, &mut lines);
        }
    }
    Ok(lines)
}

/// With somebody who hears what the answers say.
fn heard(config: &ConnectionConfig) -> (ConnectionConfig, Arc<Ear>) {
    let ear = Arc::new(Ear::default());
    let witness: Arc<Ear> = Arc::clone(&ear);
    let oversight = Oversight { witness: Some(witness), ..Oversight::default() };
    (ConnectionConfig { oversight, ..config.clone() }, ear)
}

async fn orion(args: &DoctorArgs, config: ConnectionConfig, is_marking: bool, names: &Names, lines: &mut Vec<Line>) {
    let (config, ear) = heard(&config);
    let client = HttpOrion::new(config.clone());
    if let Err(error @ (ConfigError::NotHttps | ConfigError::NotPublic)) = &client {
        let todo = format!("Correct {}, or let an admin make a ClusterOrionConnection of it", names.url);
        lines.push(Line::fail(Check::Connection, error.to_string(), todo));
        return skip_orion(args, lines);
    }
    let (found, proxy) = ask::network::ask(&config, names).await;
    lines.extend(found);
    match client {
        Ok(client) if cause(lines).is_none() => {
            let wanted = Wanted {
                endpoint: &config.endpoint,
                auth: &*config.auth,
                names,
                proxy: proxy.as_deref(),
                is_marking,
                write_for: args.write.then_some(args.user_id.as_str()),
                may_stay: args.even_if_it_stays,
            };
            ask::orion::ask(&client, &ear, &wanted, lines).await;
        }
        Ok(_) => {}
        // The handshake has told it, as a rule.
        Err(_) if cause(lines).is_some() => {}
        Err(error) => lines.push(Line::fail(Check::Tls, error.to_string(), format!("Correct {}", names.ca))),
    }
    skip_orion(args, lines);
}

/// For what of Orion could not be looked at.
fn skip_orion(args: &DoctorArgs, lines: &mut Vec<Line>) {
    skip_rest(lines, &CHAIN);
    if args.write {
        skip_rest(lines, &[Check::Write]);
    }
}
