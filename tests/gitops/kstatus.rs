//! The library by which Flux and Helm 4 tell whether an object is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use orion_operator::api::Reason;
use serde_json::Value;

use super::states::{KINDS, TABLE, cases, object};
use super::tool;

/// What kstatus says of each object, in their order.
fn computed(kstatus: &Path, objects: &[Value]) -> Vec<String> {
    let mut child = Command::new(kstatus).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(documents.join("\n---\n").as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let statuses: Vec<String> = lines.lines().map(|line| line.split('\t').nth(1).unwrap().to_owned()).collect();
    assert_eq!(statuses.len(), objects.len(), "{lines}");
    statuses
}

#[test]
fn the_table_has_every_reason_once() {
    let told: Vec<Reason> = TABLE.iter().flat_map(|row| row.reasons.iter().copied()).collect();
    let all: BTreeSet<Reason> = Reason::ALL.iter().copied().collect();
    assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), all);
    assert_eq!(told.len(), all.len());
}

#[test]
fn kstatus_reads_every_state_as_the_table_says() {
    let Some(kstatus) = tool("kstatus_reads_every_state_as_the_table_says", &[], "kstatus") else { return };
    for kind in KINDS {
        let cases = cases(kind).unwrap();
        // Alive, deleting and edited since, in each reason, and new; a Webhook in sync may be suspended.
        let more = if kind == "Webhook" { 1 } else { 0 };
        assert_eq!(cases.len(), 3 * Reason::ALL.len() - 1 + 1 + more, "{kind}");
        let objects: Vec<Value> = cases.iter().map(|case| case.object.clone()).collect();
        let is: BTreeMap<&str, String> =
            cases.iter().map(|case| case.name.as_str()).zip(computed(&kstatus, &objects)).collect();
        let should: BTreeMap<&str, String> =
            cases.iter().map(|case| (case.name.as_str(), case.kstatus.to_owned())).collect();
        assert_eq!(is.len(), cases.len(), "two have one name");
        assert_eq!(is, should, "{kind}");
    }
}

/// The definition's default for `status` is what keeps tools from taking a new object for a ready one.
#[test]
fn what_no_operator_has_seen_is_not_ready() {
    let Some(kstatus) = tool("what_no_operator_has_seen_is_not_ready", &[], "kstatus") else { return };
    for kind in KINDS {
        let new = cases(kind).unwrap().into_iter().find(|case| case.name == "new").unwrap().object;
        assert_eq!(new["status"], serde_json::json!({"observedGeneration": -1}));
        assert_eq!(computed(&kstatus, &[new, object(kind)]), ["InProgress", "Current"], "{kind}");
    }
}
