//! Where etcd, kube-apiserver, kube-controller-manager and kubectl come from.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::progress::{during, note};
use super::{envtest, go_build};

/// The Kubernetes version that is built. Binaries from `KUBEBUILDER_ASSETS` may be of another one.
pub const KUBERNETES_VERSION: &str = "v1.36.3";

/// Names a directory with the binaries, as for kubebuilder's envtest.
const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

pub(crate) const ETCD: &str = "etcd";
pub(crate) const APISERVER: &str = "kube-apiserver";
pub(crate) const CONTROLLER_MANAGER: &str = "kube-controller-manager";
pub(crate) const KUBECTL: &str = "kubectl";

/// The executables that a control plane consists of.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// etcd
    pub etcd: PathBuf,
    /// kube-apiserver
    pub kube_apiserver: PathBuf,
    /// kube-controller-manager; `KUBEBUILDER_ASSETS` often has none.
    pub kube_controller_manager: Option<PathBuf>,
    /// kubectl
    pub kubectl: PathBuf,
}

impl Binaries {
    /// Finds the binaries or makes them: `KUBEBUILDER_ASSETS` if set, else the cache under `$XDG_CACHE_HOME` (or
    /// `~/.cache`), which is filled by `setup-envtest` where the network allows it and else by the Go toolchain. The
    /// first time takes some minutes; progress is shown on standard error. Parallel callers wait for one another.
    ///
    /// # Errors
    /// If `KUBEBUILDER_ASSETS` is set but lacks a binary, if there is no place for a cache, or if nothing could be
    /// downloaded or built; the message says what to do.
    pub async fn ensure() -> Result<Self> {
        if let Some(assets) = std::env::var_os(ASSETS_VARIABLE).filter(|value| !value.is_empty()) {
            return Self::from_assets(Path::new(&assets));
        }
        let cache = cache_dir()?;
        if let Some(found) = Self::from_cache(&cache) {
            return Ok(found);
        }
        fs::create_dir_all(&cache).with_context(|| format!("cannot create the cache {}", cache.display()))?;
        let _lock = lock(&cache.join(".lock")).await?;
        if let Some(found) = Self::from_cache(&cache) {
            return Ok(found);
        }
        go_build::require_go().await?;
        note("The local control plane's binaries are not there yet; this is needed once.");
        if !cache.join(APISERVER).is_file()
            && let Err(error) = during("trying a download with setup-envtest", envtest::download(&cache)).await
        {
            note(&format!("no download ({error:#}); building from Go modules instead"));
        }
        go_build::build_missing(&cache).await?;
        Self::from_cache(&cache).context("the build left a binary out")
    }

    /// Takes the binaries that `KUBEBUILDER_ASSETS` offers; only kube-controller-manager may be missing.
    fn from_assets(dir: &Path) -> Result<Self> {
        let required = |name: &str| {
            let path = dir.join(name);
            if path.is_file() {
                return Ok(path);
            }
            bail!("{ASSETS_VARIABLE} is set to {}, which has no {name}: add it, or unset the variable", dir.display())
        };
        Ok(Self {
            etcd: required(ETCD)?,
            kube_apiserver: required(APISERVER)?,
            kube_controller_manager: Some(dir.join(CONTROLLER_MANAGER)).filter(|path| path.is_file()),
            kubectl: required(KUBECTL)?,
        })
    }

    /// Takes the binaries from the cache if all are there; each was moved into place when complete.
    fn from_cache(dir: &Path) -> Option<Self> {
        let present = |name: &str| Some(dir.join(name)).filter(|path| path.is_file());
        Some(Self {
            etcd: present(ETCD)?,
            kube_apiserver: present(APISERVER)?,
            kube_controller_manager: Some(present(CONTROLLER_MANAGER)?),
            kubectl: present(KUBECTL)?,
        })
    }
}

/// One directory for each set of versions, so that branches with other versions do not disturb one another.
fn cache_dir() -> Result<PathBuf> {
    // As the XDG specification says, a relative path there is to be ignored.
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .with_context(|| format!("neither XDG_CACHE_HOME nor HOME is set: set one, or {ASSETS_VARIABLE}"))?;
    let mut hash = Sha256::new();
    for text in go_build::module_files().chain([std::env::consts::OS, std::env::consts::ARCH]) {
        hash.update(text);
        hash.update([0]);
    }
    let key: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(base.join("orion-operator/control-plane").join(format!("{KUBERNETES_VERSION}-{key}")))
}

/// Takes the lock that lets one process at a time fill the cache. The kernel frees it should the holder die.
async fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let held = || match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    };
    if !held()? {
        let free = async {
            while !held()? {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            anyhow::Ok(())
        };
        during("another process is making the control plane's binaries: waiting for it", free).await?;
    }
    Ok(file)
}

/// Moves a finished executable into the cache; never seen there half-written.
pub(crate) fn install(from: &Path, cache: &Path, name: &str) -> Result<()> {
    let partial = cache.join(format!(".{name}.partial"));
    fs::copy(from, &partial)
        .and_then(|_| fs::rename(&partial, cache.join(name)))
        .with_context(|| format!("cannot put {name} into {}", cache.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_without_a_controller_manager_are_accepted() {
        let dir = tempfile::tempdir().unwrap();
        for name in [ETCD, APISERVER, KUBECTL] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let binaries = Binaries::from_assets(dir.path()).unwrap();
        assert_eq!(binaries.etcd, dir.path().join(ETCD));
        assert!(binaries.kube_controller_manager.is_none());
    }

    #[test]
    fn assets_that_lack_a_binary_are_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(ETCD), "").unwrap();
        let message = Binaries::from_assets(dir.path()).unwrap_err().to_string();
        assert!(message.contains("has no kube-apiserver: add it, or unset the variable"), "{message}");
    }

    #[test]
    fn an_incomplete_cache_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::write(&source, "binary").unwrap();
        for name in [ETCD, APISERVER, KUBECTL] {
            install(&source, dir.path(), name).unwrap();
        }
        assert!(Binaries::from_cache(dir.path()).is_none());
        install(&source, dir.path(), CONTROLLER_MANAGER).unwrap();
        assert!(Binaries::from_cache(dir.path()).is_some());
    }

    #[tokio::test]
    async fn the_cache_is_filled_by_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let first = lock(&path).await.unwrap();
        let second = tokio::spawn(async move { lock(&path).await });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        tokio::time::timeout(Duration::from_secs(10), second).await.unwrap().unwrap().unwrap();
    }
}
