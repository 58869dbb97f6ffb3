//! `orion-operator import`: manifests for the webhooks that an Orion has already.

mod manifest;
mod names;
mod render;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};

use self::manifest::{Imported, LeftOut, Wanted, import};
use self::render::RenderError;
use super::Error;
use super::cluster::{ClusterError, InstallationArgs};
use super::connection::{ConnectionArgs, ConnectionError};
use crate::api::{self, ConnectionKind, Failure, RemoteWebhook, Schema, Support, crds};
use crate::orion::{HttpOrion, Orion, Oversight};

/// One line of progress for so many webhooks that are read one by one.
const TELL_EACH: usize = 50;

/// Arguments of `import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// Which Orion.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Which installation: its own webhooks are left out.
    #[command(flatten)]
    pub installation: InstallationArgs,
    /// Namespace of the manifests [default: none, so that kubectl says which]
    #[arg(long, value_name = "NAME", value_parser = parse_namespace)]
    pub namespace: Option<String>,
    /// The connection of the Webhooks [default: none, which is the operator's own]
    #[arg(long, value_name = "[KIND/]NAME")]
    pub connection_ref: Option<ConnectionName>,
    /// What becomes of a webhook at Orion when its Webhook is deleted
    #[arg(long, value_enum, default_value = "Orphan", ignore_case = true)]
    pub deletion_policy: Policy,
    /// Write no values of headers that look secret: Webhooks name Secrets that you create
    #[arg(long)]
    pub no_secrets: bool,
    /// Take over webhooks of other installations too, by force
    #[arg(long)]
    pub all: bool,
    /// Write into this file instead of the standard output
    #[arg(long, value_name = "FILE", conflicts_with = "kustomize")]
    pub output_file: Option<PathBuf>,
    /// Write a kustomization into this directory, with a file for each object
    #[arg(long, value_name = "DIR")]
    pub kustomize: Option<PathBuf>,
}

/// What becomes of a webhook at Orion when its Webhook is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// It is deleted.
    #[value(name = "Delete")]
    Delete,
    /// It stays.
    #[value(name = "Orphan")]
    Orphan,
}

/// The name of a connection, with its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionName(api::ConnectionRef);

impl FromStr for ConnectionName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = match text.split_once('/') {
            Some(("OrionConnection", name)) => (Some(ConnectionKind::OrionConnection), name),
            Some(("ClusterOrionConnection", name)) => (Some(ConnectionKind::ClusterOrionConnection), name),
            Some(_) => return Err("the kind must be OrionConnection or ClusterOrionConnection"),
            None => (None, text),
        };
        Ok(Self(api::ConnectionRef { kind, name: name.to_owned() }))
    }
}

fn parse_namespace(text: &str) -> Result<String, &'static str> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = !text.is_empty() && text.len() <= 63 && text.chars().all(is_inner);
    if is_name && !text.starts_with('-') && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("the name of a namespace has lower-case letters, digits and - only, and no - at its ends")
    }
}

/// Why there are no manifests.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ImportError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the runtime: {0}")]
    Runtime(io::Error),
    #[error("Orion's webhooks cannot be read: {}", .0.message)]
    Orion(Failure),
    #[error("Orion's list is not complete: {0}. Try again")]
    Flawed(String),
    #[error("--all needs to know which webhooks are this installation's own: give --instance-id, or {0}")]
    Instance(ClusterError),
    #[error("the manifests cannot be written as YAML: {0}")]
    Render(#[from] RenderError),
    #[error("cannot write {path}: {source}")]
    File { path: PathBuf, source: io::Error },
}

/// Writes the manifests to `out`, or to files.
pub(super) fn run(args: &ImportArgs, out: &mut impl Write) -> Result<(), Error> {
    super::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ImportError::Runtime)?;
    let (orion, webhooks, wanted) = runtime.block_on(async {
        let orion = args.connection.orion(&Oversight::default())?.ok_or(ConnectionError::NoUrl)?;
        let wanted = wanted(args).await?;
        let webhooks = read(&orion).await?;
        Ok::<_, ImportError>((orion, webhooks, wanted))
    })?;
    let host = orion.endpoint().host();
    let (imported, left_out) = manifests(&webhooks, &wanted);
    write(args, &host, &imported, &left_out, out)?;
    tell(&imported, &left_out);
    Ok(())
}

/// What is asked for. Without --all a cluster is not needed: only the words on what is left out are less exact.
async fn wanted(args: &ImportArgs) -> Result<Wanted, ImportError> {
    let instance = match args.installation.instance_or_ask().await {
        Ok(instance) => {
            eprintln!(
                "this installation is {}: if another one is meant, give its --operator-namespace",
                instance.prefix()
            );
            Some(instance)
        }
        Err(error) if args.all => return Err(ImportError::Instance(error)),
        Err(_) => {
            eprintln!("which installation this is cannot be told without a cluster or --instance-id");
            None
        }
    };
    Ok(Wanted {
        namespace: args.namespace.clone(),
        deletion_policy: match args.deletion_policy {
            Policy::Delete => api::DeletionPolicy::Delete,
            Policy::Orphan => api::DeletionPolicy::Orphan,
        },
        connection: args.connection_ref.clone().map(|name| name.0),
        no_secrets: args.no_secrets,
        all: args.all,
        instance,
    })
}

