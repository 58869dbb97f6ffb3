//! The metrics page, and what is made of it: alerts, runbook, dashboard, docs. Nothing of them may name what is not there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod alerts;
mod dashboard;
mod page;
#[path = "../chart/tools.rs"]
#[allow(dead_code)]
mod tools;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use orion_operator::metrics::{Census, Counted, Ending, Format, Metrics, OrionCall};
use regex::Regex;
use tower::{Layer, ServiceExt};

/// How it stands where nothing is.
struct Nothing;

impl Counted for Nothing {
    fn census(&self) -> Census {
        Census::default()
    }
}

/// A page with everything that can be on it.
fn page(format: Format) -> String {
    let metrics = Metrics::default();
    let nothing: Arc<dyn Counted> = Arc::new(Nothing);
    metrics.asks(Arc::downgrade(&nothing));
    metrics.leading("orion-operator", true);
    metrics.line.at_most(16);
    drop(metrics.line.enter());
    metrics.webhooks.begins().ended(Ending::RequeueAfter);
    metrics.orion.ended(OrionCall::List, None, Duration::from_millis(20));
    let answer = tower::service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(())));
    let counted = metrics.count_requests("10.96.0.1:443").layer(answer);
    futures::executor::block_on(counted.oneshot(Request::new(()))).unwrap();
    metrics.page(format)
}

/// The names of samples on it, with their suffixes.
fn samples() -> BTreeSet<String> {
    let page = page(Format::Text);
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// The names of metrics in an expression.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    // Labels' values are no names.
    let bare = Regex::new(r#""[^"]*""#).unwrap().replace_all(expression, "");
    let name = Regex::new(r"\b(orion_operator|controller_runtime|workqueue|rest_client|leader_election|process)_\w+");
    name.unwrap().find_iter(&bare).map(|found| found.as_str().to_owned()).collect()
}

/// Every metric of an expression is on the page.
fn is_known(place: &str, expression: &str) {
    let (named, known) = (metrics_of(expression), samples());
    assert!(!named.is_empty(), "{place} names no metric of ours: {expression}");
    let unknown: Vec<&String> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "{place}: the page has no {unknown:?}");
}

fn promtool(test: &str) -> Option<PathBuf> {
    tools::tool(test, "promtool")
}
