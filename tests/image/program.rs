//! The program is static, of a size that is soon pulled, and tells nothing of the machine that made it.

use std::process::Command;

use super::layout::{Image, ROOT, ok};

const MIB: u64 = 1024 * 1024;

#[test]
fn it_is_one_small_static_program() {
    let Some(image) = Image::of_this_tree("it_is_one_small_static_program") else { return };
    let root = image.unpacked();
    let program = root.path().join("orion-operator");
    let size = std::fs::metadata(&program).unwrap().len();
    assert!(size <= 15 * MIB, "{size} bytes");
    let read = |what: &str| ok(Command::new("readelf").args(["-W", what]).arg(&program));
    let segments = read("--segments");
    assert!(segments.contains("LOAD") && !segments.contains("INTERP"), "{segments}");
    assert!(!read("--dynamic").contains("NEEDED"));
    assert!(segments.contains("type is DYN"), "its addresses are not the same each time: {segments}");
    let stack = segments.lines().find(|line| line.contains("GNU_STACK")).unwrap();
    assert!(stack.contains(" RW ") && !stack.contains('E'), "{stack}");
}

#[test]
fn it_tells_its_commit() {
    let Some(image) = Image::of_this_tree("it_tells_its_commit") else { return };
    let told = ok(Command::new(image.unpacked().path().join("orion-operator")).arg("--version"));
    let commit = ok(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(ROOT));
    assert!(told.contains(&format!("(commit {}", commit.trim())), "{told}");
}

#[test]
fn it_names_no_place_of_the_machine_that_made_it() {
    let Some(image) = Image::of_this_tree("it_names_no_place_of_the_machine_that_made_it") else { return };
    let program = std::fs::read(image.unpacked().path().join("orion-operator")).unwrap();
    let program = String::from_utf8_lossy(&program);
    assert!(program.contains("/cargo/registry/src/"), "such places can be found");
    let home = std::env::var("HOME").unwrap();
    let cargo = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let rust = ok(Command::new("rustc").args(["--print", "sysroot"]));
    let target = env!("CARGO_TARGET_TMPDIR").trim_end_matches("/tmp");
    for place in [ROOT, &cargo, rust.trim(), target] {
        assert!(!program.contains(place), "{place}");
    }
}
