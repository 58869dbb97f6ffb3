//! `make demo`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use devkit::demo::{Options, run};

/// Shows the whole way of a Webhook on this machine: apply, Ready, an event delivered.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The operator's executable
    #[arg(long, default_value = "target/debug/orion-operator")]
    operator: PathBuf,
    /// Leave everything running once the event is delivered [default: at a terminal]
    #[arg(long)]
    stay: bool,
    /// Delete the Webhook once the event is delivered, and end [default: without a terminal]
    #[arg(long, conflicts_with = "stay")]
    no_stay: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { operator, stay, no_stay } = Arguments::parse();
    let stay = stay || !no_stay && std::io::stdout().is_terminal();
    run(Options { operator, stay }).await
}
