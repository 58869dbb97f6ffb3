//! One subject on a fresh control plane, through everything that is measured of it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::seq::SliceRandom;
use serde::Serialize;

use super::Settings;
use super::count::Requests;
use super::fleet::Fleet;
use super::subject::{Place, Running, Subject};
use super::usage::{self, Memory};
use crate::control_plane::{ControlPlane, Options};
use crate::sim::{Action, Config, Fault, Operation, Sim};

const TOKEN: &str = "static-token-of-the-benchmark";
/// How many are updated, deleted, or altered at Orion.
const SOME: usize = 100;
/// Time between drift checks while drift is measured.
const DRIFT: Duration = Duration::from_secs(30);
/// Load on top: so many a second.
const RATES: [u32; 2] = [20, 50];

/// What a subject did and used in one round. Times in seconds, memory in MiB.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) subject: Subject,
    pub(super) start: Start,
    pub(super) cold: Cold,
    pub(super) idle: Option<Idle>,
    pub(super) load: Vec<Load>,
    pub(super) restart: Option<Restart>,
    /// Only the operator's, in the first round.
    pub(super) changes: Option<Changes>,
    /// Only the operator's, in the first round.
    pub(super) drift: Option<Drift>,
}

/// With no objects.
#[derive(Debug, Serialize)]
pub(super) struct Start {
    /// From the start of the process until all its watches run.
    pub(super) watches: Option<f64>,
    pub(super) memory: Memory,
}

/// All objects are there, then it starts.
#[derive(Debug, Serialize)]
pub(super) struct Cold {
    pub(super) wall: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) cpu: f64,
    pub(super) apiserver_cpu: f64,
    pub(super) etcd_cpu: f64,
    /// Of the driver and the simulator together.
    pub(super) driver_cpu: f64,
    pub(super) requests: Counted,
    pub(super) memory: Memory,
}

/// Nothing changes.
#[derive(Debug, Serialize)]
pub(super) struct Idle {
    pub(super) seconds: f64,
    /// In percent of a core.
    pub(super) cpu_percent: f64,
    pub(super) requests: Counted,
    pub(super) memory: Memory,
}

/// Objects come at a fixed rate.
#[derive(Debug, Serialize)]
pub(super) struct Load {
    pub(super) rate: u32,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// It ends and starts again, with nothing changed.
#[derive(Debug, Serialize)]
pub(super) struct Restart {
    pub(super) quiet: f64,
    pub(super) cpu: f64,
    pub(super) requests: Counted,
    pub(super) memory: Memory,
}

/// Some objects are changed, and some deleted.
#[derive(Debug, Serialize)]
pub(super) struct Changes {
    pub(super) number: usize,
    pub(super) updates: Counted,
    pub(super) deletes: Counted,
}

/// Checks for drift come every 30 s.
#[derive(Debug, Serialize)]
pub(super) struct Drift {
    /// Time in which nothing differed.
    pub(super) seconds: f64,
    pub(super) cpu: f64,
    pub(super) requests: Counted,
    /// How many were altered at Orion then, and the time until each was as declared.
    pub(super) altered: usize,
    pub(super) healed: f64,
    pub(super) healing: Counted,
}

/// Requests of the subject.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Counted {
    /// Writes to Webhooks.
    pub(super) writes: u64,
    /// Events.
    pub(super) events: u64,
    /// Webhooks read one by one.
    pub(super) gets: u64,
    /// Pages of lists at the apiserver.
    pub(super) lists: u64,
    /// Calls to Orion that change something.
    pub(super) orion_changes: u64,
    /// Pages of lists at Orion.
    pub(super) orion_lists: u64,
    /// Other calls to Orion.
    pub(super) orion_others: u64,
}

/// Everything that one subject works with.
struct Stage {
    // Dropped first, before what it watches.
    fleet: Fleet,
    plane: ControlPlane,
    client: kube::Client,
    sim: Sim,
    directory: tempfile::TempDir,
    kubeconfig: std::path::PathBuf,
}

