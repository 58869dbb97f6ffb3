//! `suspend` and `resume`: stop and go on with what is changed at Orion.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Error;
use super::objects::{Cluster, Kind, Object, ObjectError, WhereArgs, WhichArgs, block_on, or_told, put_back_by};
use super::plugin::Program;
use super::waiting::{Asked, WaitArgs, wait};

/// Arguments of `suspend`.
#[derive(Args, Debug)]
pub struct SuspendArgs {
    /// Which Webhooks.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Which cluster, and where in it.
    #[command(flatten)]
    pub at: WhereArgs,
}

/// Arguments of `resume`.
#[derive(Args, Debug)]
pub struct ResumeArgs {
    /// Which Webhooks.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Which cluster, and where in it.
    #[command(flatten)]
    pub at: WhereArgs,
    /// Whether to wait.
    #[command(flatten)]
    pub waiting: WaitArgs,
}

/// Sets `spec.suspend`.
pub(super) fn suspend(args: &SuspendArgs, program: Program, out: &mut impl Write) -> Result<ExitCode, Error> {
    block_on(async {
        let cluster = Cluster::connect(&args.at).await.map_err(ObjectError::from)?;
        let (_, went_well) = set(&cluster, &args.which, true, program, out).await?;
        Ok(if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Takes it out, and waits where that is wanted.
pub(super) fn resume(args: &ResumeArgs, program: Program, out: &mut impl Write) -> Result<ExitCode, Error> {
    block_on(async {
        let cluster = Cluster::connect(&args.at).await.map_err(ObjectError::from)?;
        let (asked, mut went_well) = set(&cluster, &args.which, false, program, out).await?;
        let asked = if args.waiting.wait { asked } else { Vec::new() };
        went_well &= wait(&cluster, asked, &args.waiting, program, out).await?;
        Ok(if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Those that are as wanted now, and whether all are.
async fn set(
    cluster: &Cluster,
    which: &WhichArgs,
    suspend: bool,
    program: Program,
    out: &mut impl Write,
) -> Result<(Vec<(Object, Asked)>, bool), Error> {
    // Before anything is changed.
    if let Some(other) = which.names.iter().find(|named| named.kind != Kind::Webhook) {
        return Err(ObjectError::OnlyWebhooks(other.clone()).into());
    }
    let objects = cluster.those(which).await?;
    if objects.is_empty() {
        eprintln!("there are no such Webhooks, so nothing is changed");
    }
    let mut asked = Vec::with_capacity(objects.len());
    let mut went_well = true;
    for object in objects {
        let name = object.full_name();
        let word = if suspend { "suspended" } else { "resumed" };
        if object.is_suspended() == suspend {
            let already = if suspend { "is suspended already" } else { "is not suspended" };
            writeln!(out, "{name}: {already}")?;
            asked.push((object, Asked::Change));
            continue;
        }
        // Taken out rather than set to false: nothing of ours is left in the way of who applies the object.
        let wanted = if suspend { json!(true) } else { Value::Null };
        let patch = json!({"spec": {"suspend": wanted}});
        let Some(changed) = or_told(&object, cluster.merge(&object, patch, false).await)? else {
            went_well = false;
            continue;
        };
        let then = if suspend {
            format!(
                "nothing is changed at Orion any more, except by a deletion. To go on: {program} resume {}",
                changed.argument()
            )
        } else {
            "Orion is brought to what is declared".to_owned()
        };
        writeln!(out, "{name}: {word}; {then}")?;
        if let Some(who) = put_back_by(&changed) {
            eprintln!("{name}: {who}");
        }
        asked.push((changed, Asked::Change));
    }
    Ok((asked, went_well))
}
