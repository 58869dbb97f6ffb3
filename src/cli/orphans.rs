//! `orion-operator orphans`: webhooks at Orion that carry this installation's marker and have no Webhook.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use kube::Client;

use super::cluster::{APISERVER_TIMEOUT, ClusterArgs, ClusterError};
use super::connection::{ConnectionArgs, ConnectionError};
use super::{Error, printable};
use crate::api::{Failure, FailureClass, InstanceId, RemoteWebhook};
use crate::controller::{ApiError, Clock, SystemClock, orphans};
use crate::orion::{HttpOrion, Orion, Oversight};
use crate::plan::{Snapshot, url_host};

/// Between the two rounds that it takes to call one an orphan: a deletion under way ends meanwhile.
const APART: Duration = Duration::from_secs(5);

/// Arguments of `orphans`.
#[derive(Args, Debug)]
pub struct OrphansArgs {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which Orion.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Delete these ids at Orion, if they are orphans
    #[arg(long, value_name = "ID", num_args = 1..)]
    pub delete: Vec<String>,
}

/// Why orphans could not be told, or not be deleted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum OrphansError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("Orion's list: {}", .0.message)]
    List(Failure),
    #[error("Orion's list is not complete: {0}. Try again")]
    Flawed(String),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("{0}: no orphan of this installation, so nothing was deleted. Without --delete the orphans are listed")]
    NotOrphans(String),
    #[error("{id} was not deleted: {}", .failure.message)]
    Delete { id: String, failure: Failure },
}

/// Lists orphans to `out`, or deletes them.
pub(super) fn run(args: &OrphansArgs, out: &mut impl Write) -> Result<(), Error> {
    super::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(OrphansError::Runtime)?;
    runtime.block_on(async {
        let orion =
            args.connection.orion(&Oversight::default()).map_err(OrphansError::from)?.ok_or(ConnectionError::NoUrl);
        let orion = orion.map_err(OrphansError::from)?;
        let client = args.cluster.installation.client().await.map_err(OrphansError::from)?;
        let instance = args.cluster.installation.instance(&client).await.map_err(OrphansError::from)?;
        let search = Search { args, orion, client, instance };
        let orphans = search.orphans().await?;
        if args.delete.is_empty() {
            search.tell(&orphans, out)?
        } else {
            search.delete(&orphans, out).await?
        }
        Ok(())
    })
}

struct Search<'a> {
    args: &'a OrphansArgs,
    orion: HttpOrion,
    client: Client,
    instance: InstanceId,
}

/// What two rounds have found.
struct Found {
    orphans: Vec<RemoteWebhook>,
    /// Markers of other installations in the list: instance prefixes.
    others: BTreeSet<String>,
    shows_markers: bool,
    listed: usize,
}

impl Search<'_> {
    async fn orphans(&self) -> Result<Found, OrphansError> {
        let (first, ids) = self.round().await?;
        let others = first.webhooks().filter_map(|webhook| webhook.owner());
        let others = others.map(|owner| owner.instance_prefix().to_owned());
        let mut found = Found {
            orphans: Vec::new(),
            others: others.filter(|prefix| prefix != self.instance.prefix()).collect(),
            shows_markers: first.shows_markers(),
            listed: first.webhooks().count(),
        };
        if !ids.is_empty() {
            eprintln!("{} without a Webhook; looking again in {} s to be sure", count(ids.len()), APART.as_secs());
            tokio::time::sleep(APART).await;
            let (second, again) = self.round().await?;
            found.orphans = ids.intersection(&again).filter_map(|id| second.get(id).cloned()).collect();
        }
        Ok(found)
    }

    async fn round(&self) -> Result<(Snapshot, BTreeSet<String>), OrphansError> {
        let begun = SystemClock.boot();
        let listing = self.orion.list().await.map_err(OrphansError::List)?;
        if let Some(flaw) = listing.flaw {
            return Err(OrphansError::Flawed(flaw));
        }
        let list = Snapshot::new(begun, listing.webhooks, None);
        let namespaces = self.args.cluster.namespaces();
        let ids = orphans::look(&self.client, APISERVER_TIMEOUT, &self.instance, namespaces.as_ref(), &list).await?;
        Ok((list, ids))
    }

    fn tell(&self, found: &Found, out: &mut impl Write) -> std::io::Result<()> {
        let (host, prefix) = (self.orion.endpoint().host(), self.instance.prefix());
        let orphans = count(found.orphans.len());
        writeln!(out, "{orphans} at {host} with the marker of this installation ({prefix}) and without a Webhook.")?;
        if found.listed > 0 && !found.shows_markers {
            writeln!(
                out,
                "None of the {} shows a marker that can be read, so orphans cannot be told here.",
                found.listed
            )?;
        }
        if !found.others.is_empty() {
            let others: Vec<&str> = found.others.iter().map(String::as_str).collect();
            let others = others.join(", ");
            writeln!(
                out,
                "Other installations have webhooks here: {others}. If one of them is meant, give its --operator-namespace or --instance-id."
            )?;
        }
        let Some(first) = found.orphans.first() else { return Ok(()) };
        let row = |webhook: &RemoteWebhook| {
            let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
            let host = webhook.url.as_deref().map_or_else(|| "-".into(), url_host);
            [webhook.id.clone(), shown(&webhook.presence_name), shown(&webhook.user_id), host]
                .map(|text| printable(&text))
        };
        let head = ["ID", "PRESENCE NAME", "USER ID", "URL'S HOST"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(found.orphans.iter().map(row)).collect();
        let width =
            |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max();
        writeln!(out)?;
        for row in &rows {
            let cells = row.iter().enumerate().map(|(column, text)| format!("{text:0$}", width(column).unwrap_or(0)));
            writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        writeln!(
            out,
            "\nA Webhook of the same namespace and name takes its webhook back. To delete one, give the same command --delete {}",
            first.id
        )
    }

    async fn delete(&self, found: &Found, out: &mut impl Write) -> Result<(), Error> {
        let is_orphan = |id: &&String| found.orphans.iter().any(|webhook| webhook.id == **id);
        let wrong: Vec<&str> = self.args.delete.iter().filter(|id| !is_orphan(id)).map(String::as_str).collect();
        if !wrong.is_empty() {
            return Err(OrphansError::NotOrphans(wrong.join(", ")).into());
        }
        for id in &self.args.delete {
            match self.orion.delete(id).await {
                Ok(()) => writeln!(out, "{id} deleted")?,
                Err(failure) if failure.class == FailureClass::NotFound && failure.json => {
                    writeln!(out, "{id} was gone already")?;
                }
                Err(failure) => return Err(OrphansError::Delete { id: id.clone(), failure }.into()),
            }
        }
        Ok(())
    }
}

fn count(number: usize) -> String {
    if number == 1 { "1 webhook".to_owned() } else { format!("{number} webhooks") }
}
