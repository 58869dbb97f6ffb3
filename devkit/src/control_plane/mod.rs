//! A real Kubernetes control plane (etcd, kube-apiserver, kube-controller-manager) as local processes.
//!
//! It needs no container engine and no root, listens on 127.0.0.1 only, keeps everything in a temporary directory and
//! never touches the user's kubeconfig. Nothing runs pods: a Deployment's Pods stay Pending.

pub mod audit;
mod binaries;
mod envtest;
mod go_build;
mod guardian;
mod kubeconfig;
mod kubectl;
mod pki;
mod processes;
mod progress;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::Mutex;

pub use audit::AuditEvent;
pub use binaries::{Binaries, KUBERNETES_VERSION};
pub use kubeconfig::install_crypto_provider;

pub(crate) use go_build::tail;
pub(crate) use guardian::Guardian;
pub(crate) use kubeconfig::client;
pub(crate) use pki::write_private;
pub(crate) use processes::free_port;

use kubeconfig::Credentials;
use pki::Pki;
use processes::Daemon;
use progress::note;

/// How long kube-apiserver may take until it is ready. Seconds on an idle machine.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// How often a start is tried again because somebody else took the port just chosen.
const PORT_ATTEMPTS: u32 = 3;

/// Life of a ServiceAccount's token: a day, so that a demo left running goes on.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// How a control plane is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Run kube-controller-manager (default: yes). Without it a deleted namespace stays `Terminating` and nothing is
    /// garbage-collected, but there is one less watcher on every object.
    pub controller_manager: bool,
    /// Let etcd wait for the disk (default: no). Turn on to measure.
    pub fsync: bool,
    /// Keep an audit log of every request (default: yes).
    pub audit: bool,
    /// Say nothing (default: no). A build of the binaries, which takes minutes, is reported all the same.
    pub quiet: bool,
    /// More arguments for kube-apiserver, such as `--feature-gates=X=true` (default: none).
    pub apiserver_arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { controller_manager: true, fsync: false, audit: true, quiet: false, apiserver_arguments: Vec::new() }
    }
}

/// A running control plane. Dropping it stops every process and removes its directory; should this process be
/// killed, the processes end too.
#[derive(Debug)]
pub struct ControlPlane {
    // Fields are dropped in this order: clients of a process before the process, the directory last.
    controller_manager: Option<Daemon>,
    apiserver: Mutex<Option<Daemon>>,
    etcd: Mutex<Daemon>,
    guardian: Guardian,
    options: Options,
    binaries: Binaries,
    pki: Pki,
    port: u16,
    server_url: String,
    admin_kubeconfig: PathBuf,
    data: tempfile::TempDir,
}

impl ControlPlane {
    /// Starts a control plane and waits until it serves. Makes the binaries first if need be (see
    /// [`Binaries::ensure`]).
    ///
    /// # Errors
    /// If the binaries cannot be had or a process does not become ready; the message ends with its log.
    pub async fn start(options: Options) -> Result<Self> {
        let started = Instant::now();
        let binaries = Binaries::ensure().await?;
        if options.controller_manager && binaries.kube_controller_manager.is_none() {
            note(
                "There is no kube-controller-manager in KUBEBUILDER_ASSETS: deleted namespaces will stay Terminating.",
            );
        }
        let mut attempt = 1;
        let plane = loop {
            match Self::start_once(options.clone(), binaries.clone()).await {
                Err(error) if attempt < PORT_ATTEMPTS && port_was_taken(&error) => attempt += 1,
                result => break result?,
            }
        };
        if !options.quiet {
            note(&format!("control plane ready after {:.1} s", started.elapsed().as_secs_f64()));
        }
        Ok(plane)
    }

    async fn start_once(options: Options, binaries: Binaries) -> Result<Self> {
        let data = tempfile::Builder::new()
            .prefix("orion-control-plane-")
            .tempdir()
            .context("cannot create a temporary directory for the control plane")?;
        let dir = data.path();
        let pki = Pki::create(dir).context("cannot create the control plane's certificates")?;
        let guardian = Guardian::start(dir)?;
        let port = processes::free_port()?;
        let server_url = format!("https://127.0.0.1:{port}");
        let admin_kubeconfig = dir.join("admin.kubeconfig");
        kubeconfig::write(&admin_kubeconfig, &server_url, &pki.ca, "admin", &Credentials::Certificate(&pki.admin))?;
        if options.audit {
            std::fs::write(dir.join(AUDIT_POLICY), audit::POLICY)?;
        }
        let etcd = Daemon::start(&guardian, "etcd", &binaries.etcd, dir, processes::etcd(dir, options.fsync))?;
        let mut plane = Self {
            controller_manager: None,
            apiserver: Mutex::new(None),
            etcd: Mutex::new(etcd),
            guardian,
            options,
            binaries,
            pki,
            port,
            server_url,
            admin_kubeconfig,
            data,
        };
        plane.start_apiserver().await?;
        plane.start_controller_manager()?;
        Ok(plane)
    }

