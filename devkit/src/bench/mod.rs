//! `make bench`: the operator beside the floor, in shuffled rounds, each on a fresh control plane. What is measured, and what
//! came out: `docs/performance.md`.

mod count;
mod fleet;
mod floor;
mod machine;
mod plot;
mod report;
mod round;
mod subject;
mod usage;

use std::path::PathBuf;

use anyhow::{Context, Result};
use rand::seq::SliceRandom;

pub use floor::{FloorArgs, floor};
pub use plot::{PlotArgs, plot};

use machine::Machine;
use report::Report;
use subject::Subject;

/// What is to be measured.
#[derive(Clone, Debug, clap::Args, serde::Serialize)]
pub struct Settings {
    /// The operator's executable.
    #[arg(long, default_value = "target/release/orion-operator")]
    operator: PathBuf,
    /// Webhooks.
    #[arg(long, default_value_t = 1000)]
    webhooks: usize,
    /// Rounds, each with every subject.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long Orion takes for an answer, in milliseconds.
    #[arg(long, default_value_t = 50)]
    latency_ms: u64,
    /// How long nothing is to happen.
    #[arg(long, default_value_t = 30)]
    idle_seconds: u64,
    /// How long objects are to come at each rate.
    #[arg(long, default_value_t = 20)]
    load_seconds: u32,
    /// Nothing but the cold sync.
    #[arg(long)]
    cold_only: bool,
    /// Without the floor.
    #[arg(long)]
    without_floor: bool,
    /// Where the results go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// The operator's flags, beyond those that say where everything is.
    #[arg(last = true, default_values_t = ["--orion-rate-limit=0", "--max-concurrent-reconciles=32"].map(str::to_owned))]
    flags: Vec<String>,
}

/// Measures, and writes a JSON file and a table.
///
/// # Errors
/// A subject does not do its job, or something around it fails.
pub async fn run(settings: Settings) -> Result<()> {
    let operator = settings.operator.clone();
    let operator = operator.canonicalize().with_context(|| format!("no operator at {}", operator.display()))?;
    let settings = Settings { operator, ..settings };
    let mut report = Report { machine: Machine::look(&settings.operator)?, settings, measured: Vec::new() };
    for round in 0..report.settings.rounds {
        let mut subjects = vec![Subject::Operator];
        if !report.settings.without_floor {
            subjects.push(Subject::Floor);
        }
        subjects.shuffle(&mut rand::rng());
        for subject in subjects {
            eprintln!("round {} of {}: {}", round + 1, report.settings.rounds, subject.name());
            report.measured.push(round::measure(subject, &report.settings, round == 0).await?);
            // After each: what is there is there, whatever becomes of the next.
            report.write()?;
        }
    }
    println!("{}", report.table());
    Ok(())
}
