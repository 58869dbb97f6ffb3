//! The command line.

mod crds;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use crds::CrdsArgs;

/// The arguments of the program.
#[derive(Parser, Debug)]
#[command(name = "orion-operator", version, about = "Keeps Orion webhooks as Kubernetes objects declare them")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program can do.
#[derive(Subcommand, Debug)]
pub enum Command {
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
}

/// Reads the arguments, does what they ask for and returns the exit code: 0 done, 1 failed. Wrong usage ends the
/// process with 2, which is clap's way.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Some(Command::Crds(args)) => crds::run(&args, &mut io::stdout().lock()),
        None => Cli::command().print_help().map_err(Error::from),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orion-operator: {error}");
            ExitCode::FAILURE
        }
    }
}