    fn start_controller_manager(&mut self) -> Result<()> {
        let Some(program) = self.binaries.kube_controller_manager.as_ref().filter(|_| self.options.controller_manager)
        else {
            return Ok(());
        };
        let dir = self.data.path();
        let path = dir.join("controller-manager.kubeconfig");
        let credentials = Credentials::Certificate(&self.pki.controller_manager);
        kubeconfig::write(&path, &self.server_url, &self.pki.ca, "controller-manager", &credentials)?;
        let arguments = processes::controller_manager(&self.pki, &path);
        self.controller_manager =
            Some(Daemon::start(&self.guardian, "kube-controller-manager", program, dir, arguments)?);
        Ok(())
    }

    /// Starts kube-apiserver on its old port with its old data, and waits until it serves. Does nothing if it runs.
    ///
    /// # Errors
    /// If it does not become ready; the message ends with its log.
    pub async fn start_apiserver(&self) -> Result<()> {
        let mut slot = self.apiserver.lock().await;
        if slot.is_some() {
            return Ok(());
        }
        let dir = self.data.path();
        let (policy, log) = (dir.join(AUDIT_POLICY), dir.join(AUDIT_LOG));
        let audit = self.options.audit.then_some((policy.as_path(), log.as_path()));
        let arguments = processes::apiserver(dir, &self.pki, self.port, audit, &self.options.apiserver_arguments);
        let mut daemon =
            Daemon::start(&self.guardian, "kube-apiserver", &self.binaries.kube_apiserver, dir, arguments)?;
        self.ready(&mut daemon).await?;
        *slot = Some(daemon);
        Ok(())
    }

    /// Kills kube-apiserver, as a crash would: open requests and watches break off. Its data stay in etcd.
    pub async fn stop_apiserver(&self) {
        self.apiserver.lock().await.take();
    }

    /// Waits until the apiserver says that it is ready and has made the first namespaces.
    async fn ready(&self, apiserver: &mut Daemon) -> Result<()> {
        let client = self.admin_client().await?;
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            self.etcd.lock().await.ensure_running()?;
            apiserver.ensure_running()?;
            let serves = tokio::time::timeout(Duration::from_secs(5), serves(&client)).await;
            let problem = match serves {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => "no answer".to_owned(),
            };
            if Instant::now() > deadline {
                bail!(
                    "kube-apiserver was not ready within {} s ({problem}); {}",
                    READY_WITHIN.as_secs(),
                    apiserver.last_words()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Path of a kubeconfig for an administrator (`system:masters`, exempt from RBAC and from flow control).
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    /// A new client for the administrator, with a connection of its own.
    ///
    /// # Errors
    /// If the kubeconfig or the certificates cannot be read.
    pub async fn admin_client(&self) -> Result<kube::Client> {
        kubeconfig::client(&self.admin_kubeconfig).await
    }

    /// `https://127.0.0.1:<port>`
    pub fn server_url(&self) -> &str {
        &self.server_url
    }

    /// Writes a kubeconfig for an existing ServiceAccount, with a token good for a day, and returns its path. It is
    /// readable by its owner only and goes with the control plane.
    ///
    /// # Errors
    /// If there is no such ServiceAccount or the file cannot be written.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin_client().await?, namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..Default::default() }),
            ..Default::default()
        };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("cannot get a token for the ServiceAccount {namespace}/{name}"))?;
        let token =
            answer.status.and_then(|status| status.token).context("the answer to a TokenRequest has no token")?;
        let path = self.data.path().join(format!("{namespace}.{name}.kubeconfig"));
        kubeconfig::write(&path, &self.server_url, &self.pki.ca, name, &Credentials::Token(&token))?;
        Ok(path)
    }

    /// Every request that kube-apiserver has answered so far, in the order of its log. An answer may reach the client
    /// a moment before the log, so wait for an entry rather than look once.
    ///
    /// # Errors
    /// If [`Options::audit`] is off or the log cannot be read.
    pub fn audit_events(&self) -> Result<Vec<AuditEvent>> {
        audit::events(&self.data.path().join(AUDIT_LOG))
    }

    /// Whether kube-controller-manager runs: only then do deleted namespaces go away.
    pub fn has_controller_manager(&self) -> bool {
        self.controller_manager.is_some()
    }

    /// Process ids of etcd and kube-apiserver, while it runs.
    pub async fn process_ids(&self) -> (u32, Option<u32>) {
        (self.etcd.lock().await.id(), self.apiserver.lock().await.as_ref().map(Daemon::id))
    }

    /// A process group that is killed when the control plane goes, however this process ends: for what runs against it.
    pub fn process_group(&self) -> i32 {
        self.guardian.group()
    }

    /// The temporary directory with certificates, kubeconfigs, etcd's data and one log per process.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }
}

const AUDIT_POLICY: &str = "audit-policy.yaml";
const AUDIT_LOG: &str = "audit.log";

async fn serves(client: &kube::Client) -> Result<()> {
    client.request_text(http::Request::get("/readyz").body(Vec::new())?).await?;
    Api::<Namespace>::all(client.clone()).get("default").await?;
    Ok(())
}

/// Whether kube-apiserver ended because something else listens on its port.
fn port_was_taken(error: &anyhow::Error) -> bool {
    error.to_string().contains("address already in use")
}
