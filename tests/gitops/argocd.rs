//! The files for Argo CD, read by Argo CD's own program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use orion_operator::api::{GROUP, REQUESTED_AT, Schema, crds};
use serde_json::{Value, json};

use super::states::{ARGOCD, Case, KINDS, WAYS_OUT, actions, cases, resolved};
use super::{ROOT, tool};

struct Argocd {
    path: PathBuf,
    home: tempfile::TempDir,
}

impl Argocd {
    /// It takes minutes to make, so it is only used where it is there: `make test-gitops` makes it.
    fn new(test: &str) -> Option<Self> {
        tool(test, &["--cached"], "argocd").map(|path| Self { path, home: tempfile::tempdir().unwrap() })
    }

    fn run(&self, command: &str, object: &Path, more: &[&str]) -> Output {
        let mut argocd = Command::new(&self.path);
        argocd.args(["admin", "settings", "resource-overrides", command]).arg(object).args(more);
        argocd.args(["--argocd-cm-path", "argocd-cm.yaml"]).current_dir(Path::new(ROOT).join(ARGOCD));
        // The object as it becomes, rather than a difference.
        argocd.env("HOME", self.home.path()).env("KUBECTL_EXTERNAL_DIFF", r#"sh -c 'cat "$2"' -"#);
        argocd.env("KUBECONFIG", "/dev/null").stdin(Stdio::null()).output().unwrap()
    }

    /// What it prints. A script that is missing is no failure to Argo CD, so the text is what counts.
    fn says(&self, command: &str, object: &Path, more: &[&str]) -> String {
        let output = self.run(command, object, more);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// The object after an action.
    fn after(&self, object: &Path, action: &[&str]) -> Value {
        let said = self.says("run-action", object, action);
        let yaml = said.split_once("Following fields have been changed:\n").unwrap_or_else(|| panic!("{said}")).1;
        serde_yaml::from_str(yaml).unwrap()
    }
}

/// The fixtures of a kind, with their files.
fn fixtures(kind: &str) -> Vec<(Case, PathBuf)> {
    let folder = Path::new(ROOT).join(ARGOCD).join("resource_customizations").join(GROUP).join(kind).join("testdata");
    let cases = cases(kind).unwrap().into_iter().filter(Case::is_file);
    cases.map(|case| (folder.join(format!("{}.yaml", case.name)), case)).map(|(path, case)| (case, path)).collect()
}

fn fixture(name: &str) -> (Case, PathBuf) {
    fixtures("Webhook").into_iter().find(|(case, _)| case.name == name).unwrap()
}

/// All that health.lua looks at, so that states that are alike in it need but one file.
fn seen(case: &Case) -> Value {
    let conditions = case.object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let shape: Vec<String> = conditions.iter().map(|it| format!("{}={}", it["type"], it["status"])).collect();
    json!([
        shape,
        case.object["metadata"]["deletionTimestamp"].is_string(),
        case.object["spec"]["suspend"],
        case.object["status"]["observedGeneration"] == case.object["metadata"]["generation"],
    ])
}

/// What the apiserver would refuse is no state of an object.
#[test]
fn every_state_is_one_that_an_apiserver_takes() {
    let schemas: Vec<Schema> = crds().iter().filter_map(Schema::new).collect();
    for case in KINDS.iter().flat_map(|kind| cases(kind).unwrap()) {
        let schema = schemas.iter().find(|schema| schema.is_for(&case.object)).unwrap();
        let violations = schema.validate(&case.object);
        assert!(violations.is_empty(), "{}: {violations:?}", case.name);
    }
}

#[test]
fn there_is_a_file_for_every_state() {
    for kind in KINDS {
        let files: Vec<Value> = fixtures(kind).iter().map(|(case, _)| seen(case)).collect();
        for case in cases(kind).unwrap() {
            // Files are few: once deleted, or edited, nothing else is looked at.
            let is_over = case.name.starts_with("deleting-") || case.name.starts_with("edited-after-");
            // No connection is suspended.
            let is_none = kind != "Webhook" && case.name.contains("suspended");
            assert!(files.contains(&seen(&case)) || is_over || is_none, "{kind} {}", case.name);
        }
    }
}

/// No file is left over from a state that has gone: `make generate` does not delete any.
#[test]
fn there_is_no_file_too_many() {
    for kind in KINDS {
        let fixtures = fixtures(kind);
        let folder = fixtures[0].1.parent().unwrap();
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), fixtures.len(), "{kind}");
    }
}

