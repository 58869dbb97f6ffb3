//! Where one subject is measured: a fresh control plane, a simulated Orion, and the objects.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::count::Requests;
use super::fleet::Fleet;
use super::kind::{Kind, Recipe};
use super::measured::Counted;
use super::numbers::duplicates;
use super::subject::{Place, Subject};
use super::{Settings, peer};
use crate::control_plane::{ControlPlane, Options};
use crate::sim::{Action, Config, Fault, Operation, Sim};

const TOKEN: &str = "static-token-of-the-benchmark";
/// Made and deleted before anything is measured.
const WARM_UP: usize = 100;

/// Everything that one subject works with.
pub(super) struct Stage {
    // Dropped first, before what it watches.
    pub(super) fleet: Fleet,
    pub(super) plane: ControlPlane,
    client: kube::Client,
    pub(super) sim: Sim,
    directory: tempfile::TempDir,
    kubeconfig: PathBuf,
    kind: Kind,
}

impl Stage {
    /// Sets it up.
    ///
    /// # Errors
    /// Something does not start.
    pub(super) async fn new(settings: &Settings, subject: &Subject) -> Result<Self> {
        let options =
            Options { controller_manager: false, fsync: true, audit: false, quiet: true, ..Options::default() };
        let plane = ControlPlane::start(options).await?;
        let kubeconfig = match subject.kind() {
            Kind::Webhook => {
                let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no directory above devkit")?;
                plane.install_crds(&root.join("crds")).await?;
                plane.kubectl_ok(&["apply", "-f", &root.join("examples/install/rbac.yaml").to_string_lossy()]).await?;
                plane.service_account_kubeconfig("orion-system", "orion-operator").await?
            }
            Kind::Request => {
                let crds = settings.peer_crds.as_deref().context("no directory of definitions")?;
                peer::prepare(&plane, crds, TOKEN).await?
            }
        };
        let client = plane.admin_client().await?;
        let sim = Sim::start(Config { static_tokens: vec![TOKEN.into()], ..Config::default() }).await?;
        if settings.latency_ms > 0 {
            sim.add_fault(Fault::everywhere(Action::LatencyMs(settings.latency_ms)));
        }
        let recipe = Recipe { endpoint: sim.endpoint(), shards: settings.shards };
        let fleet = Fleet::new(client.clone(), subject.kind(), recipe).await?;
        // Warm-up, without anybody who does something with them.
        fleet.create("warm", WARM_UP).await?;
        fleet.delete("warm", WARM_UP).await?;
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("token"), TOKEN)?;
        Ok(Self { fleet, plane, client, sim, directory, kubeconfig, kind: subject.kind() })
    }

    /// What a subject is to know of it.
    pub(super) fn place(&self, settings: &Settings) -> Place {
        Place {
            kubeconfig: self.kubeconfig.clone(),
            orion: self.sim.url(),
            endpoint: self.sim.endpoint(),
            token: self.directory.path().join("token"),
            directory: self.directory.path().to_owned(),
            group: self.plane.process_group(),
            operator: settings.operator.clone(),
            flags: settings.flags.clone(),
        }
    }

    /// Starts counting.
    pub(super) async fn counts(&self) -> Result<Requests> {
        self.sim.clear_requests();
        Requests::read(&self.client).await
    }

    /// What came since.
    pub(super) async fn since(&self, before: &Requests) -> Result<Counted> {
        // Events are written in the background.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let requests = Requests::read(&self.client).await?.since(before);
        let calls = |operations: &[Operation]| operations.iter().map(|operation| self.sim.count(*operation)).sum();
        let changes = [Operation::Create, Operation::Put, Operation::Patch, Operation::Delete];
        let others = [Operation::Get, Operation::Login, Operation::Openapi, Operation::Other];
        Ok(Counted {
            writes: requests.writes(self.kind),
            conflicts: requests.conflicts(self.kind),
            events: requests.events(),
            gets: requests.gets(self.kind),
            lists: requests.lists(self.kind),
            all: requests.all(),
            orion_changes: calls(&changes),
            orion_lists: calls(&[Operation::List]),
            orion_others: calls(&others),
            each: requests.each(self.kind),
        })
    }

    /// Webhooks at Orion beyond one for each object.
    pub(super) fn duplicates(&self) -> usize {
        duplicates(self.sim.webhooks().iter().map(|webhook| webhook.presence_name.as_str()))
    }
}
