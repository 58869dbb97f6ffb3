//! The local control plane, with real processes. Needs its binaries, which are made the first time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::time::{Duration, Instant};

use devkit::control_plane::{AuditEvent, Binaries, ControlPlane, Options};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, ListParams};

const PATIENCE: Duration = Duration::from_secs(60);

async fn start() -> ControlPlane {
    ControlPlane::start(Options { quiet: true, ..Options::default() }).await.unwrap()
}

/// Awaits a condition, failing with `what` after a deadline.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_deleted_namespace_goes_away() {
    let plane = start().await;
    if !plane.has_controller_manager() {
        eprintln!("not tested: KUBEBUILDER_ASSETS has no kube-controller-manager");
        return;
    }
    plane.apply("{apiVersion: v1, kind: Namespace, metadata: {name: short-lived}}").await.unwrap();
    plane.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: inside, namespace: short-lived}}").await.unwrap();

    plane.kubectl_ok(&["delete", "namespace", "short-lived", "--wait=false"]).await.unwrap();

    let namespaces: Api<Namespace> = Api::all(plane.admin_client().await.unwrap());
    eventually("the namespace is gone", async || namespaces.get_opt("short-lived").await.unwrap().is_none()).await;
}

#[tokio::test]
async fn a_service_account_may_do_nothing_until_it_is_allowed() {
    let plane = start().await;
    plane.kubectl_ok(&["create", "serviceaccount", "worker"]).await.unwrap();
    let path = plane.service_account_kubeconfig("default", "worker").await.unwrap();
    assert_eq!(mode(&path), 0o600);
    let user = "system:serviceaccount:default:worker";
    let as_worker = async |args: &[&str]| {
        let output = plane.kubectl().env("KUBECONFIG", &path).args(args).output().await.unwrap();
        let text = if output.status.success() { &output.stdout } else { &output.stderr };
        (output.status.success(), String::from_utf8_lossy(text).into_owned())
    };
    assert!(as_worker(&["auth", "whoami"]).await.1.contains(user));
    let (allowed, message) = as_worker(&["get", "configmaps"]).await;
    assert!(!allowed && message.contains("Forbidden"), "{message}");

    let create: [&[&str]; 2] = [
        &["role", "reader", "--verb=list", "--resource=configmaps"],
        &["rolebinding", "worker", "--role=reader", "--serviceaccount=default:worker"],
    ];
    for what in create {
        plane.kubectl_ok(&[&["create"], what].concat()).await.unwrap();
    }
    eventually("the role is in force", async || as_worker(&["get", "configmaps"]).await.0).await;

    let seen = |code: u16| {
        plane.audit_events().unwrap().into_iter().find(|event| {
            event.user == user && event.resource == "configmaps" && event.verb == "list" && event.code == code
        })
    };
    eventually("both answers are in the audit log", async || seen(403).is_some() && seen(200).is_some()).await;
    let AuditEvent { stage, namespace, name, subresource, user_agent, timestamp, .. } = seen(403).unwrap();
    assert_eq!((stage.as_str(), namespace.as_str()), ("ResponseComplete", "default"));
    assert_eq!((name.as_str(), subresource.as_str()), ("", ""));
    assert!(user_agent.starts_with("kubectl/"), "{user_agent}");
    assert!(timestamp < seen(200).unwrap().timestamp);
}

