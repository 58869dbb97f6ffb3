//! `status`: every Webhook, what is wrong with it, since when, and what to do.

mod age;
mod detail;
mod line;
mod table;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde::Serialize;

use self::line::{Line, Standing, Summary};
use super::Error;
use super::objects::{Cluster, Kind, Named, Object, ObjectError, Scope, WhereArgs, block_on, within};
use super::plugin::Program;
use super::test_delivery::Form;
use crate::api::{ConnectionKind, WebhookSpec};

/// Events that are shown.
const EVENTS: usize = 5;

/// Arguments of `status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Tell all about these, like jobs, oconn/acme or coconn/shared [default: a table of all Webhooks]
    #[arg(value_name = "NAME", conflicts_with_all = ["selector", "all_namespaces"])]
    pub names: Vec<Named>,
    /// Which cluster, and where in it.
    #[command(flatten)]
    pub at: WhereArgs,
    /// All namespaces: so it is without --namespace too, where you may list them
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Only Webhooks with these labels, like team=data
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// Exit with 1 unless everything that is shown is ready
    #[arg(long)]
    pub check: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Form,
}

/// All that is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    webhooks: Vec<Line>,
    connections: Vec<Line>,
    summary: Summary,
}

/// Tells it to `out`.
pub(super) fn run(args: &StatusArgs, program: Program, out: &mut impl Write) -> Result<ExitCode, Error> {
    block_on(async {
        let cluster = Cluster::connect(&args.at).await.map_err(ObjectError::from)?;
        let report = if args.names.is_empty() {
            table(args, &cluster, program, out).await?
        } else {
            each(args, &cluster, program, out).await?
        };
        if args.output == Form::Json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?)?;
        }
        let is_ready = |line: &Line| line.standing == Standing::Ready;
        let all = report.webhooks.iter().chain(&report.connections).all(is_ready);
        Ok(if args.check && !all { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

async fn table(args: &StatusArgs, cluster: &Cluster, program: Program, out: &mut impl Write) -> Result<Report, Error> {
    let (scope, webhooks) = webhooks(args, cluster).await?;
    // Labels of Webhooks say nothing of connections.
    let connections = if args.selector.is_none() { connections(cluster, &scope).await } else { Vec::new() };
    let now = Timestamp::now();
    let lines = |objects: &[Object]| {
        let mut lines: Vec<Line> = objects.iter().map(|object| Line::new(object, now, program)).collect();
        lines.sort_by(Line::worst_first);
        lines
    };
    let webhooks = lines(&webhooks);
    let report = Report { summary: Summary::of(&webhooks), webhooks, connections: lines(&connections) };
    if report.webhooks.is_empty() {
        eprintln!("{}", none(&scope, args.selector.is_some()));
    }
    if args.output == Form::Text {
        show(&report, now, out)?;
    }
    Ok(report)
}

/// The Webhooks, and of where they are.
async fn webhooks(args: &StatusArgs, cluster: &Cluster) -> Result<(Scope, Vec<Object>), ObjectError> {
    let list = async |scope: Scope| {
        let found = cluster.list(Kind::Webhook, &scope, args.selector.as_deref()).await;
        found.map(|found| (scope, found))
    };
    if let Some(namespace) = &args.at.namespace {
        return list(Scope::Namespace(namespace.clone())).await;
    }
    match list(Scope::All).await {
        Err(ObjectError::Forbidden { .. }) if !args.all_namespaces => {
            let namespace = &cluster.namespace;
            eprintln!("you may not list the Webhooks of all namespaces: these are those of {namespace}");
            list(Scope::Namespace(namespace.clone())).await
        }
        result => result,
    }
}

/// The connections, as far as they may be read.
async fn connections(cluster: &Cluster, scope: &Scope) -> Vec<Object> {
    let mut connections = Vec::new();
    for kind in [Kind::Connection, Kind::ClusterConnection] {
        match cluster.list(kind, scope, None).await {
            Ok(found) => connections.extend(found),
            Err(error) => eprintln!("{} are not looked at: {error}", kind.plural()),
        }
    }
    connections
}

fn show(report: &Report, now: Timestamp, out: &mut impl Write) -> std::io::Result<()> {
    let webhooks: Vec<&Line> = report.webhooks.iter().collect();
    let troubled: Vec<&Line> = report.connections.iter().filter(|line| line.standing != Standing::Ready).collect();
    table::write(&webhooks, now, width(), out)?;
    if !troubled.is_empty() {
        writeln!(out, "\nConnections that are not ready:")?;
        table::write(&troubled, now, width(), out)?;
    }
    if !webhooks.is_empty() {
        writeln!(out, "\n{}", report.summary)?;
    }
    Ok(())
}

fn none(scope: &Scope, with_labels: bool) -> String {
    let with = if with_labels { " with these labels" } else { "" };
    match scope {
        Scope::All => format!("There are no Webhooks{with} in this cluster"),
        Scope::Namespace(namespace) => {
            format!("There are no Webhooks{with} in the namespace {namespace}. Those of all namespaces: -A")
        }
    }
}

async fn each(args: &StatusArgs, cluster: &Cluster, program: Program, out: &mut impl Write) -> Result<Report, Error> {
    let (mut webhooks, mut connections) = (Vec::new(), Vec::new());
    for (number, named) in args.names.iter().enumerate() {
        let object = cluster.get(named).await?;
        let used = connection(cluster, &object).await;
        let events = events(cluster, &object).await;
        let now = Timestamp::now();
        let line = Line::new(&object, now, program);
        let used = used.map(|used| used.map(|used| Line::new(&used, now, program)));
        if args.output == Form::Text {
            if number > 0 {
                writeln!(out)?;
            }
            let told = detail::Told { object: &object, line: &line, connection: used.as_ref(), events: &events, now };
            detail::write(&told, width(), out)?;
        }
        match named.kind {
            Kind::Webhook => webhooks.push(line),
            Kind::Connection | Kind::ClusterConnection => connections.push(line),
        }
        connections.extend(used.and_then(Result::ok));
    }
    Ok(Report { summary: Summary::of(&webhooks), webhooks, connections })
}

/// The connection that a Webhook names, or why it cannot be read.
async fn connection(cluster: &Cluster, object: &Object) -> Option<Result<Object, String>> {
    let named = used(&object.decoded()?.spec)?;
    Some(cluster.get(&named).await.map_err(|error| error.to_string()))
}

fn used(spec: &WebhookSpec) -> Option<Named> {
    let reference = spec.connection_ref.as_ref()?;
    let kind = match reference.kind.unwrap_or_default() {
        ConnectionKind::OrionConnection => Kind::Connection,
        ConnectionKind::ClusterOrionConnection => Kind::ClusterConnection,
        ConnectionKind::Unknown => return None,
    };
    Some(Named { kind, name: reference.name.clone() })
}

/// The last Events about the object, oldest first, or why they cannot be read.
async fn events(cluster: &Cluster, object: &Object) -> Result<Vec<Event>, String> {
    // Those of what is in no namespace are in this one.
    let namespace = object.meta.namespace.as_deref().unwrap_or("default");
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), namespace);
    let uid = object.meta.uid.as_deref().unwrap_or_default();
    let params = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    let found = within("list Events", api.list(&params)).await;
    let mut events = found.map_err(|failed| failed.explained(Kind::Webhook).to_string())?.items;
    events.sort_by_key(detail::last_seen);
    Ok(events.split_off(events.len().saturating_sub(EVENTS)))
}

/// The width of the terminal; `None` where there is none.
fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}
