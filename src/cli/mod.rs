//! The command line.

mod crds;
mod run;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use crds::CrdsArgs;
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
}

impl Error {
    /// The arguments are wrong, which is known only once they are looked at together.
    fn is_usage(&self) -> bool {
        matches!(self, Error::Run(RunError::OrionUrl(_) | RunError::TokenWithoutUrl))
    }
}

/// Reads the arguments, does what they ask for and returns the exit code: 0 done, 1 failed. Wrong usage ends the
/// process with 2, which is clap's way.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Crds(args)) => crds::run(&args, &mut io::stdout().lock()).map(|()| ExitCode::SUCCESS),
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