#[test]
fn argo_cd_reads_the_health_of_every_state() {
    let Some(argocd) = Argocd::new("argo_cd_reads_the_health_of_every_state") else { return };
    for kind in KINDS {
        for (case, path) in fixtures(kind) {
            let should = format!("STATUS: {}\nMESSAGE: {}\n", case.argocd, case.message());
            assert_eq!(argocd.says("health", &path, &[]), should, "{kind} {}", case.name);
        }
    }
}

#[test]
fn argo_cd_offers_the_actions_that_fit() {
    let Some(argocd) = Argocd::new("argo_cd_offers_the_actions_that_fit") else { return };
    for (case, path) in fixtures("Webhook") {
        let said = argocd.says("list-actions", &path, &[]);
        let lines: Vec<Vec<&str>> = said.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        let listed: Vec<(&str, bool)> = lines.iter().map(|line| (line[0], line[1] == "true")).collect();
        assert_eq!(listed, actions(&case.object), "{}", case.name);
    }
}

#[test]
fn actions_change_what_they_say_and_nothing_else() {
    let Some(argocd) = Argocd::new("actions_change_what_they_say_and_nothing_else") else { return };
    for way in &WAYS_OUT {
        for (case, path) in fixtures("Webhook").into_iter().filter(|(case, _)| (way.offered)(&case.object)) {
            let parameter = way.parameter.map_or(vec![], |parameter| vec!["--param", parameter]);
            let action: Vec<&str> = std::iter::once(way.action).chain(parameter).collect();
            assert_eq!(argocd.after(&path, &action), resolved(&case.object, way), "{} {}", case.name, way.action);
        }
    }
    let (in_sync, synced) = fixture("synced");
    let (suspended, suspended_path) = fixture("suspended-in-sync");
    assert_eq!(argocd.after(&synced, &["suspend"]), suspended.object);
    assert_eq!(argocd.after(&suspended_path, &["resume"]), in_sync.object);

    // The same again, where there are annotations and where there are none.
    for name in ["synced", "new"] {
        let (before, path) = fixture(name);
        let mut after = argocd.after(&path, &["refresh"]);
        let requested = after["metadata"]["annotations"].as_object_mut().unwrap().remove(REQUESTED_AT).unwrap();
        let requested: jiff::Timestamp = requested.as_str().unwrap().parse().unwrap();
        assert!(requested.duration_until(jiff::Timestamp::now()).as_secs() < 60, "{requested}");
        if before.object["metadata"]["annotations"].is_null() {
            after["metadata"].as_object_mut().unwrap().remove("annotations");
        }
        assert_eq!(after, before.object);
    }
}

/// Rather no decision than a wrong one.
#[test]
fn a_way_out_that_cannot_be_known_is_not_taken() {
    let Some(argocd) = Argocd::new("a_way_out_that_cannot_be_known_is_not_taken") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhook.yaml");
    let (case, _) = fixture("create-unresolved");
    let write = |attempt: Value, settled: Value| {
        let mut object = case.object.clone();
        object["metadata"]["annotations"] = json!({"orion-operator.dev/create-attempt": attempt, "other": "one"});
        object["status"]["settledAttempt"] = settled;
        std::fs::write(&path, object.to_string()).unwrap();
    };
    let retried = || argocd.after(&path, &["retry"])["metadata"]["annotations"]["orion-operator.dev/resolve"].clone();
    for (attempt, settled, value) in [
        ("abc-19z 2026-11-25T12:00:00Z k3vq7a2m", "t", "retry=abc-19z"),
        ("zzz", "t", "retry=zzz"),
        // Settled: only the finalizer is left of an attempt.
        ("abc 2026-11-25T12:00:00Z k3vq7a2m", "abc", "retry=none"),
        ("", "t", "retry=none"),
    ] {
        write(json!(attempt), json!(settled));
        assert_eq!(retried(), value, "{attempt}");
    }
    let refuses = |path: &Path, action: &[&str], why: &str| {
        let output = argocd.run("run-action", path, action);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{action:?}: {said}");
    };
    for attempt in ["ABC 2026-11-25T12:00:00Z k3vq7a2m", "ab\u{e4} x", "ab_c x"] {
        write(json!(attempt), json!("t"));
        refuses(&path, &["retry"], "cannot be read");
    }
    for more in [&["adopt"][..], &["adopt", "--param", "id="]] {
        refuses(&path, more, "the id of the Orion webhook is needed");
    }
    let (_, nothing_stored) = fixture("create-uncertain");
    refuses(&nothing_stored, &["recreate"], "no webhook is stored");
}
