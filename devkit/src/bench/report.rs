//! The results: a JSON file with everything, and tables of it.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::Settings;
use super::machine::Machine;
use super::measured::{Counted, Measured};
use super::numbers::spread;
use super::subject::TUNED;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) settings: Settings,
    /// Of the subjects, in the order of the columns.
    pub(super) names: Vec<String>,
    pub(super) measured: Vec<Measured>,
}

/// A number of a round.
type Number = fn(&Measured) -> Option<f64>;

fn for_each(number: u64, measured: &Measured) -> Option<f64> {
    Some(number as f64 / measured.cold.objects as f64)
}

/// Rows of the table of times and sizes, with how many decimals. One of which nobody has a number is left out.
const ROWS: [(&str, usize, Number); 29] = [
    ("Ready", 0, |it| Some(it.cold.ready as f64)),
    ("cold sync, s", 1, |it| it.cold.wall),
    ("half of them Ready after, s", 1, |it| it.cold.p50),
    ("its CPU, s", 2, |it| Some(it.cold.cpu)),
    ("kube-apiserver's CPU, s", 1, |it| Some(it.cold.apiserver_cpu)),
    ("etcd's CPU, s", 1, |it| Some(it.cold.etcd_cpu)),
    ("driver's and simulator's CPU, s", 1, |it| Some(it.cold.driver_cpu)),
    ("writes for each object", 2, |it| for_each(it.cold.requests.writes, it)),
    ("of these refused (409)", 2, |it| for_each(it.cold.requests.conflicts, it)),
    ("Events for each object", 2, |it| for_each(it.cold.requests.events, it)),
    ("calls to Orion for each object", 2, |it| for_each(it.cold.requests.orion(), it)),
    ("webhooks at Orion beyond one each", 0, |it| Some(it.cold.duplicates as f64)),
    ("objects that wait for a person", 0, |it| Some(it.cold.stuck as f64)),
    ("files and sockets open after it", 0, |it| Some(it.cold.open_files as f64)),
    ("memory with nothing, MiB", 1, |it| Some(it.start.memory.resident)),
    ("memory at the peak of the cold sync, MiB", 1, |it| Some(it.cold.memory.peak)),
    ("memory after it, MiB", 1, |it| it.idle.as_ref().map(|idle| idle.memory.resident)),
    ("idle, % of a core", 2, |it| it.idle.as_ref().map(|idle| idle.cpu_percent)),
    ("apply to Ready at 20/s, p50, ms", 0, |it| it.load.first().map(|load| load.p50 * 1000.0)),
    ("apply to Ready at 20/s, p99, ms", 0, |it| it.load.first().map(|load| load.p99 * 1000.0)),
    ("apply to Ready at 50/s, p50, ms", 0, |it| it.load.get(1).map(|load| load.p50 * 1000.0)),
    ("apply to Ready at 50/s, p99, ms", 0, |it| it.load.get(1).map(|load| load.p99 * 1000.0)),
    ("restart, quiet after, s", 1, |it| it.restart.as_ref().and_then(|restart| restart.quiet)),
    ("restart, CPU, s", 2, |it| it.restart.as_ref().map(|restart| restart.cpu)),
    ("restart, memory at the peak, MiB", 1, |it| it.restart.as_ref().map(|restart| restart.memory.peak)),
    ("restart, memory after it, MiB", 1, |it| it.restart.as_ref().map(|restart| restart.memory.resident)),
    ("start of the process to all watches, ms", 0, |it| it.start.watches.map(|seconds| seconds * 1000.0)),
    ("drift of 30 s, 90 s, CPU, s", 2, |it| it.drift.as_ref().map(|drift| drift.cpu)),
    ("drift of 30 s, healed after, s", 1, |it| it.drift.as_ref().map(|drift| drift.healed)),
];

/// Columns of the table by concurrency.
const BY_CONCURRENCY: [(&str, usize, Number); 4] = [
    ("cold sync, s", 1, |it| it.cold.wall),
    ("its CPU, s", 2, |it| Some(it.cold.cpu)),
    ("kube-apiserver's CPU, s", 1, |it| Some(it.cold.apiserver_cpu)),
    ("memory at the peak, MiB", 1, |it| Some(it.cold.memory.peak)),
];

