//! The command line.

mod cluster;
mod complete;
mod completion;
mod connection;
mod crds;
mod doctor;
mod election;
mod import;
mod objects;
mod orphans;
mod plugin;
mod reconcile;
mod resolve;
mod run;
mod status;
mod stopping;
mod suspend;
mod test_delivery;
mod validate;
mod waiting;

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
pub use objects::{Kind, Named, ObjectError, WhereArgs, WhichArgs};
pub use orphans::{OrphansArgs, OrphansError};
pub use plugin::Plugin;
pub use reconcile::ReconcileArgs;
pub use resolve::{ResolveArgs, ResolveError};
pub use run::{Ownership, RunArgs, RunError};
pub use status::StatusArgs;
pub use suspend::{ResumeArgs, SuspendArgs};
pub use test_delivery::{Form, ObjectName, TestDeliveryArgs, TestDeliveryError};
pub use validate::{Output, ValidateArgs};
pub use waiting::WaitArgs;

use plugin::Program;

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
    /// What people do.
    #[command(flatten)]
    People(PeopleCommand),
}

/// What people do with the program, also as `kubectl orion`.
#[derive(Subcommand, Debug)]
pub enum PeopleCommand {
    /// Says of every Webhook what is wrong, since when, and what to do
    Status(StatusArgs),
    /// Has the operator look at Orion now, and try again what was refused
    Reconcile(ReconcileArgs),
    /// Stops all changes at Orion, except deletion
    Suspend(SuspendArgs),
    /// Goes on after suspend
    Resume(ResumeArgs),
    /// Shows what only a person can decide about a Webhook, and says the decision
    Resolve(ResolveArgs),
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
    /// Objects could not be read or changed.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Nothing was decided.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
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
            Self::Object(ObjectError::Which | ObjectError::OnlyWebhooks(_)) => true,
            Self::File { .. } | Self::Output(_) | Self::Yaml(_) | Self::Run(_) | Self::Orphans(_) => false,
            Self::Import(_) | Self::Doctor(_) | Self::TestDelivery(_) | Self::Object(_) | Self::Resolve(_) => false,
        }
    }
}

/// Text of others, without what would steer a terminal, or show another order or other lines than there are.
fn printable(text: &str) -> String {
    let steers = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// One TLS provider for both clients; a second call (in tests) finds it installed already.
fn install_tls_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Reads the arguments, does what they ask for and returns the exit code: 0 done, 1 failed. Wrong usage ends the
/// process with 2, which is clap's way.
#[must_use]
pub fn main() -> ExitCode {
    let zeroth = std::env::args_os().next();
    let program = Program::called(zeroth.as_deref());
    let result = match program {
        Program::Plugin if plugin::is_to_complete(zeroth.as_deref()) => {
            let words: Vec<String> =
                std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            complete::run(&words, &mut io::stdout().lock())
        }
        Program::Operator => operator(Cli::parse()),
        Program::Plugin => people(Plugin::parse().command, program),
    };
    match result {
        Ok(code) => code,
        // Whoever read it has seen enough, as `head` does.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{program}: {error}");
            if error.is_usage() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn operator(cli: Cli) -> Result<ExitCode, Error> {
    match cli.command {
        Some(Command::Crds(args)) => crds::run(&args, &mut io::stdout().lock()).map(|()| ExitCode::SUCCESS),
        Some(Command::People(command)) => people(command, Program::Operator),
        Some(Command::Run(args)) => run::run(*args).map_err(Error::from),
        None => run::run(cli.run).map_err(Error::from),
    }
}

fn people(command: PeopleCommand, program: Program) -> Result<ExitCode, Error> {
    let mut out = io::stdout().lock();
    match command {
        // Colours, where they are wanted.
        PeopleCommand::Status(args) => status::run(&args, program, &mut anstream::AutoStream::auto(out)),
        PeopleCommand::Reconcile(args) => reconcile::run(&args, program, &mut out),
        PeopleCommand::Suspend(args) => suspend::suspend(&args, program, &mut out),
        PeopleCommand::Resume(args) => suspend::resume(&args, program, &mut out),
        PeopleCommand::Resolve(args) => resolve::run(&args, program, &mut out),
        PeopleCommand::Validate(args) => validate::run(&args, &mut out),
        PeopleCommand::Import(args) => import::run(&args, &mut out).map(|()| ExitCode::SUCCESS),
        PeopleCommand::Doctor(args) => doctor::run(&args, &mut anstream::AutoStream::auto(out)),
        PeopleCommand::TestDelivery(args) => test_delivery::run(&args, &mut out),
        PeopleCommand::Orphans(args) => orphans::run(&args, &mut out).map(|()| ExitCode::SUCCESS),
        PeopleCommand::Completion(args) => completion::run(&args, program, &mut out).map(|()| ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn text_of_others_steers_nothing() {
        assert_eq!(printable("ä = \u{1f600}"), "ä = \u{1f600}");
        for steering in
            ['\u{1b}', '\n', '\u{9b}', '\u{2028}', '\u{2029}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}']
        {
            assert_eq!(printable(&format!("a{steering}b")), "a\u{fffd}b", "{steering:?}");
        }
    }
}
