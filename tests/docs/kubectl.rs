//! The `kubectl` commands of all pages, run on a real kube-apiserver, with an operator and a Webhook that is Ready.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use devkit::control_plane::{ControlPlane, Options};
use devkit::sim::{Config, Sim};

use super::commands::commands;
use super::pages::{ROOT, all, page};

const TOKEN: &str = "token-of-the-pages";
/// Those whose commands build on each other, and who has tests for them.
const FOLLOWED: [&str; 4] = [
    "docs/quickstart.md",              // `followed`
    "docs/live-account.md",            // `followed`
    "docs/install.md",                 // tests/chart/page
    "charts/orion-operator/README.md", // the same commands as docs/install.md
];

/// What the last page says is not run.
fn not_run() -> Vec<String> {
    let page = page("docs/compatibility.md").text;
    let table = page.split("| command | what is checked of it |").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

/// Whether it is more than the name of a command. Plugins have tests of their own.
fn is_whole(command: &str) -> bool {
    command.starts_with("kubectl ") && command.split(' ').count() > 2 && !command.starts_with("kubectl orion ")
}

/// A cluster as the pages take it to be, and a folder to be in.
struct Scene {
    plane: ControlPlane,
    folder: tempfile::TempDir,
    _sim: Sim,
    _operator: tokio::process::Child,
}

impl Scene {
    async fn set() -> Self {
        let plane = ControlPlane::start(Options { quiet: true, audit: false, ..Options::default() }).await.unwrap();
        let sim = Sim::start(Config { static_tokens: vec![TOKEN.into()], ..Config::default() }).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in ["crds", "examples"] {
            symlink(Path::new(ROOT).join(name), folder.path().join(name)).unwrap();
        }
        // Files that the pages call the reader's own.
        for (name, like) in [
            ("webhooks.yaml", "webhook.yaml"),
            ("my-webhook.yaml", "webhook.yaml"),
            ("my-rbac.yaml", "install/rbac-namespaced.yaml"),
        ] {
            std::fs::copy(format!("{ROOT}/examples/{like}"), folder.path().join(name)).unwrap();
        }
        // No pod can run here, so none is asked for; the operator is a process.
        let install = std::fs::read_to_string(format!("{ROOT}/examples/install.yaml")).unwrap();
        let install = install.replace("replicas: 1", "replicas: 0");
        for namespace in ["orion-system", "argocd", "team-a", "team-b"] {
            plane.kubectl_ok(&["create", "namespace", namespace]).await.unwrap();
        }
        plane.kubectl_ok(&["create", "configmap", "argocd-cm", "-n", "argocd"]).await.unwrap();
        plane.apply(&install).await.unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, TOKEN).unwrap();
        let mut operator = tokio::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"));
        operator.args(["run", "--operator-namespace", "orion-system", "--orion-url", &sim.url(), "--orion-token-file"]);
        operator.arg(token).args(["--metrics-bind-address", "0", "--health-probe-bind-address", "0"]);
        operator.env("KUBECONFIG", plane.admin_kubeconfig()).stderr(Stdio::null()).kill_on_drop(true);
        let _operator = operator.spawn().unwrap();
        Self { plane, folder, _sim: sim, _operator }
    }

    /// The Webhook is there and Ready, and what a command would make is not.
    async fn prepare(&self) {
        let example = format!("{ROOT}/examples/webhook.yaml");
        self.plane.kubectl_ok(&["apply", "-f", &example]).await.unwrap();
        let ready = ["wait", "--for=condition=Ready", "--timeout=50s", "webhook/job-notifications"];
        self.plane.kubectl_ok(&ready).await.unwrap();
        self.plane.kubectl_ok(&["annotate", "webhook/job-notifications", "orion-operator.dev/resolve-"]).await.unwrap();
        let secret = ["delete", "secret", "orion", "-n", "orion-system", "--ignore-not-found"];
        self.plane.kubectl_ok(&secret).await.unwrap();
    }

    fn run(&self, command: &str) -> std::process::Output {
        let directory = Path::new(self.plane.kubectl().as_std().get_program()).parent().unwrap().to_owned();
        let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap());
        let mut bash = Command::new("timeout");
        bash.args(["1m", "bash", "-euc", command]).current_dir(self.folder.path()).stdin(Stdio::null());
        bash.env("PATH", path).env("KUBECONFIG", self.plane.admin_kubeconfig()).output().unwrap()
    }
}

/// As the reader would type it, who has put a namespace and a name in.
fn typed(command: &str) -> String {
    let command = command.replace("NAMESPACE", "default").replace("NAME ", "job-notifications ");
    let command = command.replace("/NAME", "/job-notifications").replace("name=NAME", "name=job-notifications");
    let command = if command.ends_with(" NAME") { command.replace(" NAME", " job-notifications") } else { command };
    // It is there already.
    command.replace("create namespace orion-system", "get namespace orion-system").replace('…', "nothing")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kubectl_command_does_something() {
    let not_run = not_run();
    let mut told: Vec<(String, String)> = Vec::new();
    for page in all().iter().filter(|page| !FOLLOWED.contains(&page.path.as_str())) {
        let whole = commands(page).into_iter().filter(|command| is_whole(command));
        let run = whole.filter(|command| !not_run.iter().any(|it| command.starts_with(it.as_str())));
        told.extend(run.map(|command| (typed(&command), page.path.clone())));
    }
    // What deletes goes last, as namespaces do not come back.
    told.sort_by_key(|(command, _)| (command.contains("delete namespace"), command.clone()));
    told.dedup_by_key(|(command, _)| command.clone());
    assert!(told.len() >= 40, "{told:?}");

    let scene = Scene::set().await;
    let (mut failed, mut is_as_it_was) = (Vec::new(), false);
    for (command, page) in &told {
        if !is_as_it_was {
            scene.prepare().await;
        }
        let reads = ["get", "describe", "logs", "auth", "wait", "explain", "version"];
        is_as_it_was = reads.contains(&command.split(' ').nth(1).unwrap()) && !command.contains("&&");
        if command.contains("--for=delete") {
            scene.run("kubectl delete webhook job-notifications --wait=false");
            is_as_it_was = false;
        }
        let output = scene.run(command);
        if !output.status.success() {
            failed.push(format!("{page}: {command}\n  {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Nothing is left out that no page has any more, and nothing that a test can do.
#[test]
fn what_is_not_run_is_in_a_page() {
    let told: Vec<String> = all().iter().flat_map(commands).collect();
    for command in not_run() {
        assert!(told.iter().any(|it| it.starts_with(&command)), "{command} is in no page");
    }
    let others = told.iter().filter(|it| ["helm ", "cosign ", "kustomize "].iter().any(|name| it.starts_with(name)));
    let whole = others.filter(|it| it.split(' ').count() > 2);
    let install: Vec<String> = FOLLOWED.iter().flat_map(|path| commands(&page(path))).collect();
    for command in whole {
        let is_told = install.contains(command) || not_run().iter().any(|it| command.starts_with(it.as_str()));
        assert!(is_told, "nobody runs {command}, and docs/compatibility.md does not say so");
    }
}
