//! The OCI layout, read and unpacked.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub struct Image {
    /// The folder that `hack/image` wrote.
    pub folder: PathBuf,
    /// Of the manifest.
    pub digest: String,
    /// What the image says of itself.
    pub config: Value,
    /// What is in it.
    pub layer: PathBuf,
}

impl Image {
    /// The image of this tree, or `None`, and then `test` is skipped.
    pub fn of_this_tree(test: &str) -> Option<Self> {
        let image = Self::read();
        let revision = revision();
        let made_of = |image: &Self| image.label("revision") == revision;
        if image.as_ref().is_some_and(made_of) {
            return image;
        }
        skip(test, &format!("there is no image of {revision}: `make image` makes it"));
        None
    }

    fn read() -> Option<Self> {
        // Beside the folder for the files of tests.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("image");
        let index = std::fs::read(folder.join("layout/index.json")).ok()?;
        let index: Value = serde_json::from_slice(&index).unwrap();
        assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
        let blobs = folder.join("layout/blobs");
        let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
        let manifest: Value = serde_json::from_slice(&std::fs::read(blob(&blobs, &digest)).unwrap()).unwrap();
        let config = blob(&blobs, manifest["config"]["digest"].as_str().unwrap());
        let config = serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
        let layer = blob(&blobs, manifest["layers"][0]["digest"].as_str().unwrap());
        Some(Self { folder, digest, config, layer })
    }

    pub fn label(&self, name: &str) -> &str {
        self.config["config"]["Labels"][format!("org.opencontainers.image.{name}")].as_str().unwrap_or_default()
    }

    /// Its files, as a container would have them.
    pub fn unpacked(&self) -> tempfile::TempDir {
        let open = std::fs::Permissions::from_mode(0o755);
        let root = tempfile::Builder::new().permissions(open).tempdir().unwrap();
        let mut tar = Command::new("tar");
        ok(tar.args(["-xpzf", &self.layer.to_string_lossy(), "-C", &root.path().to_string_lossy()]));
        root
    }
}

/// A file of the layout, which is named after its content.
fn blob(blobs: &Path, digest: &str) -> PathBuf {
    let (algorithm, sum) = digest.split_once(':').unwrap();
    let path = blobs.join(algorithm).join(sum);
    assert_eq!(HEXLOWER.encode(&Sha256::digest(std::fs::read(&path).unwrap())), sum);
    path
}

/// What `hack/image` calls the present tree.
fn revision() -> String {
    let git = |args: &[&str]| ok(Command::new("git").args(args).current_dir(ROOT));
    let commit = git(&["rev-parse", "HEAD"]).trim().to_owned();
    if git(&["status", "--porcelain"]).is_empty() { commit } else { format!("{commit}-dirty") }
}

/// The commit's time, in seconds.
pub fn commit_time() -> i64 {
    ok(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(ROOT)).trim().parse().unwrap()
}

/// Runs a command that must succeed; gives what it printed.
pub fn ok(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Says past libtest's capture that a test is skipped; `hack/test` counts it. Where nothing may be, the test fails.
pub fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("NOTHING_SKIPPED").is_none(), "{test} would be skipped: {why}");
    std::io::stderr().write_all(format!("skipped: {test}: {why}\n").as_bytes()).unwrap();
}
