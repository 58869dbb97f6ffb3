//! The page itself.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use orion_operator::api::{FailureClass, Reason};
use orion_operator::metrics::Format;
use regex::Regex;

use super::{page, promtool, samples};

#[test]
fn promtool_has_nothing_against_it() {
    let Some(promtool) = promtool("promtool_has_nothing_against_it") else { return };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(page(Format::Text).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn both_formats_tell_the_same() {
    let (text, open) = (page(Format::Text), page(Format::OpenMetrics));
    assert!(open.ends_with("# EOF\n") && !text.contains("# EOF"));
    // They differ in how numbers in labels are written.
    let begins = |page: &str| -> BTreeSet<String> {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
    };
    assert_eq!(begins(&text), begins(&open));
    assert_eq!(text.matches("\norion_operator_").count(), open.matches("\norion_operator_").count());
    for (accept, format) in [
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
            Format::OpenMetrics,
        ),
        ("text/plain;version=0.0.4", Format::Text),
        ("*/*", Format::Text),
        ("", Format::Text),
    ] {
        assert_eq!(Format::accepted(accept), format, "{accept}");
    }
}

/// An increase from nothing to one is none that Prometheus sees.
#[test]
fn what_may_be_counted_one_day_is_there_from_the_beginning() {
    let page = page(Format::Text);
    let count = |begin: &str| page.lines().filter(|line| line.starts_with(begin)).count();
    assert_eq!(count("orion_operator_webhooks{"), Reason::ALL.len());
    assert_eq!(count("orion_operator_connections{"), 3 * Reason::ALL.len());
    assert_eq!(count("orion_operator_orion_requests_total{"), 7 * (FailureClass::ALL.len() + 1));
    assert_eq!(count("controller_runtime_reconcile_total{"), 3 * 4);
    for name in ["orion_operator_left_behind_total 0", "orion_operator_events_dropped_total 0"] {
        assert_eq!(count(name), 1, "{name}");
    }
}

/// The table in docs/operations.md has every metric, and none that is not there.
#[test]
fn docs_have_every_metric() {
    let docs = include_str!("../../docs/operations.md");
    let row = Regex::new(r"(?m)^\| `([a-z_]+)`(?:, `([a-z_]+)`)*").unwrap();
    let name = Regex::new(r"`([a-z]+_[a-z_]+)`").unwrap();
    let cells = row.find_iter(docs).map(|found| found.as_str());
    let told: BTreeSet<String> = cells.flat_map(|cell| name.captures_iter(cell).map(|it| it[1].to_owned())).collect();
    // Of a histogram, the name alone.
    let page = page(Format::Text);
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let families: BTreeSet<String> = families.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(told, families);
    assert!(samples().len() > families.len());
}
