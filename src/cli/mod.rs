//! The command line.

mod cluster;
mod connection;
mod crds;
mod election;
mod orphans;
mod run;
mod stopping;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use cluster::{ClusterArgs, ClusterError};
pub use connection::{ConnectionArgs, ConnectionError, RateLimitFlag};
pub use crds::CrdsArgs;
pub use election::ElectionArgs;
pub use orphans::{OrphansArgs, OrphansError};
pub use run::{Ownership, RunArgs, RunError};

/// The arguments of the program.
#[derive(Parser, Debug)]
#[command(
    name = "orion-operator",
    version,
    about = "Keeps Orion webhooks as Kubernetes objects declare them",
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// What to do; `run` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Arguments of `run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What the program can do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Runs the operator (the default)
    Run(Box<RunArgs>),
    /// Prints the custom resource definitions, or writes them to files
    Crds(CrdsArgs),
    /// Lists webhooks at Orion that carry this installation's marker and have no Webhook, or deletes them
    Orphans(Box<OrphansArgs>),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be written.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// An object could not be written as YAML.
    #[error("cannot write YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
    /// The operator could not start.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Orphans could not be told, or not be deleted.
    #[error(transparent)]
    Orphans(#[from] OrphansError),
}

impl Error {
    fn is_usage(&self) -> bool {
        match self {
            Self::Run(RunError::Election(_)) => true,
            Self::Run(RunError::Connection(error)) | Self::Orphans(OrphansError::Connection(error)) => error.is_usage(),
            Self::File { .. } | Self::Output(_) | Self::Yaml(_) | Self::Run(_) | Self::Orphans(_) => false,
        }
    }
}

/// One TLS provider for both clients; a second call (in tests) finds it installed already.
fn install_tls_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Reads the arguments, does what they ask for and returns the exit code: 0 done, 1 failed. Wrong usage ends the
/// process with 2, which is clap's way.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Crds(args)) => crds::run(&args, &mut io::stdout().lock()).map(|()| ExitCode::SUCCESS),
        Some(Command::Orphans(args)) => orphans::run(&args, &mut io::stdout().lock()).map(|()| ExitCode::SUCCESS),
        Some(Command::Run(args)) => run::run(*args).map_err(Error::from),
        None => run::run(cli.run).map_err(Error::from),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("orion-operator: {error}");
            if error.is_usage() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
