//! One subject on a fresh control plane, through everything that is measured of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::seq::SliceRandom;

use super::Settings;
use super::kind::Kind;
use super::measured::{Changes, Cold, Drift, Idle, Load, Measured, Restart, Start};
use super::numbers::{percentile, sorted};
use super::running::Running;
use super::stage::Stage;
use super::subject::{Place, Subject, What};
use super::usage;
use crate::sim::Operation;

/// How many are updated, deleted, or altered at Orion.
const SOME: usize = 100;
/// Time between drift checks while drift is measured.
const DRIFT: Duration = Duration::from_secs(30);
/// Load on top: so many a second.
const RATES: [u32; 2] = [20, 50];
/// provider-http is not quiet between two polls: this is one of them, by its default.
const POLL: Duration = Duration::from_secs(60);

/// Measures one subject.
///
/// # Errors
/// It does not do its job, or something around it fails.
pub(super) async fn measure(subject: &Subject, settings: &Settings, is_first: bool) -> Result<Measured> {
    let number = settings.webhooks;
    let stage = Stage::new(settings, subject).await?;
    let place = stage.place(settings);
    let start = started(subject, &place).await?;
    subject.note(&format!("makes {number} objects"));
    stage.fleet.create("cold", number).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let (mut running, cold) = cold(subject, &stage, &place, settings).await?;
    let (took, peak) = (cold.wall.unwrap_or(cold.waited), cold.memory.peak);
    subject.note(&format!("{} of {number} in {took:.1} s, {:.2} s of CPU, peak {peak:.1} MiB", cold.ready, cold.cpu));
    let name = subject.name.clone();
    let mut measured = Measured {
        subject: name,
        start,
        cold,
        idle: None,
        load: Vec::new(),
        restart: None,
        changes: None,
        drift: None,
    };
    if settings.cold_only || !settings.concurrency.is_empty() {
        running.stop().await?;
        return Ok(measured);
    }
    let is_peer = subject.kind() == Kind::Request;
    measured.idle = Some(idle(subject, &mut running, &stage, settings).await?);
    if !is_peer {
        measured.load = load(&stage, settings).await?;
    }
    // Once for the operator, as it is usually run.
    let is_operator = matches!(&subject.what, What::Operator { selectors, .. } if selectors.is_empty());
    let is_whole = is_first && is_operator;
    if is_whole {
        measured.changes = Some(changed(&stage, number.min(SOME)).await?);
    }
    running.stop().await?;
    measured.restart = Some(restarted(subject, &stage, &place).await?);
    if is_whole {
        measured.drift = Some(drifted(subject, &stage, &place, number).await?);
    }
    Ok(measured)
}

async fn started(subject: &Subject, place: &Place) -> Result<Start> {
    let mut running = place.start(subject, &[])?;
    let watches = match subject.what {
        What::Operator { .. } => Some(running.watches().await?),
        What::Floor { .. } | What::Peer { .. } => None,
    };
    running.quiet().await?;
    let start = Start { watches, memory: running.memory()? };
    running.stop().await?;
    Ok(start)
}

