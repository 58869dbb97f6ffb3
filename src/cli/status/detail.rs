//! One object in full.

use std::io::{self, Write};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::age::age;
use super::line::Line;
use super::table::{colour, wrapped};
use crate::api::{CREATE_ATTEMPT, DeletionPolicy};
use crate::cli::objects::{Object, put_back_by};
use crate::cli::printable;

/// Where the values begin.
const MARGIN: usize = 17;

/// All that is known of it.
pub(super) struct Told<'a> {
    pub object: &'a Object,
    pub line: &'a Line,
    /// The connection that it names, or why that cannot be read.
    pub connection: Option<&'a Result<Line, String>>,
    pub events: &'a Result<Vec<Event>, String>,
    pub now: Timestamp,
}

/// Writes it; where `width` is given, text is broken into lines that fit.
pub(super) fn write(told: &Told<'_>, width: Option<usize>, out: &mut impl Write) -> io::Result<()> {
    let line = told.line;
    match &line.namespace {
        Some(namespace) => writeln!(out, "{} {namespace}/{}", line.kind, line.name)?,
        None => writeln!(out, "{} {}", line.kind, line.name)?,
    }
    for (label, value) in values(told) {
        write_value(&label, &value, width, out)?;
    }
    Ok(())
}

fn write_value(label: &str, value: &str, width: Option<usize>, out: &mut impl Write) -> io::Result<()> {
    let room = width.map(|width| width.saturating_sub(MARGIN).max(30));
    let mut label = if label.is_empty() { String::new() } else { format!("  {label}:") };
    for part in wrapped(value, room) {
        writeln!(out, "{label:MARGIN$}{part}")?;
        label.clear();
    }
    Ok(())
}

/// Labels and values, top to bottom.
fn values(told: &Told<'_>) -> Vec<(String, String)> {
    let Told { object, line, now, .. } = told;
    let mut values: Vec<(String, String)> = Vec::new();
    let mut add = |label: &str, value: String| values.push((label.to_owned(), value));
    add("Ready", standing(line, *now));
    add("What", line.message.clone());
    add("To do", line.next_step.clone());
    if let Some(Err(why)) = &object.webhook {
        add("Unreadable", format!("this version does not understand it: {}", printable(why)));
    }
    if let Some(webhook) = &line.webhook {
        add("Receiver", format!("{} (of the url, only the host is shown)", webhook.host));
        add("Presence", format!("{}, for the user {}", webhook.presence_name, webhook.user_id));
        add(
            "At Orion",
            match (&webhook.webhook_id, &webhook.endpoint) {
                (Some(id), Some(endpoint)) => format!("{id} at {endpoint}"),
                (Some(id), None) => id.clone(),
                (None, _) => "no webhook that is known of".to_owned(),
            },
        );
        add("Connection", connection(told.connection, object, *now));
    } else if let Some(endpoint) = &object.seen.endpoint {
        add("Endpoint", printable(endpoint));
    }
    add(
        "Generation",
        match (line.generation, line.observed_generation) {
            (Some(generation), Some(observed)) if generation == observed => {
                format!("{generation}, which the status is of")
            }
            (Some(generation), Some(observed)) => format!("{generation}; the status is of {observed}"),
            (Some(generation), None) => format!("{generation}; there is no status of it"),
            (None, _) => "-".to_owned(),
        },
    );
    if object.is_suspended() {
        add("Suspended", "spec.suspend is set: nothing is changed at Orion, except a deletion".to_owned());
    }
    if let Some(reconcile) = reconcile(object) {
        add("Reconcile", reconcile);
    }
    if let Some(attempt) = object.open_attempt() {
        let (token, begun, by) = (printable(&attempt.token), printable(&attempt.begun), printable(&attempt.instance));
        add("Create", format!("attempt {token} of {begun} by the installation {by}: its result is not known"));
    } else if object.annotation(CREATE_ATTEMPT).is_some() && object.stored_id().is_none() {
        add("Create", "the last attempt made nothing".to_owned());
    }
    if let Some(value) = object.decision() {
        add("Decision", format!("{}: not acted on yet", printable(value)));
    }
    if let Some(since) = object.meta.deletion_timestamp.as_ref() {
        let policy = object.decoded().map(|webhook| webhook.spec.deletion_policy());
        let then = match policy {
            Some(DeletionPolicy::Delete) => ", which deletes the webhook at Orion first",
            Some(DeletionPolicy::Orphan) => ", which leaves the webhook at Orion (deletionPolicy: Orphan)",
            Some(DeletionPolicy::Unknown) | None => "",
        };
        add("Deleting", format!("for {}{then}. Held by {}", age(since.0, *now), object.finalizers().join(", ")));
    }
    if let Some(who) = put_back_by(object) {
        add("Managed", who);
    }
    for (label, condition) in labelled("Conditions", &object.seen.conditions) {
        add(label, of_a_condition(condition, *now));
    }
    match told.events {
        Ok(events) if events.is_empty() => add("Events", "none".to_owned()),
        Ok(events) => {
            for (label, event) in labelled("Events", events) {
                add(label, of_an_event(event, *now));
            }
        }
        Err(why) => add("Events", format!("not shown: {why}")),
    }
    values
}

