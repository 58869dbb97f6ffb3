//! `reconcile`: has the operator look at Orion now, and try again what was refused.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::Error;
use super::objects::{Cluster, ObjectError, WhereArgs, WhichArgs, block_on, or_told};
use super::plugin::Program;
use super::waiting::{Asked, WaitArgs, wait};
use crate::api::REQUESTED_AT;

/// Arguments of `reconcile`.
#[derive(Args, Debug)]
pub struct ReconcileArgs {
    /// Which objects; connections too, as oconn/acme or coconn/shared.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Which cluster, and where in it.
    #[command(flatten)]
    pub at: WhereArgs,
    /// Whether to wait.
    #[command(flatten)]
    pub waiting: WaitArgs,
}

/// Asks for it, and waits where that is wanted.
pub(super) fn run(args: &ReconcileArgs, program: Program, out: &mut impl Write) -> Result<ExitCode, Error> {
    block_on(async {
        let cluster = Cluster::connect(&args.at).await.map_err(ObjectError::from)?;
        let objects = cluster.those(&args.which).await?;
        if objects.is_empty() {
            eprintln!("there are no such Webhooks, so nothing is asked for");
        }
        // Any new value will do; the operator echoes it.
        let at = Timestamp::now().to_string();
        let mut asked = Vec::with_capacity(objects.len());
        let mut went_well = true;
        for object in objects {
            let patch = json!({"metadata": {"annotations": {REQUESTED_AT: at}}});
            let Some(changed) = or_told(&object, cluster.merge(&object, patch, false).await)? else {
                went_well = false;
                continue;
            };
            if args.waiting.wait {
                eprintln!("{}: asked for", changed.full_name());
                asked.push((changed, Asked::Reconcile(at.clone())));
                continue;
            }
            let (name, argument) = (changed.full_name(), changed.argument());
            let then = if changed.is_suspended() {
                format!("it is suspended, so nothing is changed at Orion: {program} resume {argument}")
            } else {
                format!("what came of it: {program} status {argument}")
            };
            writeln!(out, "{name}: asked for; {then}")?;
        }
        went_well &= wait(&cluster, asked, &args.waiting, program, out).await?;
        Ok(if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}
