//! What the image says of itself, its files, and its list of crates.

use std::collections::BTreeSet;
use std::process::Command;

use jiff::Timestamp;
use regex::bytes::Regex;
use serde_json::{Value, json};

use super::layout::{Image, commit_time, ok};

#[test]
fn it_says_who_runs_what_and_where_it_comes_from() {
    let Some(image) = Image::of_this_tree("it_says_who_runs_what_and_where_it_comes_from") else { return };
    let config = &image.config["config"];
    assert_eq!((&image.config["os"], &image.config["architecture"]), (&json!("linux"), &json!("amd64")));
    assert_eq!((&config["User"], &config["WorkingDir"]), (&json!("65532:65532"), &json!("/")));
    assert_eq!((&config["Entrypoint"], &config["Cmd"]), (&json!(["/orion-operator"]), &Value::Null));
    assert_eq!((image.label("title"), image.label("licenses")), ("orion-operator", "Apache-2.0"));
    assert_eq!(
        (image.label("version"), image.label("source")),
        (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_REPOSITORY"))
    );
    let created: Timestamp = image.label("created").parse().unwrap();
    assert_eq!(created.as_second(), commit_time());
    assert_eq!(std::fs::read_to_string(image.folder.join("digest")).unwrap().trim(), image.digest);
}

#[test]
fn it_has_a_program_authorities_and_a_user() {
    let Some(image) = Image::of_this_tree("it_has_a_program_authorities_and_a_user") else { return };
    let time = Timestamp::from_second(commit_time()).unwrap().strftime("%Y-%m-%d %H:%M").to_string();
    let mut tar = Command::new("tar");
    let listed = ok(tar.env("TZ", "UTC").args(["-tvzf", &image.layer.to_string_lossy(), "--numeric-owner"]));
    let files: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    let told: Vec<(&str, &str)> = files.iter().map(|file| (file[0], file[5])).collect();
    assert_eq!(
        told,
        [
            ("-rwxr-xr-x", "orion-operator"),
            ("drwxr-xr-x", "etc/"),
            ("-rw-r--r--", "etc/group"),
            ("-rw-r--r--", "etc/passwd"),
            ("drwxr-xr-x", "etc/ssl/"),
            ("drwxr-xr-x", "etc/ssl/certs/"),
            ("-rw-r--r--", "etc/ssl/certs/ca-certificates.crt"),
        ]
    );
    for file in &files {
        assert_eq!((file[1], format!("{} {}", file[3], file[4])), ("0/0", time.clone()), "{file:?}");
    }
    let root = image.unpacked();
    let read = |name: &str| std::fs::read_to_string(root.path().join(name)).unwrap();
    assert!(read("etc/passwd").starts_with("nonroot:x:65532:65532:"));
    assert!(read("etc/ssl/certs/ca-certificates.crt").matches("-----BEGIN CERTIFICATE-----").count() > 100);
}

/// Crates as `name version`.
fn crates(sbom: &Value) -> BTreeSet<String> {
    let text = |it: &Value, field: &str| it[field].as_str().unwrap().to_owned();
    let components = sbom["components"].as_array().unwrap().iter();
    components.map(|it| format!("{} {}", text(it, "name"), text(it, "version"))).collect()
}

/// The program itself names most of the crates that are in it, by the places of their panics.
#[test]
fn its_list_of_crates_is_that_of_the_program() {
    let Some(image) = Image::of_this_tree("its_list_of_crates_is_that_of_the_program") else { return };
    let sbom: Value = serde_json::from_slice(&std::fs::read(image.folder.join("sbom.cdx.json")).unwrap()).unwrap();
    assert_eq!((&sbom["bomFormat"], &sbom["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
    assert_eq!(sbom["metadata"]["component"]["name"], "orion-operator");
    // Nothing that is different the next time.
    assert!(sbom["serialNumber"].is_null());
    let time: Timestamp = sbom["metadata"]["timestamp"].as_str().unwrap().parse().unwrap();
    assert_eq!(time.as_second(), commit_time());

    let listed = crates(&sbom);
    let program = std::fs::read(image.unpacked().path().join("orion-operator")).unwrap();
    let place = Regex::new(r"/cargo/registry/src/[^/]+/([a-z0-9_-]+?)-([0-9]+\.[0-9]+\.[0-9]+[^/]*)/").unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let named: BTreeSet<String> =
        place.captures_iter(&program).map(|it| format!("{} {}", text(&it[1]), text(&it[2]))).collect();
    assert!(named.len() > 50, "{named:?}");
    let missing: Vec<&String> = named.difference(&listed).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Of tests, of the build, of other platforms, of features that are off.
    for absent in ["devkit", "wiremock", "proptest", "cc", "syn", "windows-sys", "ring", "openssl"] {
        assert!(!listed.iter().any(|name| name.starts_with(&format!("{absent} "))), "{absent}");
    }
}
