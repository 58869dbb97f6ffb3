//! `resolve`: shows what a person has to decide about a Webhook, and says the decision.

mod ways;

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use self::ways::{Choice, chosen, open, told};
use super::objects::{Cluster, Kind, Named, Object, ObjectError, WhereArgs, block_on};
use super::plugin::Program;
use super::waiting::{Asked, WaitArgs, wait};
use super::{Error, printable};
use crate::api::RESOLVE;

/// Arguments of `resolve`.
#[derive(Args, Debug)]
pub struct ResolveArgs {
    /// The Webhook
    #[arg(value_name = "NAME")]
    pub name: Named,
    /// The decision, as adopt=ID, retry=TOKEN, recreate=ID or abandon [default: says which are open]
    #[arg(value_name = "DECISION")]
    pub decision: Option<String>,
    /// Which cluster, and where in it.
    #[command(flatten)]
    pub at: WhereArgs,
    /// Do not ask whether it is meant
    #[arg(short, long)]
    pub yes: bool,
    /// Whether to wait.
    #[command(flatten)]
    pub waiting: WaitArgs,
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ResolveError {
    #[error("{0}")]
    DoesNotFit(String),
    #[error("nobody is there to ask whether it is meant: give --yes to do it")]
    NobodyToAsk,
    #[error("nothing was done")]
    NotMeant,
}

/// Shows what is open, or decides it.
pub(super) fn run(args: &ResolveArgs, program: Program, out: &mut impl Write) -> Result<ExitCode, Error> {
    block_on(async {
        if args.name.kind != Kind::Webhook {
            return Err(ObjectError::OnlyWebhooks(args.name.clone()).into());
        }
        let cluster = Cluster::connect(&args.at).await.map_err(ObjectError::from)?;
        let object = cluster.get(&args.name).await?;
        let open = open(&object);
        let Some(decision) = &args.decision else {
            write!(out, "{}", told(&object, &open, program))?;
            return Ok(ExitCode::SUCCESS);
        };
        let choice = chosen(&object, &open, decision, program).map_err(ResolveError::DoesNotFit)?;
        confirm(args, &object, &choice)?;
        decide(args, &cluster, &object, choice, program, out).await
    })
}

/// The decisions that are open, as the annotation has them; an id is still to be put in.
pub(super) fn values(object: &Object) -> Vec<String> {
    let values = open(object).into_iter().map(|way| way.value());
    values.map(|value| value.trim_end_matches("<id>").to_owned()).collect()
}

fn confirm(args: &ResolveArgs, object: &Object, choice: &Choice) -> Result<(), Error> {
    eprintln!("{}: {}", object.full_name(), printable(&choice.does));
    if args.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(ResolveError::NobodyToAsk.into());
    }
    eprint!("Do it? [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let is_yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if is_yes { Ok(()) } else { Err(ResolveError::NotMeant.into()) }
}

async fn decide(
    args: &ResolveArgs,
    cluster: &Cluster,
    object: &Object,
    choice: Choice,
    program: Program,
    out: &mut impl Write,
) -> Result<ExitCode, Error> {
    let patch = json!({"metadata": {"annotations": {RESOLVE: choice.value}}});
    // It was decided on what was read, and holds for nothing else.
    let changed = cluster.merge(object, patch, true).await?;
    let name = changed.full_name();
    if !args.waiting.wait {
        writeln!(out, "{name}: decided; what came of it: {program} status {}", changed.argument())?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{name}: decided");
    let before = object.ready().map(|ready| ready.message.clone()).unwrap_or_default();
    let asked = vec![(changed, Asked::Decision { value: choice.value, before })];
    let went_well = wait(cluster, asked, &args.waiting, program, out).await?;
    Ok(if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