impl Report {
    /// Writes `<webhooks>.json` and `<webhooks>.md`, with a word in the name for what is measured beyond operator and floor.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn write(&self) -> Result<()> {
        let out = &self.settings.out;
        std::fs::create_dir_all(out)?;
        let name = self.settings.name();
        std::fs::write(out.join(format!("{name}.json")), serde_json::to_string_pretty(self)?)?;
        std::fs::write(out.join(format!("{name}.md")), self.table())?;
        Ok(())
    }

    fn of(&self, subject: &str) -> impl Iterator<Item = &Measured> {
        self.measured.iter().filter(move |measured| measured.subject == subject)
    }

    fn numbers(&self, subject: &str, number: Number) -> Vec<Option<f64>> {
        self.of(subject).map(number).collect()
    }

    /// Of each round: of the one to the other.
    fn ratios(&self, subject: &str, base: &str, number: Number) -> Vec<Option<f64>> {
        let (of, base) = (self.numbers(subject, number), self.numbers(base, number));
        of.iter()
            .zip(&base)
            .map(|(of, base)| of.zip(base.filter(|base| *base > 0.0)).map(|(of, base)| of / base))
            .collect()
    }

    /// Everything, in Markdown.
    pub(super) fn table(&self) -> String {
        let mut text = self.conditions();
        if self.settings.concurrency.is_empty() {
            self.by_subject(&mut text);
            self.requests(&mut text);
        } else {
            self.by_concurrency(&mut text);
        }
        text
    }

    fn conditions(&self) -> String {
        let Machine { processor, cores, memory_gib, kernel, disk_write_ms, kubernetes, rust, commit, peer, .. } =
            &self.machine;
        let settings = &self.settings;
        // By concurrency, that flag is the first column.
        let is_said =
            |flag: &&String| settings.concurrency.is_empty() || !flag.starts_with("--max-concurrent-reconciles");
        let flags: Vec<&str> = settings.flags.iter().filter(is_said).map(String::as_str).collect();
        let own = if settings.peer_flags.is_empty() { "its defaults" } else { &settings.peer_flags };
        let peer = peer.as_ref().map(|version| format!(", provider-http {version} with {own}, tuned with {TUNED}"));
        let peer = peer.unwrap_or_default();
        format!(
            "{} Webhooks, {} rounds, Orion answers after {} ms. {cores} cores of {processor}, {memory_gib:.0} GiB, Linux {kernel}, \
             a write of 4 KiB to the disk {disk_write_ms:.1} ms, load before {}. Kubernetes {kubernetes}, {rust}, commit {commit}, \
             operator {:.1} MiB, flags `{}`{peer}.\n\n",
            settings.webhooks,
            settings.rounds,
            settings.latency_ms,
            self.machine.load_average,
            self.machine.operator_mib,
            flags.join(" "),
        )
    }

    /// Median and range of each number; then ratios of each round, the operator's to the floor and the others' to the operator.
    fn by_subject(&self, text: &mut String) {
        let base = |name: &str| if name == "operator" { "floor" } else { "operator" };
        let is_there = |name: &str| self.names.iter().any(|it| it == name);
        let pairs: Vec<(&str, &str)> = self
            .names
            .iter()
            .filter(|name| *name != "floor" && is_there(base(name)))
            .map(|name| (name.as_str(), base(name)))
            .collect();
        let mut heads = self.names.clone();
        heads.extend(pairs.iter().map(|(name, base)| format!("{name} / {base}")));
        row(text, "", &heads);
        row(text, "---", &vec!["---".to_owned(); heads.len()]);
        for (name, decimals, number) in ROWS {
            let them: Vec<_> = self.names.iter().map(|subject| self.numbers(subject, number)).collect();
            if them.iter().flatten().all(Option::is_none) {
                continue;
            }
            let mut shown: Vec<String> = them.iter().map(|them| spread(them, decimals)).collect();
            shown.extend(pairs.iter().map(|(name, base)| spread(&self.ratios(name, base, number), 2)));
            row(text, name, &shown);
        }
        for it in self.measured.iter().filter(|it| it.cold.ready < it.cold.objects) {
            let (ready, objects, waited) = (it.cold.ready, it.cold.objects, it.cold.waited);
            let _never =
                writeln!(text, "\n{}: {ready} of {objects} Ready in {waited:.0} s, when it was given up.", it.subject);
        }
    }

    fn by_concurrency(&self, text: &mut String) {
        let heads = BY_CONCURRENCY
            .iter()
            .flat_map(|(name, ..)| [format!("floor: {name}"), format!("operator: {name}"), "ratio".to_owned()]);
        let heads: Vec<String> = heads.collect();
        row(text, "in flight", &heads);
        row(text, "---", &vec!["---".to_owned(); heads.len()]);
        for in_flight in &self.settings.concurrency {
            let (floor, operator) = (format!("floor {in_flight}"), format!("operator {in_flight}"));
            let cells = BY_CONCURRENCY.iter().flat_map(|(_, decimals, number)| {
                let shown = |subject: &str| spread(&self.numbers(subject, *number), *decimals);
                [shown(&floor), shown(&operator), spread(&self.ratios(&operator, &floor, *number), 2)]
            });
            row(text, &in_flight.to_string(), &cells.collect::<Vec<_>>());
        }
    }

    fn requests(&self, text: &mut String) {
        text.push_str(
            "\n| requests | objects | writes | refused (409) | Events | reads of one | list pages | in all | Orion: changes | list pages | other |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        let firsts: Vec<&Measured> = self.names.iter().filter_map(|name| self.of(name).next()).collect();
        for measured in &firsts {
            counts(text, measured);
        }
        text.push_str("\nWrites and Events of a cold sync:\n");
        for measured in firsts {
            let each = measured.cold.requests.each.iter().map(|(what, count)| format!("{count} {what}"));
            let _never = writeln!(text, "- {}: {}", measured.subject, each.collect::<Vec<_>>().join(", "));
        }
    }
}

