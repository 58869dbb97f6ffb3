//! The way to a registry and back.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::tools::{CHART, Helm, ROOT, objects, ok, run, tool};

struct Registry(Child);

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both Helms get the chart from a registry as it is here. A tag that is not its version publishes nothing.
/// `COSIGN=1` has it signed as well, which takes a tool that is long to make.
#[test]
fn the_chart_comes_back_from_a_registry() {
    let test = "the_chart_comes_back_from_a_registry";
    let (Some(crane), Some(helm4), Some(helm3)) =
        (tool(test, "crane"), Helm::new(test, "helm4"), Helm::new(test, "helm3"))
    else {
        return;
    };
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let serve = Command::new(&crane)
        .args(["registry", "serve", "--address", &address.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _registry = Registry(serve.unwrap());
    while std::net::TcpStream::connect(address).is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let home = tempfile::tempdir().unwrap();
    let signs = std::env::var_os("COSIGN").is_some();
    let publish = |tag: &str| {
        let mut command = Command::new("hack/publish-chart");
        command.current_dir(ROOT).arg(format!("oci://{address}/charts")).env("PLAIN_HTTP", "yes").env("TAG", tag);
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, home.path());
        }
        command.env("SIGN", if signs { "yes" } else { "no" }).env("COSIGN_PASSWORD", "");
        command.env("COSIGN_KEY", home.path().join("cosign.key"));
        command
    };
    assert!(!run(&mut publish("v99.0.0")).status.success());
    let cosign = signs.then(|| tool(test, "cosign").unwrap());
    if let Some(cosign) = &cosign {
        ok(Command::new(cosign).arg("generate-key-pair").current_dir(home.path()).env("COSIGN_PASSWORD", ""));
    }
    let version = env!("CARGO_PKG_VERSION");
    let reference = ok(&mut publish(&format!("v{version}")));
    assert!(reference.starts_with(&format!("{address}/charts/orion-operator@sha256:")), "{reference}");

    let values = format!("{CHART}/ci/first-try-values.yaml");
    for helm in [&helm4, &helm3] {
        let remote = format!("oci://{address}/charts/orion-operator");
        let args = ["template", "orion", &remote, "--plain-http", "--version", version, "-n", "orion-system"];
        let mut command = helm.command(Path::new("/dev/null"));
        let rendered = ok(command.args(args).args(["--kube-version", "1.31.0", "-f", &values]));
        assert_eq!(objects(&rendered), objects(&helm.template(&["-f", &values])));
    }
    if let Some(cosign) = &cosign {
        let key = home.path().join("cosign.pub");
        let check = ["verify", "--insecure-ignore-tlog=true", "--allow-http-registry", "--key"];
        ok(Command::new(cosign).args(check).arg(key).arg(reference.trim()));
    }
}
