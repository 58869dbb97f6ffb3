//! The control plane's processes: how each is started, and what is left of one that has ended.

use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use rand::RngExt;

use super::go_build::tail;
use super::guardian::Guardian;
use super::pki::Pki;

/// Ports to choose from. Below the range that kernels give to outgoing connections, so that while an apiserver is
/// stopped none of its clients' connection attempts can take its port.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A running process. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `program` in the guardian's group, with its output appended to `<dir>/<name>.log`.
    pub(crate) fn start(
        guardian: &Guardian,
        name: &'static str,
        program: &Path,
        dir: &Path,
        arguments: Arguments,
    ) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(program)
            .args(arguments.0)
            .current_dir(dir)
            .process_group(guardian.group())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        Ok(Self { name, child, log })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of the log if the process has ended by itself.
    pub(crate) fn ensure_running(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("cannot ask after {}", self.name))? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    fn ended(&self, status: ExitStatus) -> anyhow::Error {
        anyhow::anyhow!("{} ended with {status}; {}", self.name, self.last_words())
    }

    /// The end of the log, for an error message.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        format!("the end of its log:\n{}", tail(&String::from_utf8_lossy(&text), 15))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only if the process has already gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Command line arguments, all of the form `--flag=value`.
#[derive(Default)]
pub(crate) struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(mut self, flag: &str, value: impl Into<OsString>) -> Self {
        let mut argument = OsString::from(format!("--{flag}="));
        argument.push(value.into());
        self.0.push(argument);
        self
    }

    fn more(mut self, arguments: &[String]) -> Self {
        self.0.extend(arguments.iter().map(OsString::from));
        self
    }
}

/// etcd on a socket inside `dir`, which only the owner can enter: no port to race for, and nobody else gets in.
pub(crate) fn etcd(dir: &Path, fsync: bool) -> Arguments {
    let arguments = Arguments::default()
        .flag("data-dir", dir.join("etcd"))
        .flag("listen-client-urls", etcd_url(dir))
        // Relative to the working directory, which is `dir`: of a peer URL only the host part becomes the path.
        .flag("listen-peer-urls", "unix://peer.sock")
        // Has to be given and to look like this, but is only ever told to other members, of which there are none.
        .flag("advertise-client-urls", "http://localhost:2379");
    if fsync { arguments } else { arguments.flag("unsafe-no-fsync", "true") }
}

fn etcd_url(dir: &Path) -> String {
    format!("unix://{}", dir.join("etcd.sock").display())
}

/// kube-apiserver on 127.0.0.1 with RBAC. `audit` names the policy file and the log.
pub(crate) fn apiserver(dir: &Path, pki: &Pki, port: u16, audit: Option<(&Path, &Path)>, more: &[String]) -> Arguments {
    let mut arguments = Arguments::default()
        .flag("etcd-servers", etcd_url(dir))
        .flag("bind-address", "127.0.0.1")
        .flag("secure-port", port.to_string())
        .flag("tls-cert-file", &pki.server.certificate)
        .flag("tls-private-key-file", &pki.server.key)
        .flag("client-ca-file", &pki.ca)
        .flag("service-account-issuer", "https://kubernetes.default.svc")
        .flag("service-account-key-file", &pki.service_account_public_key)
        .flag("service-account-signing-key-file", &pki.service_account_key)
        .flag("service-cluster-ip-range", "10.0.0.0/24")
        .flag("allow-privileged", "true")
        .flag("authorization-mode", "RBAC")
        // Without kube-controller-manager nothing makes the default ServiceAccount that this would ask of each Pod.
        .flag("disable-admission-plugins", "ServiceAccount")
        // The `kubernetes` Service would point at 127.0.0.1, which is not allowed; nothing uses it.
        .flag("endpoint-reconciler-type", "none");
    if let Some((policy, log)) = audit {
        arguments = arguments
            .flag("audit-policy-file", policy)
            .flag("audit-log-path", log)
            // In MB: never rotated, so that all of it can be read back.
            .flag("audit-log-maxsize", "1000000");
    }
    arguments.more(more)
}

/// kube-controller-manager, which ends namespaces and collects garbage. It opens no port.
pub(crate) fn controller_manager(pki: &Pki, kubeconfig: &Path) -> Arguments {
    Arguments::default()
        .flag("kubeconfig", kubeconfig)
        .flag("leader-elect", "false")
        .flag("secure-port", "0")
        .flag("root-ca-file", &pki.ca)
        .flag("service-account-private-key-file", &pki.service_account_key)
}

/// A port of 127.0.0.1 that nobody listens on now. Somebody may in a moment, so a caller must be ready to try again.
pub(crate) fn free_port() -> Result<u16> {
    let mut random = rand::rng();
    (0..100)
        .map(|_| random.random_range(PORTS))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no free port found on 127.0.0.1")
}
