//! `make bench`: the operator beside the floor, and beside others that are asked for, in shuffled rounds, each on a fresh control
//! plane. What is measured, and what came out: `docs/performance.md`.

mod count;
mod fleet;
mod floor;
mod kind;
mod machine;
mod measured;
mod numbers;
mod peer;
mod plot;
mod report;
mod round;
mod running;
mod stage;
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
    /// The longest that a cold sync may take.
    #[arg(long, default_value_t = 1200)]
    limit_seconds: u64,
    /// Nothing but the cold sync.
    #[arg(long)]
    cold_only: bool,
    /// Without the floor.
    #[arg(long)]
    without_floor: bool,
    /// The operator as so many processes too, each with a part of the Webhooks.
    #[arg(long, default_value_t = 1)]
    shards: usize,
    /// An executable of Crossplane's provider-http, to be measured with its defaults and tuned.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Directory of its custom resource definitions [default: that of its version in Go's module cache].
    #[arg(long, requires = "peer")]
    peer_crds: Option<PathBuf>,
    /// Flags to measure it with in place of its defaults.
    #[arg(long, requires = "peer", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    peer_flags: String,
    /// Nothing but the cold sync of operator and floor, with so many Webhooks in flight.
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["shards", "peer", "without_floor"])]
    concurrency: Vec<usize>,
    /// Where the results go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// The operator's flags, beyond those that say where everything is.
    #[arg(last = true, default_values_t = ["--orion-rate-limit=0", "--max-concurrent-reconciles=32"].map(str::to_owned))]
    flags: Vec<String>,
}

impl Settings {
    /// Of the files with the results.
    fn name(&self) -> String {
        let mut name = self.webhooks.to_string();
        let words = [
            (!self.concurrency.is_empty(), "-concurrency"),
            (self.shards > 1, "-shards"),
            (self.peer.is_some(), "-peer"),
        ];
        name.extend(words.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word));
        name
    }
}

/// Measures, and writes a JSON file and a table.
///
/// # Errors
/// A subject does not do its job, or something around it fails.
pub async fn run(mut settings: Settings) -> Result<()> {
    let operator = settings.operator.clone();
    settings.operator = operator.canonicalize().with_context(|| format!("no operator at {}", operator.display()))?;
    let mut machine = Machine::look(&settings.operator)?;
    if let Some(program) = &settings.peer {
        let program = program.canonicalize().with_context(|| format!("no provider-http at {}", program.display()))?;
        let (version, crds) = peer::look(&program, settings.peer_crds.as_deref())?;
        (settings.peer, settings.peer_crds, machine.peer) = (Some(program), Some(crds), Some(version));
    }
    let mut subjects = Subject::all(&settings);
    let names = subjects.iter().map(|subject| subject.name.clone()).collect();
    let mut report = Report { machine, settings, names, measured: Vec::new() };
    for round in 0..report.settings.rounds {
        subjects.shuffle(&mut rand::rng());
        for subject in &subjects {
            eprintln!("round {} of {}: {}", round + 1, report.settings.rounds, subject.name);
            report.measured.push(round::measure(subject, &report.settings, round == 0).await?);
            // After each: what is there is there, whatever becomes of the next.
            report.write()?;
        }
    }
    println!("{}", report.table());
    Ok(())
}
