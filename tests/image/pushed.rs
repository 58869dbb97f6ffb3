//! The way to a registry: as `docs/install.md` tells it, and as the release does.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::layout::{Image, ROOT, ok};

/// A registry of this test's own.
struct Registry {
    process: Child,
    crane: String,
    address: String,
}

impl Registry {
    fn start() -> Self {
        let crane = tool("crane");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut serve = Command::new(&crane);
        serve.args(["registry", "serve", "--address", &address]).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { process: serve.spawn().unwrap(), crane, address };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(&registry.address).is_err() {
            assert!(Instant::now() < deadline, "the registry does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        registry
    }

    fn crane(&self, args: &[&str]) -> String {
        ok(Command::new(&self.crane).args(args)).trim().to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn tool(name: &str) -> String {
    ok(Command::new("hack/tools").arg(name).current_dir(ROOT)).trim().to_owned()
}

#[test]
fn it_is_pushed_under_its_digest() {
    let Some(image) = Image::of_this_tree("it_is_pushed_under_its_digest") else { return };
    let registry = Registry::start();
    let page = include_str!("../../docs/install.md");
    let section = page.split("\n## An image\n").nth(1).unwrap();
    let block = section.split("\n```\n").nth(1).unwrap();
    let block = block
        .replace("target/image", image.folder.to_str().unwrap())
        .replace("registry.example.com/", &format!("{}/", registry.address));
    let told = ok(Command::new("bash").args(["-euo", "pipefail", "-c", &block]).current_dir(ROOT));
    assert!(told.trim().ends_with(&image.digest), "{told}");
    let name = format!("{}/orion-operator:{}", registry.address, env!("CARGO_PKG_VERSION"));
    assert_eq!(registry.crane(&["digest", &name]), image.digest);
    registry.crane(&["validate", "--remote", &name]);
}

/// A tag that is not its version publishes nothing. `COSIGN=1` has it signed as well, by a tool that is long to make.
#[test]
fn it_is_published_as_a_release_does() {
    let Some(image) = Image::of_this_tree("it_is_published_as_a_release_does") else { return };
    let registry = Registry::start();
    let home = tempfile::tempdir().unwrap();
    let cosign = std::env::var_os("COSIGN").map(|_| tool("cosign"));
    let key = |kind: &str| -> PathBuf { home.path().join(format!("cosign.{kind}")) };
    if let Some(cosign) = &cosign {
        ok(Command::new(cosign).arg("generate-key-pair").current_dir(home.path()).env("COSIGN_PASSWORD", ""));
    }
    let publish = |tag: &str| {
        let mut command = Command::new("hack/publish-image");
        command.current_dir(ROOT).arg(format!("{}/orion-operator", registry.address)).arg(&image.folder);
        command.env("PLAIN_HTTP", "yes").env("TAG", tag).env("SIGN", if cosign.is_some() { "yes" } else { "no" });
        command.env("COSIGN_KEY", key("key")).env("COSIGN_PASSWORD", "");
        command
    };
    assert!(!publish("v99.0.0").stderr(Stdio::null()).status().unwrap().success());
    let reference = ok(&mut publish(&format!("v{}", env!("CARGO_PKG_VERSION"))));
    let reference = reference.trim();
    assert_eq!(registry.crane(&["digest", "--platform", "linux/amd64", reference]), image.digest);
    if let Some(cosign) = &cosign {
        let made = format!("{}/orion-operator@{}", registry.address, image.digest);
        let check = |args: &[&str], reference: &str| {
            let trust = ["--insecure-ignore-tlog=true", "--allow-http-registry", "--key"];
            ok(Command::new(cosign).args(args).args(trust).arg(key("pub")).arg(reference))
        };
        check(&["verify"], reference);
        check(&["verify-attestation", "--type", "cyclonedx"], &made);
    }
}