impl Stage {
    async fn new(settings: &Settings) -> Result<Self> {
        let options =
            Options { controller_manager: false, fsync: true, audit: false, quiet: true, ..Options::default() };
        let plane = ControlPlane::start(options).await?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no directory above devkit")?;
        plane.install_crds(&root.join("crds")).await?;
        plane.kubectl_ok(&["apply", "-f", &root.join("examples/install/rbac.yaml").to_string_lossy()]).await?;
        let kubeconfig = plane.service_account_kubeconfig("orion-system", "orion-operator").await?;
        let client = plane.admin_client().await?;
        let sim = Sim::start(Config { static_tokens: vec![TOKEN.into()], ..Config::default() }).await?;
        if settings.latency_ms > 0 {
            sim.add_fault(Fault::everywhere(Action::LatencyMs(settings.latency_ms)));
        }
        let fleet = Fleet::new(client.clone()).await?;
        // Warm-up, without anybody who does something with them.
        fleet.create("warm", SOME).await?;
        fleet.delete("warm", SOME).await?;
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("token"), TOKEN)?;
        Ok(Self { plane, client, sim, fleet, directory, kubeconfig })
    }

    /// Starts counting.
    async fn counts(&self) -> Result<Requests> {
        self.sim.clear_requests();
        Requests::read(&self.client).await
    }

    /// What came since.
    async fn since(&self, before: &Requests) -> Result<Counted> {
        // Events are written in the background.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let requests = Requests::read(&self.client).await?.since(before);
        let calls = |operations: &[Operation]| operations.iter().map(|operation| self.sim.count(*operation)).sum();
        let changes = [Operation::Create, Operation::Put, Operation::Patch, Operation::Delete];
        let others = [Operation::Get, Operation::Login, Operation::Openapi, Operation::Other];
        Ok(Counted {
            writes: requests.patches(),
            events: requests.events(),
            gets: requests.gets(),
            lists: requests.lists(),
            orion_changes: calls(&changes),
            orion_lists: calls(&[Operation::List]),
            orion_others: calls(&others),
        })
    }
}

/// Measures one subject.
///
/// # Errors
/// It does not do its job, or something around it fails.
pub(super) async fn measure(subject: Subject, settings: &Settings, is_first: bool) -> Result<Measured> {
    let number = settings.webhooks;
    let stage = Stage::new(settings).await?;
    let (orion, endpoint, token) = (stage.sim.url(), stage.sim.endpoint(), stage.directory.path().join("token"));
    let place = Place {
        kubeconfig: &stage.kubeconfig,
        orion: &orion,
        endpoint: &endpoint,
        token: &token,
        directory: stage.directory.path(),
        group: stage.plane.process_group(),
        operator: &settings.operator,
        flags: &settings.flags,
    };
    let start = started(subject, &place).await?;
    note(subject, &format!("makes {number} objects"));
    stage.fleet.create("cold", number).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let (running, cold) = cold(subject, &stage, &place, number).await?;
    note(subject, &format!("cold sync {:.1} s, {:.2} s of CPU, peak {:.1} MiB", cold.wall, cold.cpu, cold.memory.peak));
    if settings.cold_only {
        running.stop().await?;
        return Ok(Measured {
            subject,
            start,
            cold,
            idle: None,
            load: Vec::new(),
            restart: None,
            changes: None,
            drift: None,
        });
    }
    let idle = Some(idle(&running, &stage, settings.idle_seconds).await?);
    let load = load(&stage, settings).await?;
    let is_operator = subject == Subject::Operator;
    let changes = if is_first && is_operator { Some(changed(&stage, number.min(SOME)).await?) } else { None };
    running.stop().await?;

    let before = stage.counts().await?;
    let running = subject.start(&place, &[])?;
    let quiet = running.quiet().await?;
    let (cpu, memory) = (usage::cpu(running.pid())?.as_secs_f64(), usage::memory(running.pid())?);
    let restart = Restart { quiet, cpu, requests: stage.since(&before).await?, memory };
    note(subject, &format!("restart: quiet after {quiet:.1} s, {cpu:.2} s of CPU"));
    running.stop().await?;
    let restart = Some(restart);
    let drift = if is_first && is_operator { Some(drifted(&stage, &place, number).await?) } else { None };
    Ok(Measured { subject, start, cold, idle, load, restart, changes, drift })
}

fn note(subject: Subject, what: &str) {
    eprintln!("{}: {what}", subject.name());
}

async fn started(subject: Subject, place: &Place<'_>) -> Result<Start> {
    let running = subject.start(place, &[])?;
    let watches = match subject {
        Subject::Operator => Some(running.watches().await?),
        Subject::Floor => None,
    };
    running.quiet().await?;
    let start = Start { watches, memory: usage::memory(running.pid())? };
    running.stop().await?;
    Ok(start)
}

