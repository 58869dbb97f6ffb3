//! Programs that the tests of the chart run: `hack/tools` finds them, or makes them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::Deserialize;
use serde_json::Value;

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/orion-operator");
/// The least Kubernetes that the chart is for. Helm 3, made from its module, takes 1.20 where no cluster tells.
const KUBERNETES: &str = "1.31.0";

/// The path of a tool, or `None` where it can neither be found nor made. Then `test` is skipped.
pub fn tool(test: &str, name: &str) -> Option<PathBuf> {
    let output = Command::new("hack/tools").arg(name).current_dir(ROOT).stderr(Stdio::inherit()).output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()));
    }
    skip(test, &format!("{name} is not there and could not be made, see above"));
    None
}

/// Says past libtest's capture that a test is skipped; `hack/test` counts it.
pub fn skip(test: &str, why: &str) {
    std::io::stderr().write_all(format!("skipped: {test}: {why}\n").as_bytes()).unwrap();
}

/// A Helm that reads and writes nothing of the user's.
pub struct Helm {
    pub path: PathBuf,
    home: tempfile::TempDir,
}

impl Helm {
    /// `name` is `helm3` or `helm4`.
    pub fn new(test: &str, name: &str) -> Option<Self> {
        tool(test, name).map(|path| Self { path, home: tempfile::tempdir().unwrap() })
    }

    pub fn command(&self, kubeconfig: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.env("KUBECONFIG", kubeconfig).env("HOME", self.home.path());
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, self.home.path().join(variable));
        }
        command
    }

    /// Renders the chart without a cluster, for the namespace orion-system.
    pub fn template(&self, more: &[&str]) -> String {
        let args = ["template", "orion", CHART, "--namespace", "orion-system", "--kube-version", KUBERNETES];
        ok(self.command(Path::new("/dev/null")).args(args).args(more))
    }
}

/// Runs a command that must succeed; gives what it printed.
pub fn ok(command: &mut Command) -> String {
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{printed}{said}", output.status);
    printed
}

pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// The objects of a file with several documents.
pub fn objects(yaml: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(yaml);
    documents.map(|document| Value::deserialize(document).unwrap()).filter(|object| !object.is_null()).collect()
}

pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("there is no {kind}"))
}

/// The operator's arguments, as its Deployment has them.
pub fn arguments(deployment: &Value) -> Vec<String> {
    serde_json::from_value(deployment["spec"]["template"]["spec"]["containers"][0]["args"].clone()).unwrap()
}

/// The files with values that the chart is tried with.
pub fn sets_of_values() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(format!("{CHART}/ci")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 7, "{files:?}");
    files
}
