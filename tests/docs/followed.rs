//! Pages that lead from a beginning to an end are followed: their blocks are run by one bash, as they are but for ports and
//! the address of Orion, and what they say is printed is looked for.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use devkit::sim::{Config, Header, Sim, StoredWebhook};
use regex::Regex;

use super::pages::{Block, ROOT, page};

const MARK: &str = "@@@ after block ";
/// What a page leaves running ends with it.
const HEAD: &str = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n";
const MINUTES: &str = "3m";

/// Where all programs of the workspace are. Those of devkit are there if the whole workspace was built, as `make test` does.
fn programs() -> PathBuf {
    let directory = Path::new(env!("CARGO_BIN_EXE_orion-operator")).parent().unwrap().to_owned();
    if !["control-plane", "orion-sim", "receiver", "demo"].iter().all(|name| directory.join(name).exists()) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "-p", "devkit", "-p", "receiver", "--bins"]).current_dir(ROOT);
        assert!(cargo.status().unwrap().success());
    }
    directory
}

/// A folder with what a clone has, where the pages are followed.
fn clone() -> tempfile::TempDir {
    let clone = tempfile::tempdir().unwrap();
    for name in ["crds", "examples"] {
        symlink(Path::new(ROOT).join(name), clone.path().join(name)).unwrap();
    }
    std::fs::create_dir(clone.path().join("target")).unwrap();
    symlink(programs(), clone.path().join("target/debug")).unwrap();
    clone
}

/// Runs a script in a folder; gives what it printed.
fn bash(script: &str, folder: &Path) -> String {
    let path = format!("{}:{}", folder.join("target/debug").display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("timeout");
    bash.args([MINUTES, "bash", "-c", script]).current_dir(folder).env("PATH", path).env_remove("KUBECONFIG");
    let output = bash.stdin(Stdio::null()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = std::fs::read_to_string(folder.join("target/operator.log")).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{script}\n--- printed\n{printed}\n--- said\n{said}\n--- log\n{log}",
        output.status
    );
    printed
}

/// The script of a page's blocks of commands, each followed by a mark.
fn script(blocks: &[Block]) -> String {
    let mut script = HEAD.to_owned();
    for (number, block) in blocks.iter().enumerate().filter(|(_, block)| block.language.is_empty()) {
        script += &format!("{}\necho '{MARK}{number}'\n", block.text);
    }
    script
}

/// Each line that a page shows was printed by the block before it. Times and runs of spaces do not count.
fn shown_is_printed(blocks: &[Block], printed: &str) {
    let seconds = Regex::new(r"\b\d+s\b").unwrap();
    let plain =
        |text: &str| seconds.replace_all(&text.split_whitespace().collect::<Vec<_>>().join(" "), "?s").into_owned();
    let mut count = 0;
    for (number, shown) in blocks.iter().enumerate().filter(|(_, block)| block.language == "text") {
        let command = (0..number).rev().find(|earlier| blocks[*earlier].language.is_empty()).unwrap();
        let until = printed.split(&format!("{MARK}{command}\n")).next().unwrap();
        let of_it = plain(until.rsplit(MARK).next().unwrap());
        for line in shown.text.lines() {
            assert!(of_it.contains(&plain(line)), "not printed: {line}\nbut:\n{of_it}");
            count += 1;
        }
    }
    assert!(count > 0);
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn the_quickstart() {
    if !Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success()) {
        let why = "skipped: the_quickstart: there is no curl\n";
        return std::io::stderr().write_all(why.as_bytes()).unwrap();
    }
    let blocks = page("docs/quickstart.md").blocks();
    // `the_demo` is a test of its own, and the programs are built already.
    let is_left_out = |line: &&str| *line == "make demo" || line.starts_with("cargo build ");
    let whole = script(&blocks);
    assert_eq!(whole.lines().filter(is_left_out).count(), 2);
    let lines = whole.lines().filter(|line| !is_left_out(line));
    let mut script: String = lines.map(|line| format!("{line}\n")).collect();
    for port in ["8000", "9000"] {
        script = script.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{}", free_port()));
    }
    let orion = Regex::new(r"--orion-url http://(\S+)").unwrap().captures(&script).unwrap()[1].to_owned();
    let receiver = Regex::new(r"--listen (\S+)").unwrap().captures(&script).unwrap()[1].to_owned();
    script = script.replace("orion-sim ", &format!("orion-sim --listen {orion} "));
    let clone = clone();
    let example = std::fs::read_to_string(clone.path().join("examples/webhook.yaml")).unwrap();
    std::fs::write(clone.path().join("webhook.yaml"), example.replace("127.0.0.1:9000", &receiver)).unwrap();
    let script = script.replace("examples/webhook.yaml", "webhook.yaml");
    let script = script.replace("2> target/quickstart/operator.log", "2> target/operator.log");
    let printed = bash(&script, clone.path());
    shown_is_printed(&blocks, &printed);
    // The event came with the right secret, and so did the one after the Secret was mended.
    assert!(printed.contains("\"status\":202") && printed.contains("{\"event\":\"job.completed\"}"), "{printed}");
}

/// What `make demo` runs once it has built it.
#[test]
fn the_demo() {
    let clone = clone();
    let printed = bash("target/debug/demo --operator target/debug/orion-operator --no-stay", clone.path());
    assert!(printed.contains("received: {") && printed.contains("everything is stopped"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_step_on_a_live_account() {
    let token = "token-of-the-live-account";
    let sim = Sim::start(Config { static_tokens: vec![token.into()], ..Config::default() }).await.unwrap();
    let header = Header { name: "X-Team".into(), value: "data".into() };
    sim.insert(StoredWebhook {
        id: String::new(),
        url: "https://hooks.example.com/orion".into(),
        headers: vec![header],
        user_id: "user-1".into(),
        presence_name: "there".into(),
        created_at: String::new(),
    });
    let before = sim.webhooks();
    let blocks = page("docs/live-account.md").blocks();
    let script = script(&blocks).replace("https://your-orion.example.com", &sim.url());
    // It stays in another terminal there.
    let (script, in_text) =
        (script.replace("--log-format text\n", "--log-format text $OFF 2> target/operator.log &\n"), script);
    assert_ne!(script, in_text);
    let cluster = "OFF='--metrics-bind-address 0 --health-probe-bind-address 0'\ncontrol-plane up > target/env 2>/dev/null &\n\
                   until grep -qs KUBECONFIG target/env; do sleep 0.2; done\nsource target/env\n";
    let script = script.replacen(HEAD, &format!("{HEAD}{cluster}"), 1);
    let clone = clone();
    std::fs::write(clone.path().join("orion-token"), token).unwrap();
    let folder = clone.path().to_owned();
    let printed = tokio::task::spawn_blocking(move || bash(&script, &folder)).await.unwrap();
    shown_is_printed(&blocks, &printed);
    assert_eq!(sim.webhooks(), before, "nothing is changed at Orion");
    assert!(sim.requests().iter().all(|request| request.method == "GET"), "nothing but reads was asked of it");
}