/// Every webhook, by id. What the list does not show of one is read of it alone.
async fn read(orion: &HttpOrion) -> Result<Vec<RemoteWebhook>, ImportError> {
    eprintln!("reading the webhooks of {}", orion.endpoint().host());
    orion.discover().await.map_err(ImportError::Orion)?;
    let listing = orion.list().await.map_err(ImportError::Orion)?;
    if let Some(flaw) = listing.flaw {
        return Err(ImportError::Flawed(flaw));
    }
    let count = listing.webhooks.len();
    eprintln!("{count} webhooks are there");
    let mut webhooks = Vec::with_capacity(count);
    for (number, webhook) in listing.webhooks.into_iter().enumerate() {
        if number > 0 && number.is_multiple_of(TELL_EACH) {
            eprintln!("{number} of {count} read");
        }
        let is_whole = webhook.url.is_some()
            && webhook.user_id.is_some()
            && webhook.presence_name.is_some()
            && webhook.headers.is_some();
        let is_readable = orion.capabilities().get != Support::Absent;
        webhooks.push(if is_whole || !is_readable {
            webhook
        } else {
            match orion.get(&webhook.id).await {
                Ok(whole) => RemoteWebhook { id: webhook.id, ..whole },
                Err(failure) if failure.class.is_absent() => webhook,
                Err(failure) => return Err(ImportError::Orion(failure)),
            }
        });
    }
    webhooks.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(webhooks)
}

fn manifests(webhooks: &[RemoteWebhook], wanted: &Wanted) -> (Vec<Imported>, Vec<LeftOut>) {
    let Some(schema) = crds().iter().filter_map(Schema::new).find(|schema| schema.kind() == "Webhook") else {
        return (Vec::new(), Vec::new());
    };
    let (mut imported, mut left_out) = (Vec::new(), Vec::new());
    for webhook in webhooks {
        match import(webhook, wanted, &schema) {
            Ok(made) => imported.push(made),
            Err(left) => left_out.push(left),
        }
    }
    (imported, left_out)
}

fn write(
    args: &ImportArgs,
    host: &str,
    imported: &[Imported],
    left_out: &[LeftOut],
    out: &mut impl Write,
) -> Result<(), Error> {
    if let Some(directory) = &args.kustomize {
        let broken = |source| ImportError::File { path: directory.clone(), source };
        fs::create_dir_all(directory).map_err(broken)?;
        for file in render::kustomize(host, imported, left_out).map_err(ImportError::from)? {
            write_file(&directory.join(&file.name), &file.text, file.is_secret)?;
        }
        return Ok(());
    }
    let text = render::one(host, imported, left_out).map_err(ImportError::from)?;
    match &args.output_file {
        Some(path) => write_file(path, &text, imported.iter().any(|each| each.secret.is_some()))?,
        None => out.write_all(text.as_bytes())?,
    }
    Ok(())
}

/// What holds values of Secrets is for its owner alone.
fn write_file(path: &Path, text: &str, is_secret: bool) -> Result<(), ImportError> {
    let mode = if is_secret { 0o600 } else { 0o644 };
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| ImportError::File { path: path.to_owned(), source })
}

fn tell(imported: &[Imported], left_out: &[LeftOut]) {
    let secrets = imported.iter().filter(|each| each.secret.is_some()).count();
    let noted = imported.iter().filter(|each| !each.notes.is_empty()).count();
    eprintln!("{} Webhooks and {secrets} Secrets written, {} left out", imported.len(), left_out.len());
    if noted > 0 {
        eprintln!("{noted} of them need a look: a comment above each says why, and what to do");
    }
    for left in left_out {
        eprintln!("left out: {}: {}", super::printable(&left.id), super::printable(&left.why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_one() {
        assert_eq!(parse_namespace("team-a"), Ok("team-a".into()));
        for text in ["", "-a", "a-", "A", "a.b", &"a".repeat(64)] {
            assert!(parse_namespace(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_connection_has_a_kind_or_none() {
        let name = |text: &str| text.parse::<ConnectionName>().map(|name| (name.0.kind, name.0.name));
        assert_eq!(name("acme"), Ok((None, "acme".to_owned())));
        assert_eq!(name("OrionConnection/acme"), Ok((Some(ConnectionKind::OrionConnection), "acme".to_owned())));
        assert_eq!(
            name("ClusterOrionConnection/acme"),
            Ok((Some(ConnectionKind::ClusterOrionConnection), "acme".to_owned()))
        );
        assert!(name("Secret/acme").is_err());
    }
}
