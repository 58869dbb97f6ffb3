//! `make bench`.

use anyhow::Result;
use clap::{Parser, Subcommand};
use devkit::bench::{FloorArgs, PlotArgs, Settings, floor, plot, run};

/// Measures the operator beside the smallest program that can do its job.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure
    Run(Settings),
    /// Draw how it grows, from the files of several runs
    Plot(PlotArgs),
    /// Be that smallest program
    Floor(FloorArgs),
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Run(settings) => run(settings).await,
        Command::Plot(args) => plot(&args),
        Command::Floor(args) => floor(args).await,
    }
}
