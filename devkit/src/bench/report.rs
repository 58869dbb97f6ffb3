//! The results: a JSON file with everything, and a table of it.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::Settings;
use super::machine::Machine;
use super::round::{Counted, Measured};
use super::subject::Subject;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) settings: Settings,
    pub(super) measured: Vec<Measured>,
}

/// A number of a round.
type Number = fn(&Measured) -> Option<f64>;

/// Rows of the table of times and sizes, with how many decimals.
const ROWS: [(&str, usize, Number); 23] = [
    ("cold sync, s", 1, |it| Some(it.cold.wall)),
    ("half of them Ready after, s", 1, |it| Some(it.cold.p50)),
    ("its CPU, s", 2, |it| Some(it.cold.cpu)),
    ("kube-apiserver's CPU, s", 1, |it| Some(it.cold.apiserver_cpu)),
    ("etcd's CPU, s", 1, |it| Some(it.cold.etcd_cpu)),
    ("driver's and simulator's CPU, s", 1, |it| Some(it.cold.driver_cpu)),
    ("memory with nothing, MiB", 1, |it| Some(it.start.memory.resident)),
    ("memory at the peak of the cold sync, MiB", 1, |it| Some(it.cold.memory.peak)),
    ("memory after it, MiB", 1, |it| it.idle.as_ref().map(|idle| idle.memory.resident)),
    ("idle, % of a core", 2, |it| it.idle.as_ref().map(|idle| idle.cpu_percent)),
    ("apply to Ready at 20/s, p50, ms", 0, |it| it.load.first().map(|load| load.p50 * 1000.0)),
    ("apply to Ready at 20/s, p99, ms", 0, |it| it.load.first().map(|load| load.p99 * 1000.0)),
    ("apply to Ready at 50/s, p50, ms", 0, |it| it.load.get(1).map(|load| load.p50 * 1000.0)),
    ("apply to Ready at 50/s, p99, ms", 0, |it| it.load.get(1).map(|load| load.p99 * 1000.0)),
    ("restart, quiet after, s", 1, |it| it.restart.as_ref().map(|restart| restart.quiet)),
    ("restart, CPU, s", 2, |it| it.restart.as_ref().map(|restart| restart.cpu)),
    ("restart, memory at the peak, MiB", 1, |it| it.restart.as_ref().map(|restart| restart.memory.peak)),
    ("restart, memory after it, MiB", 1, |it| it.restart.as_ref().map(|restart| restart.memory.resident)),
    ("start of the process to all watches, ms", 0, |it| it.start.watches.map(|seconds| seconds * 1000.0)),
    ("drift of 30 s, 90 s, CPU, s", 2, |it| it.drift.as_ref().map(|drift| drift.cpu)),
    ("drift of 30 s, healed after, s", 1, |it| it.drift.as_ref().map(|drift| drift.healed)),
    ("writes for each object", 2, |it| Some(it.cold.requests.writes as f64 / (it.cold.requests.orion_changes as f64))),
    ("Events for each object", 2, |it| Some(it.cold.requests.events as f64 / (it.cold.requests.orion_changes as f64))),
];

impl Report {
    /// Writes `<webhooks>.json` and `<webhooks>.md`.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn write(&self) -> Result<()> {
        let out = &self.settings.out;
        std::fs::create_dir_all(out)?;
        std::fs::write(out.join(format!("{}.json", self.settings.webhooks)), serde_json::to_string_pretty(self)?)?;
        std::fs::write(out.join(format!("{}.md", self.settings.webhooks)), self.table())?;
        Ok(())
    }

    fn of(&self, subject: Subject) -> impl Iterator<Item = &Measured> {
        self.measured.iter().filter(move |measured| measured.subject == subject)
    }

    /// Median and range of each number, and of the ratios of each round.
    pub(super) fn table(&self) -> String {
        let Machine { processor, cores, memory_gib, kernel, disk_write_ms, kubernetes, rust, commit, .. } =
            &self.machine;
        let settings = &self.settings;
        let mut text = format!(
            "{} Webhooks, {} rounds, Orion answers after {} ms. {cores} cores of {processor}, {memory_gib:.0} GiB, Linux {kernel}, \
             a write of 4 KiB to the disk {disk_write_ms:.1} ms, load before {}. Kubernetes {kubernetes}, {rust}, commit {commit}, \
             operator {:.1} MiB, flags `{}`.\n\n| | floor | operator | operator / floor |\n|---|---|---|---|\n",
            settings.webhooks,
            settings.rounds,
            settings.latency_ms,
            self.machine.load_average,
            self.machine.operator_mib,
            settings.flags.join(" "),
        );
        for (name, decimals, number) in ROWS {
            let of = |subject| self.of(subject).map(number).collect::<Vec<_>>();
            let (floor, operator) = (of(Subject::Floor), of(Subject::Operator));
            let ratio = |(floor, operator): (&Option<f64>, &Option<f64>)| {
                floor.zip(*operator).filter(|(floor, _)| *floor > 0.0).map(|(floor, operator)| operator / floor)
            };
            let ratios: Vec<Option<f64>> = floor.iter().zip(&operator).map(ratio).collect();
            let shown = [(&floor, decimals), (&operator, decimals), (&ratios, 2)]
                .map(|(them, decimals)| spread(them, decimals));
            let _never = writeln!(text, "| {name} | {} |", shown.join(" | "));
        }
        text.push_str("\n| requests | Webhooks | writes | Events | reads of one | list pages | Orion: changes | list pages | other |\n|---|---|---|---|---|---|---|---|---|\n");
        for measured in [Subject::Floor, Subject::Operator].iter().filter_map(|subject| self.of(*subject).next()) {
            counts(&mut text, measured, settings.webhooks);
        }
        text
    }
}

fn counts(text: &mut String, measured: &Measured, webhooks: usize) {
    let name = measured.subject.name();
    let mut row = |what: &str, number: usize, it: &Counted| {
        let Counted { writes, events, gets, lists, orion_changes, orion_lists, orion_others } = it;
        let _never = writeln!(
            text,
            "| {name}: {what} | {number} | {writes} | {events} | {gets} | {lists} | {orion_changes} | {orion_lists} | {orion_others} |"
        );
    };
    row("create", webhooks, &measured.cold.requests);
    if let Some(idle) = &measured.idle {
        row(&format!("idle for {:.0} s", idle.seconds), webhooks, &idle.requests);
    }
    if let Some(restart) = &measured.restart {
        row("restart", webhooks, &restart.requests);
    }
    if let Some(changes) = &measured.changes {
        row("update", changes.number, &changes.updates);
        row("delete", changes.number, &changes.deletes);
    }
    if let Some(drift) = &measured.drift {
        row(&format!("{:.0} s of drift checks each 30 s", drift.seconds), webhooks, &drift.requests);
        row("drift healed", drift.altered, &drift.healing);
    }
}

/// `median (least-most)` of what is there.
fn spread(them: &[Option<f64>], decimals: usize) -> String {
    let mut them: Vec<f64> = them.iter().copied().flatten().collect();
    them.sort_by(f64::total_cmp);
    match them.as_slice() {
        [] => "-".to_owned(),
        [only] => format!("{only:.decimals$}"),
        [least, .., most] => {
            let upper = them.get(them.len() / 2).copied().unwrap_or_default();
            let lower = them.get((them.len() - 1) / 2).copied().unwrap_or_default();
            format!("{:.decimals$} ({least:.decimals$}-{most:.decimals$})", (upper + lower) / 2.0)
        }
    }
}
