//! What the program does for a shell: completion, `--version`, no colours where none are wanted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orion-operator")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn completion_for_every_shell_knows_commands_and_flags() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(&["completion", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = text(&output.stdout);
        for word in ["orion-operator", "validate", "orphans", "doctor", "orion-url", "deletion-policy"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(run(&["completion", "tcsh"]).status.code(), Some(2));
}

/// As a link of that name does.
#[test]
fn under_the_name_of_a_plugin_it_speaks_as_one() {
    use std::os::unix::process::CommandExt;
    let run = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_orion-operator"))
            .arg0("/some/where/kubectl-orion")
            .args(args)
            .output()
            .unwrap()
    };
    let help = text(&run(&["status", "--help"]).stdout);
    assert!(help.contains("Usage: kubectl orion status"), "{help}");
    assert!(text(&run(&["completion", "bash"]).stdout).contains("kubectl-orion"));
    let error = run(&["status", "--kubeconfig", "/none"]);
    assert_eq!(error.status.code(), Some(1));
    assert!(text(&error.stderr).starts_with("kubectl orion: "), "{}", text(&error.stderr));
    for command in ["run", "crds"] {
        assert_eq!(run(&[command]).status.code(), Some(2), "{command} is not for kubectl");
    }
}

#[test]
fn bash_takes_the_script() {
    let script = text(&run(&["completion", "bash"]).stdout);
    let Ok(output) = Command::new("bash").args(["-c", &format!("{script}\ncomplete -p orion-operator")]).output()
    else {
        println!("skipped: bash_takes_the_script: there is no bash");
        return;
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn the_version_is_told() {
    let told = text(&run(&["--version"]).stdout);
    let version = format!("orion-operator {}", env!("CARGO_PKG_VERSION"));
    match option_env!("ORION_OPERATOR_COMMIT") {
        Some(commit) => assert_eq!(told.trim(), format!("{version} (commit {commit})")),
        None => assert_eq!(told.trim(), version),
    }
}

#[test]
fn there_are_no_colours_without_a_terminal() {
    for args in [&["--help"][..], &["--bogus"], &["completion"]] {
        let output = run(args);
        for written in [output.stdout, output.stderr] {
            assert!(!written.contains(&0x1b), "{args:?}");
        }
    }
}

/// `script` gives the program a terminal.
#[test]
fn no_color_is_kept_on_a_terminal() {
    let help = format!("'{}' --help", env!("CARGO_BIN_EXE_orion-operator"));
    let on_a_terminal = |no_color: Option<&str>| {
        let mut script = Command::new("script");
        script.args(["-qec", &help, "/dev/null"]).env_remove("CI").env_remove("NO_COLOR").env("TERM", "xterm-256color");
        script.envs(no_color.map(|value| ("NO_COLOR", value))).output()
    };
    let Ok(coloured) = on_a_terminal(None) else {
        println!("skipped: no_color_is_kept_on_a_terminal: there is no script(1)");
        return;
    };
    assert!(coloured.stdout.contains(&0x1b), "{}", text(&coloured.stdout));
    let plain = on_a_terminal(Some("1")).unwrap();
    assert!(plain.stdout.len() > 1000 && !plain.stdout.contains(&0x1b), "{}", text(&plain.stdout));
}