async fn cold(subject: &Subject, stage: &Stage, place: &Place, settings: &Settings) -> Result<(Running, Cold)> {
    let number = settings.webhooks;
    let before = stage.counts().await?;
    let (etcd, apiserver) = stage.plane.process_ids().await;
    let apiserver = apiserver.context("no apiserver")?;
    let used = || anyhow::Ok([usage::cpu(etcd)?, usage::cpu(apiserver)?, usage::cpu(std::process::id())?]);
    let used_before = used()?;
    let mut running = place.start(subject, &[])?;
    // provider-http creates all before the first is Ready: that is progress too.
    let pulse = || {
        running.ensure_running()?;
        Ok(match subject.kind() {
            Kind::Webhook => 0,
            Kind::Request => stage.sim.count(Operation::Create),
        })
    };
    let at_most = Duration::from_secs(settings.limit_seconds);
    let reached = stage.fleet.reach("cold", number, 1, at_most, pulse).await?;
    let (waited, cpu, used_after) = (running.started.elapsed(), running.cpu()?, used()?);
    let ready = reached.ready.len();
    // A peer's failure is a result, one of ours is not.
    let seconds = waited.as_secs();
    ensure!(
        ready == number || subject.kind() == Kind::Request,
        "only {ready} of {number} became Ready in {seconds} s: --limit-seconds sets the most, and it is given up where nothing moves"
    );
    let [etcd, apiserver, driver] = [0, 1, 2].map(|index: usize| {
        let of = |used: &[Duration; 3]| used.get(index).copied().unwrap_or_default();
        (of(&used_after) - of(&used_before)).as_secs_f64()
    });
    let since_start = |at: &Instant| at.saturating_duration_since(running.started).as_secs_f64();
    let times = sorted(reached.ready.iter().map(since_start).collect());
    let at = |percent| (ready == number).then(|| percentile(&times, percent));
    let (memory, open_files) = (running.memory()?, running.open_files()?);
    let cold = Cold {
        objects: number,
        ready,
        stuck: reached.stuck,
        duplicates: stage.duplicates(),
        waited: waited.as_secs_f64(),
        wall: at(100),
        p50: at(50),
        p99: at(99),
        cpu: cpu.as_secs_f64(),
        apiserver_cpu: apiserver,
        etcd_cpu: etcd,
        driver_cpu: driver,
        requests: stage.since(&before).await?,
        memory,
        open_files,
    };
    Ok((running, cold))
}

async fn idle(subject: &Subject, running: &mut Running, stage: &Stage, settings: &Settings) -> Result<Idle> {
    let mut window = Duration::from_secs(settings.idle_seconds);
    match subject.kind() {
        Kind::Webhook => {
            running.quiet().await?;
        }
        Kind::Request => window = window.max(POLL),
    }
    let before = stage.counts().await?;
    let (begun, used) = (Instant::now(), running.cpu()?);
    tokio::time::sleep(window).await;
    let (used, passed) = (running.cpu()? - used, begun.elapsed());
    let cpu_percent = 100.0 * used.as_secs_f64() / passed.as_secs_f64();
    let memory = running.memory()?;
    Ok(Idle { seconds: passed.as_secs_f64(), cpu_percent, requests: stage.since(&before).await?, memory })
}

async fn restarted(subject: &Subject, stage: &Stage, place: &Place) -> Result<Restart> {
    let before = stage.counts().await?;
    let mut running = place.start(subject, &[])?;
    let quiet = match subject.kind() {
        Kind::Webhook => Some(running.quiet().await?),
        Kind::Request => {
            tokio::time::sleep(POLL).await;
            None
        }
    };
    let (cpu, memory) = (running.cpu()?.as_secs_f64(), running.memory()?);
    let requests = stage.since(&before).await?;
    let seconds = running.started.elapsed().as_secs_f64();
    subject.note(&format!("restart: {} writes, {} calls to Orion", requests.writes, requests.orion()));
    running.stop().await?;
    Ok(Restart { objects: stage.fleet.number(), quiet, seconds, cpu, requests, memory })
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
    updates.without_drivers("PUT webhooks", number);
    let before = stage.counts().await?;
    let load = format!("load{}", RATES[0]);
    stage.fleet.delete(&load, number).await?;
    let mut deletes = stage.since(&before).await?;
    deletes.without_drivers("DELETE webhooks", number);
    Ok(Changes { number, updates, deletes })
}

async fn drifted(subject: &Subject, stage: &Stage, place: &Place, number: usize) -> Result<Drift> {
    let interval = format!("{}s", DRIFT.as_secs());
    let mut running = place.start(subject, &["--interval", &interval, "--min-interval", &interval])?;
    running.quiet().await?;
    let before = stage.counts().await?;
    let (begun, used) = (Instant::now(), running.cpu()?);
    tokio::time::sleep(DRIFT * 3).await;
    let (cpu, passed) = ((running.cpu()? - used).as_secs_f64(), begun.elapsed());
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
        ensure!(begun.elapsed() < DRIFT * 4, "drift is not healed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let healed = begun.elapsed().as_secs_f64();
    let drift = Drift {
        objects: stage.fleet.number(),
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
