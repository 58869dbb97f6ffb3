//! What `docs/gitops.md` and the pages of its tools tell is so.

use std::path::{Path, PathBuf};

use orion_operator::api::{Schema, crds};
use serde::Deserialize;
use serde_json::Value;

use super::ROOT;
use super::states::{ARGOCD, KINDS, actions, cases, object};

const PAGE: &str = include_str!("../../docs/gitops.md");
const OF_ARGOCD: &str = include_str!("../../docs/gitops-argocd.md");
const OF_FLUX: &str = include_str!("../../docs/gitops-flux.md");

/// States of the table on the page, by its first column.
const STATES: [(&str, &str); 10] = [
    ("not seen by the operator yet", "new"),
    ("in sync", "synced"),
    ("at work", "progressing"),
    ("result of a create not known", "create-uncertain"),
    ("tries again by itself", "orion-unavailable"),
    ("a person must act", "rejected"),
    ("edited, the edit not seen yet", "edited"),
    ("suspended, in sync before", "suspended-in-sync"),
    ("suspended, and not in sync", "suspended"),
    ("being deleted", "deleting"),
];

/// The cells of a page's rows below a row of headings that begins like this.
fn rows(page: &'static str, heading: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = page.split_once(heading).unwrap();
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn in_backticks(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn conditions(object: &Value) -> Vec<String> {
    let list = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    list.iter().map(|it| format!("{}={}", it["type"].as_str().unwrap(), it["status"].as_str().unwrap())).collect()
}

#[test]
fn its_table_is_that_of_the_tools() {
    let rows = rows(PAGE, "| state | conditions |");
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), STATES.map(|(state, _)| state));
    for kind in KINDS {
        let cases = cases(kind).unwrap();
        for (row, (state, name)) in rows.iter().zip(STATES) {
            if kind != "Webhook" && state.starts_with("suspended") {
                continue;
            }
            let case = cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("{kind} {name}"));
            assert_eq!(in_backticks(row[1]), conditions(&case.object), "{kind}: {state}");
            assert_eq!(in_backticks(row[2]), [case.kstatus], "{kind}: {state}");
            assert_eq!(in_backticks(row[3]), [case.argocd], "{kind}: {state}");
        }
    }
}

#[test]
fn its_actions_are_those_that_there_are() {
    let mut told: Vec<&str> = rows(OF_ARGOCD, "| action | does |").iter().map(|row| in_backticks(row[0])[0]).collect();
    told.sort_unstable();
    let there: Vec<&str> = actions(&object("Webhook")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(told, there);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn its_yaml_is_that_of_the_files() {
    let files: Vec<String> = files(&Path::new(ROOT).join("examples/gitops"))
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    for page in [OF_ARGOCD, OF_FLUX] {
        let blocks: Vec<&str> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert_eq!(blocks.len(), 3);
        for block in blocks {
            assert!(files.iter().any(|file| file.contains(block)), "no file of examples/gitops has this:\n{block}");
        }
    }
}

#[test]
fn what_a_team_keeps_in_git_breaks_no_rule() {
    let text = std::fs::read_to_string(Path::new(ROOT).join(ARGOCD).join("team.yaml")).unwrap();
    let schemas: Vec<Schema> = crds().iter().filter_map(Schema::new).collect();
    let documents: Vec<Value> =
        serde_yaml::Deserializer::from_str(&text).map(|it| Value::deserialize(it).unwrap()).collect();
    assert_eq!(documents.len(), 2);
    for object in documents {
        let schema = schemas.iter().find(|schema| schema.is_for(&object)).unwrap();
        assert!(schema.validate(&object).is_empty(), "{object}");
        assert!(object["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"].is_string());
    }
}