#[tokio::test]
async fn an_error_says_what_kubectl_said() {
    let plane =
        ControlPlane::start(Options { controller_manager: false, quiet: true, ..Options::default() }).await.unwrap();
    let error = plane.kubectl_ok(&["get", "namespace", "missing"]).await.unwrap_err().to_string();
    assert!(error.contains(r#"namespaces "missing" not found"#), "{error}");
    let error = plane.service_account_kubeconfig("default", "missing").await.unwrap_err();
    assert!(format!("{error:#}").contains("not found"), "{error:#}");
}

#[tokio::test]
async fn a_failed_start_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = Options {
        quiet: true,
        // Arguments given twice count as given last.
        apiserver_arguments: vec![format!("--secure-port={port}")],
        ..Options::default()
    };
    let error = ControlPlane::start(options).await.unwrap_err().to_string();
    assert!(error.starts_with("kube-apiserver ended with"), "{error}");
    assert!(error.contains("address already in use"), "{error}");
}

#[tokio::test]
async fn a_restarted_apiserver_keeps_its_data() {
    let plane = start().await;
    let client = plane.admin_client().await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    plane.kubectl_ok(&["create", "configmap", "kept", "--from-literal=answer=42"]).await.unwrap();

    plane.stop_apiserver().await;
    assert!(maps.get("kept").await.is_err());
    plane.start_apiserver().await.unwrap();
    plane.start_apiserver().await.unwrap();

    let kept = maps.get("kept").await.unwrap();
    assert_eq!(kept.data.unwrap()["answer"], "42");
}

#[tokio::test]
async fn two_at_once_are_apart_and_leave_nothing() {
    let (first, second) = tokio::join!(start(), start());
    assert_ne!(first.server_url(), second.server_url());
    first.kubectl_ok(&["create", "configmap", "only-here"]).await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(second.admin_client().await.unwrap());
    let found = maps.list(&ListParams::default()).await.unwrap();
    assert!(found.iter().all(|map| map.metadata.name.as_deref() != Some("only-here")));

    let dirs = [first.data_dir().to_owned(), second.data_dir().to_owned()];
    drop(first);
    assert!(!dirs[0].exists());
    assert_eq!(processes(&dirs[0]), Vec::<String>::new());
    second.kubectl_ok(&["get", "namespaces"]).await.unwrap();
    drop(second);
    assert!(!dirs[1].exists());
    assert_eq!(processes(&dirs[1]), Vec::<String>::new());
}

#[tokio::test]
async fn a_panic_leaves_nothing() {
    let (send, receive) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async {
        let plane = start().await;
        send.send(plane.data_dir().to_owned()).unwrap();
        panic!("on purpose");
    });
    let dir = receive.await.unwrap();
    assert!(task.await.unwrap_err().is_panic());
    assert!(!dir.exists());
    assert_eq!(processes(&dir), Vec::<String>::new());
}

/// Processes of the control plane in `dir` that still run: each has the directory among its arguments.
#[cfg(target_os = "linux")]
fn processes(dir: &Path) -> Vec<String> {
    let dir = dir.to_str().unwrap();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path().join("cmdline")).ok())
        .filter(|line| line.contains(dir))
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn processes(_: &Path) -> Vec<String> {
    Vec::new()
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The control plane as a process of its own, to be ended in ways that no destructor survives.
#[cfg(target_os = "linux")]
mod alone {
    use std::path::PathBuf;
    use std::process::Stdio;

    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::process::{Child, Command};

    use super::*;

    async fn up() -> (Child, PathBuf) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_control-plane"))
            .arg("up")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(path) = line.strip_prefix("export KUBECONFIG=") {
                return (child, Path::new(path).parent().unwrap().to_owned());
            }
        }
        panic!("it ended before it was ready: {:?}", child.wait().await);
    }

    #[tokio::test]
    async fn kill_9_leaves_no_process() {
        let (mut child, dir) = up().await;
        let mut names = vec!["orion-guardian", "etcd", "kube-apiserver"];
        if Binaries::ensure().await.unwrap().kube_controller_manager.is_some() {
            names.push("kube-controller-manager");
        }
        // One that has just begun may have no command line yet.
        eventually("all processes are there", async || {
            let running = processes(&dir);
            names.iter().all(|name| running.iter().any(|line| line.contains(name)))
        })
        .await;
        child.kill().await.unwrap();
        eventually("all processes are gone", async || processes(&dir).is_empty()).await;
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn a_polite_signal_leaves_nothing() {
        let (mut child, dir) = up().await;
        let pid = child.id().unwrap().to_string();
        assert!(Command::new("sh").args(["-c", "kill -TERM $0", &pid]).status().await.unwrap().success());
        let status = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}");
        assert_eq!(processes(&dir), Vec::<String>::new());
        assert!(!dir.exists());
    }
}
