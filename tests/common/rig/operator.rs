//! There is no kubelet: the operator's process is started as its pod would be, with the flags, the files and the rights
//! that the chart's objects give it.

use std::path::Path;
use std::process::Command;

use data_encoding::BASE64;
use devkit::control_plane::ControlPlane;
use serde_json::Value;

use super::process::Process;
use super::{OPERATORS, PATIENCE, until};

/// Starts the operator of this Deployment, and waits until it is ready.
pub async fn start(plane: &ControlPlane, deployment: &Value, directory: &Path) -> Process {
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let account = pod["serviceAccountName"].as_str().unwrap();
    let kubeconfig = plane.service_account_kubeconfig(OPERATORS, account).await.unwrap();
    let files = directory.join("operator");
    std::fs::create_dir_all(&files).unwrap();
    for source in pod["volumes"][0]["projected"]["sources"].as_array().unwrap() {
        let secret = ["get", "secret", "-n", OPERATORS, source["secret"]["name"].as_str().unwrap(), "-o", "json"];
        let secret: Value = serde_json::from_str(&plane.kubectl_ok(&secret).await.unwrap()).unwrap();
        for item in source["secret"]["items"].as_array().unwrap() {
            let content = secret["data"][item["key"].as_str().unwrap()].as_str().unwrap();
            let content = BASE64.decode(content.as_bytes()).unwrap();
            std::fs::write(files.join(item["path"].as_str().unwrap()), content).unwrap();
        }
    }
    // The files are elsewhere than in a pod; all else is as rendered.
    let mount = format!("{}/", container["volumeMounts"][0]["mountPath"].as_str().unwrap());
    let arguments: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
    let arguments = arguments.iter().map(|it| it.replace(&mount, &format!("{}/", files.display())));
    let mut command = Command::new(env!("CARGO_BIN_EXE_orion-operator"));
    command.env_clear().env("KUBECONFIG", kubeconfig).args(arguments);
    let process = Process::start(&mut command, plane.process_group(), directory.join("operator.log"));
    let ports = container["ports"].as_array().unwrap();
    let port = ports.iter().find(|port| port["name"] == "probes").unwrap();
    let url = format!("http://127.0.0.1:{}/readyz", port["containerPort"]);
    until(PATIENCE, "the operator is ready", async || {
        reqwest::get(&url).await.is_ok_and(|answer| answer.status() == 200).then_some(())
    })
    .await;
    process
}

/// Says of the Deployment's pods what a kubelet would: they are ready.
pub async fn pods_are_ready(plane: &ControlPlane) {
    let pods = plane.kubectl_ok(&["get", "pods", "-n", OPERATORS, "-o", "name"]).await.unwrap();
    for pod in pods.lines() {
        let status = r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;
        let patch = ["patch", pod, "-n", OPERATORS, "--subresource=status", "--type=merge", "-p", status];
        // One that goes may be gone by now.
        let _ = plane.kubectl_ok(&patch).await;
    }
}