async fn cold(subject: Subject, stage: &Stage, place: &Place<'_>, number: usize) -> Result<(Running, Cold)> {
    let before = stage.counts().await?;
    let (etcd, apiserver) = stage.plane.process_ids().await;
    let apiserver = apiserver.context("no apiserver")?;
    let used = || anyhow::Ok([usage::cpu(etcd)?, usage::cpu(apiserver)?, usage::cpu(std::process::id())?]);
    let used_before = used()?;
    let running = subject.start(place, &[])?;
    let ready = stage.fleet.wait("cold", number, 1).await?;
    let (cpu, used_after) = (usage::cpu(running.pid())?, used()?);
    let [etcd, apiserver, driver] = [0, 1, 2].map(|index: usize| {
        let of = |used: &[Duration; 3]| used.get(index).copied().unwrap_or_default();
        (of(&used_after) - of(&used_before)).as_secs_f64()
    });
    let times = seconds(ready.iter().map(|at| at.saturating_duration_since(running.started)));
    let memory = usage::memory(running.pid())?;
    let cold = Cold {
        wall: percentile(&times, 100),
        p50: percentile(&times, 50),
        p99: percentile(&times, 99),
        cpu: cpu.as_secs_f64(),
        apiserver_cpu: apiserver,
        etcd_cpu: etcd,
        driver_cpu: driver,
        requests: stage.since(&before).await?,
        memory,
    };
    Ok((running, cold))
}

async fn idle(running: &Running, stage: &Stage, seconds: u64) -> Result<Idle> {
    running.quiet().await?;
    let before = stage.counts().await?;
    let (begun, used) = (Instant::now(), usage::cpu(running.pid())?);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (used, passed) = (usage::cpu(running.pid())? - used, begun.elapsed());
    let cpu_percent = 100.0 * used.as_secs_f64() / passed.as_secs_f64();
    let memory = usage::memory(running.pid())?;
    Ok(Idle { seconds: passed.as_secs_f64(), cpu_percent, requests: stage.since(&before).await?, memory })
}

async fn load(stage: &Stage, settings: &Settings) -> Result<Vec<Load>> {
    let mut load = Vec::new();
    for rate in RATES {
        let times = stage.fleet.create_at_rate(&format!("load{rate}"), rate, settings.load_seconds).await?;
        let times = sorted(times);
        let at = |percent| percentile(&times, percent);
        load.push(Load { rate, p50: at(50), p99: at(99), max: at(100) });
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    Ok(load)
}

async fn changed(stage: &Stage, number: usize) -> Result<Changes> {
    let before = stage.counts().await?;
    stage.fleet.replace("cold", number).await?;
    stage.fleet.wait("cold", number, 2).await?;
    let mut updates = stage.since(&before).await?;
    // Before it replaces one, the driver reads it.
    updates.gets = updates.gets.saturating_sub(number as u64);
    let before = stage.counts().await?;
    let load = format!("load{}", RATES[0]);
    stage.fleet.delete(&load, number).await?;
    Ok(Changes { number, updates, deletes: stage.since(&before).await? })
}

async fn drifted(stage: &Stage, place: &Place<'_>, number: usize) -> Result<Drift> {
    let interval = format!("{}s", DRIFT.as_secs());
    let running = Subject::Operator.start(place, &["--interval", &interval, "--min-interval", &interval])?;
    running.quiet().await?;
    let before = stage.counts().await?;
    let (begun, used) = (Instant::now(), usage::cpu(running.pid())?);
    tokio::time::sleep(DRIFT * 3).await;
    let (cpu, passed) = ((usage::cpu(running.pid())? - used).as_secs_f64(), begun.elapsed());
    let requests = stage.since(&before).await?;
    let mut ids = stage.fleet.ids("cold", number);
    ids.shuffle(&mut rand::rng());
    ids.truncate(SOME);
    let before = stage.counts().await?;
    let begun = Instant::now();
    for id in &ids {
        stage.sim.edit(id, |webhook| webhook.url.push_str("/altered"));
    }
    let is_altered = |id: &String| stage.sim.webhook(id).is_none_or(|webhook| webhook.url.ends_with("/altered"));
    while ids.iter().any(is_altered) {
        anyhow::ensure!(begun.elapsed() < DRIFT * 4, "drift is not healed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let healed = begun.elapsed().as_secs_f64();
    let drift = Drift {
        seconds: passed.as_secs_f64(),
        cpu,
        requests,
        altered: ids.len(),
        healed,
        healing: stage.since(&before).await?,
    };
    running.stop().await?;
    Ok(drift)
}

fn seconds(times: impl Iterator<Item = Duration>) -> Vec<f64> {
    sorted(times.map(|time| time.as_secs_f64()).collect())
}

fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times
}

/// The smallest of the sorted numbers that at least so many percent do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}
