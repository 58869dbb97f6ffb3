//! The program in its own root file system, with nothing else there, as the user of the image.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use devkit::control_plane::{ControlPlane, Options};
use devkit::sim::{Config, Sim};
use serde_json::Value;

use super::layout::{Image, ROOT, ok, skip};

const TOKEN: &str = "token-of-the-tests-of-the-image";

/// The program in this root. Linux lets only root change it.
fn in_root(root: &Path) -> Command {
    let mut command = Command::new("chroot");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    command.arg("--userspec=65532:65532").arg(root).arg("/orion-operator");
    command
}

fn image(test: &str) -> Option<Image> {
    let image = Image::of_this_tree(test)?;
    if ok(Command::new("id").arg("-u")).trim() != "0" {
        skip(test, "only root may change the root of a process");
        return None;
    }
    Some(image)
}

/// Files that a pod would have by mounts: readable, and nothing more.
fn mount(root: &Path, name: &str, content: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    ok(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(root));
}

/// A kubeconfig that names no file.
fn self_contained(kubeconfig: &Path) -> String {
    let mut config: Value = serde_yaml::from_str(&std::fs::read_to_string(kubeconfig).unwrap()).unwrap();
    let cluster = config["clusters"][0]["cluster"].as_object_mut().unwrap();
    let authority = cluster.remove("certificate-authority").unwrap();
    let authority = std::fs::read(authority.as_str().unwrap()).unwrap();
    cluster.insert("certificate-authority-data".into(), BASE64.encode(&authority).into());
    config.to_string()
}

struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_starts_alone() {
    let Some(image) = image("it_starts_alone") else { return };
    let root = image.unpacked();
    let version = ok(in_root(root.path()).arg("--version"));
    let commit = image.label("revision");
    assert_eq!(version.trim(), format!("orion-operator {} (commit {commit})", env!("CARGO_PKG_VERSION")));
    assert!(ok(in_root(root.path()).arg("crds")).contains("webhooks.orion-operator.dev"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_the_main_job() {
    let Some(image) = image("it_does_the_main_job") else { return };
    let plane = ControlPlane::start(Options { quiet: true, audit: false, ..Options::default() }).await.unwrap();
    let sim = Sim::start(Config { static_tokens: vec![TOKEN.into()], ..Config::default() }).await.unwrap();
    plane.install_crds(&Path::new(ROOT).join("crds")).await.unwrap();
    for file in ["examples/install/rbac.yaml", "examples/webhook.yaml"] {
        plane.kubectl_ok(&["apply", "-f", &format!("{ROOT}/{file}")]).await.unwrap();
    }
    let kubeconfig = plane.service_account_kubeconfig("orion-system", "orion-operator").await.unwrap();
    let root = image.unpacked();
    mount(root.path(), "etc/orion/token", TOKEN);
    mount(root.path(), "etc/kube/config", &self_contained(&kubeconfig));
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = in_root(root.path());
    command.args(["run", "--kubeconfig", "/etc/kube/config", "--operator-namespace", "orion-system"]);
    command.args(["--orion-url", &sim.url(), "--orion-token-file", "/etc/orion/token"]);
    command.args(["--metrics-bind-address", "0", "--health-probe-bind-address", "0"]);
    command.stdout(Stdio::null()).stderr(log.reopen().unwrap());
    let mut operator = Operator(command.spawn().unwrap());

    let ready = ["wait", "--for=condition=Ready", "--timeout=55s", "webhook", "--all"];
    let ready = plane.kubectl_ok(&ready).await;
    assert!(ready.is_ok(), "{ready:?}\n{}", std::fs::read_to_string(log.path()).unwrap());
    assert_eq!(sim.webhooks().len(), 1);
    // Asked to stop, it ends well.
    ok(Command::new("kill").arg(operator.0.id().to_string()));
    let deadline = Instant::now() + Duration::from_secs(40);
    let ended = loop {
        if let Some(ended) = operator.0.try_wait().unwrap() {
            break ended;
        }
        assert!(Instant::now() < deadline, "it does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(ended.success(), "{ended}\n{}", std::fs::read_to_string(log.path()).unwrap());
}
