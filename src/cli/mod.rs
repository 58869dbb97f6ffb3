//! The command line.

mod cluster;
mod completion;
mod connection;
mod crds;
mod doctor;
mod election;
mod import;
mod orphans;
mod run;
mod stopping;
mod test_delivery;
mod validate;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use cluster::{ClusterArgs, ClusterError, InstallationArgs};
pub use completion::CompletionArgs;
pub use connection::{ConnectionArgs, ConnectionError, RateLimitFlag};
pub use crds::CrdsArgs;
pub use doctor::{ConnectionPath, DoctorArgs, DoctorError};
pub use election::ElectionArgs;
pub use import::{ConnectionName, ImportArgs, ImportError, Policy};
pub use orphans::{OrphansArgs, OrphansError};
pub use run::{Ownership, RunArgs, RunError};
pub use test_delivery::{Form, ObjectName, TestDeliveryArgs, TestDeliveryError};
pub use validate::{Output, ValidateArgs};

/// The arguments of the program.
#[derive(Parser, Debug)]
#[command(
    name = "orion-operator",
    version = crate::version::told(),
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
    /// Checks manifests without a cluster, by the rules that the apiserver has for them
    Validate(ValidateArgs),
    /// Writes manifests for the webhooks that an Orion has already, so that the operator takes them over
    Import(Box<ImportArgs>),
    /// Looks for what is wrong between the operator, Orion and the cluster, and says what to do
    Doctor(Box<DoctorArgs>),
    /// Sends one sample event to a Webhook's receiver, with the declared secret and with a wrong one
    TestDelivery(TestDeliveryArgs),
    /// Lists webhooks at Orion that carry this installation's marker and have no Webhook, or deletes them
    Orphans(Box<OrphansArgs>),
    /// Prints the script that lets a shell complete commands and flags
    Completion(CompletionArgs),
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
    /// There are no manifests.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Nothing could be looked at.
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    /// A delivery could not be tested.
    #[error(transparent)]
    TestDelivery(#[from] TestDeliveryError),
}

impl Error {
    fn is_usage(&self) -> bool {
        match self {
            Self::Run(RunError::Election(_)) => true,
            Self::Run(RunError::Connection(error))
            | Self::Orphans(OrphansError::Connection(error))
            | Self::Import(ImportError::Connection(error))
            | Self::Doctor(DoctorError::Connection(error)) => error.is_usage(),
            Self::Import(ImportError::Instance(_)) => true,
            Self::File { .. } | Self::Output(_) | Self::Yaml(_) | Self::Run(_) | Self::Orphans(_) => false,
            Self::Import(_) | Self::Doctor(_) | Self::TestDelivery(_) => false,
        }
    }
}

/// Text of others, without what would steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
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
        Some(Command::Validate(args)) => validate::run(&args, &mut io::stdout().lock()),
        Some(Command::Import(args)) => import::run(&args, &mut io::stdout().lock()).map(|()| ExitCode::SUCCESS),
        Some(Command::Doctor(args)) => doctor::run(&args, &mut anstream::stdout().lock()),
        Some(Command::TestDelivery(args)) => test_delivery::run(&args, &mut io::stdout().lock()),
        Some(Command::Completion(args)) => completion::run(&args, &mut io::stdout().lock()).map(|()| ExitCode::SUCCESS),
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