/// The first of a list has its label.
fn labelled<'a, T>(label: &'a str, list: &'a [T]) -> impl Iterator<Item = (&'a str, &'a T)> {
    list.iter().enumerate().map(move |(number, each)| (if number == 0 { label } else { "" }, each))
}

fn standing(line: &Line, now: Timestamp) -> String {
    let style = colour(line.standing);
    let ready = line.ready.as_deref().unwrap_or("-");
    let reason = line.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
    let since = line.since.map(|since| format!(", for {}", age(since, now))).unwrap_or_default();
    format!("{style}{ready}{reason}{style:#}{since}")
}

fn connection(named: Option<&Result<Line, String>>, object: &Object, now: Timestamp) -> String {
    let reference = object.decoded().and_then(|webhook| webhook.spec.connection_ref.as_ref());
    match (named, reference) {
        (Some(Ok(line)), _) => {
            let trouble =
                if line.ready.as_deref() == Some("True") { String::new() } else { format!(". {}", line.message) };
            format!("{} {}: {}{trouble}", line.kind, line.name, standing(line, now))
        }
        (Some(Err(why)), _) => why.clone(),
        (None, Some(reference)) => reference.name.clone(),
        (None, None) => "the operator's default one (its --orion-url)".to_owned(),
    }
}

fn reconcile(object: &Object) -> Option<String> {
    let handled = object.seen.last_handled_reconcile_at.as_deref().map(printable);
    match (object.requested_at().map(printable), handled) {
        (Some(asked), _) if object.is_asked() => Some(format!("asked for at {asked}, and not answered yet")),
        (_, Some(handled)) => Some(format!("the one asked for at {handled} is answered")),
        (Some(asked), None) => Some(format!("last asked for at {asked}")),
        (None, None) => None,
    }
}

fn of_a_condition(condition: &Condition, now: Timestamp) -> String {
    let Condition { type_, status, reason, last_transition_time, .. } = condition;
    format!(
        "{}={} {}, for {}",
        printable(type_),
        printable(status),
        printable(reason),
        age(last_transition_time.0, now)
    )
}

/// When the event happened last.
pub(super) fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    series.or(last).or(event.event_time.as_ref().map(|time| time.0))
}

fn of_an_event(event: &Event, now: Timestamp) -> String {
    let ago = last_seen(event).map(|then| format!("{} ago, ", age(then, now))).unwrap_or_default();
    let reason = printable(event.reason.as_deref().unwrap_or_default());
    format!("{ago}{reason}: {}", printable(event.message.as_deref().unwrap_or_default()))
}