fn row(text: &mut String, head: &str, cells: &[String]) {
    let _never = writeln!(text, "| {head} | {} |", cells.join(" | "));
}

fn counts(text: &mut String, measured: &Measured) {
    let mut line = |what: &str, number: usize, it: &Counted| {
        let Counted { writes, conflicts, events, gets, lists, all, orion_changes, orion_lists, orion_others, each: _ } =
            it;
        let numbers = [writes, conflicts, events, gets, lists, all, orion_changes, orion_lists, orion_others];
        let cells: Vec<String> = std::iter::once(number.to_string()).chain(numbers.map(u64::to_string)).collect();
        row(text, &format!("{}: {what}", measured.subject), &cells);
    };
    let objects = measured.cold.objects;
    line("create", objects, &measured.cold.requests);
    if let Some(idle) = &measured.idle {
        line(&format!("idle for {:.0} s", idle.seconds), objects, &idle.requests);
    }
    if let Some(restart) = &measured.restart {
        line(&format!("restart, {:.0} s", restart.seconds), restart.objects, &restart.requests);
    }
    if let Some(changes) = &measured.changes {
        line("update", changes.number, &changes.updates);
        line("delete", changes.number, &changes.deletes);
    }
    if let Some(drift) = &measured.drift {
        line(&format!("{:.0} s of drift checks each 30 s", drift.seconds), drift.objects, &drift.requests);
        line("drift healed", drift.altered, &drift.healing);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::bench::measured::{Cold, Idle};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn report(line: &str, cold: &[(&str, usize, Option<f64>)]) -> Report {
        let settings = Line::parse_from(line.split(' ')).settings;
        let names = crate::bench::Subject::all(&settings).into_iter().map(|it| it.name).collect();
        let measured = |(subject, ready, wall): &(&str, usize, Option<f64>)| Measured {
            subject: (*subject).to_owned(),
            cold: Cold { objects: 200, ready: *ready, wall: *wall, waited: 144.0, ..Cold::default() },
            ..Measured::default()
        };
        Report { machine: Machine::default(), settings, names, measured: cold.iter().map(measured).collect() }
    }

    #[test]
    fn ratios_are_of_the_same_round_and_nothing_is_made_of_what_did_not_end() {
        let all = [
            ("floor", 200, Some(2.0)),
            ("operator", 200, Some(3.0)),
            ("operator", 200, Some(8.0)),
            ("floor", 200, Some(4.0)),
            ("provider-http", 180, None),
            ("provider-http, tuned", 200, Some(30.0)),
        ];
        let table = report("bench --peer p", &all).table();
        for line in [
            "|  | floor | operator | provider-http | provider-http, tuned | operator / floor | provider-http / operator | \
             provider-http, tuned / operator |",
            "| cold sync, s | 3.0 (2.0-4.0) | 5.5 (3.0-8.0) | - | 30.0 | 1.75 (1.50-2.00) | - | 10.00 |",
            "provider-http: 180 of 200 Ready in 144 s, when it was given up.",
        ] {
            assert!(table.lines().any(|it| it == line), "{line}\n{table}");
        }
        // Nobody was measured at rest.
        assert!(!table.contains("idle, % of a core"), "{table}");
        let mut with_idle = report("bench", &all[..2]);
        with_idle.measured[1].idle = Some(Idle::default());
        assert!(with_idle.table().contains("| idle, % of a core | - | 0.00 | - |"), "{}", with_idle.table());
    }

    #[test]
    fn a_line_for_each_number_in_flight() {
        let all = [("floor 8", 200, Some(2.0)), ("operator 8", 200, Some(3.0)), ("operator 16", 200, Some(2.5))];
        let table = report("bench --concurrency 8,16", &all).table();
        for (in_flight, cells) in [("8", "2.0 | 3.0 | 1.50 |"), ("16", "- | 2.5 | - |")] {
            assert!(table.contains(&format!("| {in_flight} | {cells}")), "{table}");
        }
    }
}
