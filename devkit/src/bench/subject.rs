//! What is measured: the floor, the operator as one process or several, and provider-http.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::Settings;
use super::kind::Kind;
use super::numbers::selectors;
use super::running::Running;

/// Flags of provider-http with which it does best on two cores: more at once, and it loses track of objects.
pub(super) const TUNED: &str = "--max-reconcile-rate=20 --poll=10m";

/// What is measured, and how it is called in the tables.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) what: What,
}

/// What is measured.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// The smallest program, with so many Webhooks in flight.
    Floor { in_flight: usize },
    /// The operator, with more flags, as a process for each selector; with none, as one process for all Webhooks.
    Operator { flags: Vec<String>, selectors: Vec<String> },
    /// provider-http, with its flags.
    Peer { program: PathBuf, flags: Vec<String> },
}

impl Subject {
    /// All that are to be measured.
    pub(super) fn all(settings: &Settings) -> Vec<Self> {
        let new = |name: String, what: What| Self { name, what };
        if !settings.concurrency.is_empty() {
            let at_once = |number: &usize| {
                let flags = vec![format!("--max-concurrent-reconciles={number}")];
                [
                    new(format!("floor {number}"), What::Floor { in_flight: *number }),
                    new(format!("operator {number}"), What::Operator { flags, selectors: Vec::new() }),
                ]
            };
            return settings.concurrency.iter().flat_map(at_once).collect();
        }
        let operator = |selectors| What::Operator { flags: Vec::new(), selectors };
        let mut all = Vec::new();
        if !settings.without_floor {
            all.push(new("floor".to_owned(), What::Floor { in_flight: 32 }));
        }
        all.push(new("operator".to_owned(), operator(Vec::new())));
        if settings.shards > 1 {
            let name = format!("operator, {} processes", settings.shards);
            all.push(new(name, operator(selectors(settings.shards))));
        }
        if let Some(program) = &settings.peer {
            let words = |flags: &str| flags.split_whitespace().map(str::to_owned).collect();
            let peer = |flags: &str| What::Peer { program: program.clone(), flags: words(flags) };
            all.push(new("provider-http".to_owned(), peer(&settings.peer_flags)));
            all.push(new("provider-http, tuned".to_owned(), peer(TUNED)));
        }
        all
    }

    /// What it makes webhooks of.
    pub(super) fn kind(&self) -> Kind {
        match self.what {
            What::Floor { .. } | What::Operator { .. } => Kind::Webhook,
            What::Peer { .. } => Kind::Request,
        }
    }

    /// Says something about it.
    pub(super) fn note(&self, what: &str) {
        eprintln!("{}: {what}", self.name);
    }
}

/// Where a subject works.
pub(super) struct Place {
    pub(super) kubeconfig: PathBuf,
    pub(super) orion: String,
    /// With prefix.
    pub(super) endpoint: String,
    pub(super) token: PathBuf,
    pub(super) directory: PathBuf,
    /// A process group that ends with the control plane.
    pub(super) group: i32,
    pub(super) operator: PathBuf,
    pub(super) flags: Vec<String>,
}

impl Place {
    /// Starts a subject, the operator with more flags.
    ///
    /// # Errors
    /// It cannot be run.
    pub(super) fn start(&self, subject: &Subject, more: &[&str]) -> Result<Running> {
        let commands = match &subject.what {
            What::Floor { in_flight } => vec![self.floor(*in_flight)?],
            What::Operator { flags, selectors } if selectors.is_empty() => vec![self.operator(flags, more)],
            What::Operator { flags, selectors } => {
                let with = |selector: &String| {
                    let mut command = self.operator(flags, more);
                    command.args(["--leader-elect", "--watch-label-selector", selector]);
                    command
                };
                selectors.iter().map(with).collect()
            }
            What::Peer { program, flags } => vec![self.peer(program, flags)],
        };
        Running::start(commands, &self.directory, self.group)
    }

    fn floor(&self, in_flight: usize) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("floor").args(["--orion-endpoint", &self.endpoint, "--in-flight", &in_flight.to_string()]);
        self.identified(&mut command);
        Ok(command)
    }

    fn operator(&self, flags: &[String], more: &[&str]) -> Command {
        let mut command = Command::new(&self.operator);
        command.args(["run", "--operator-namespace", "orion-system", "--orion-url", &self.orion]);
        command.args(["--health-probe-bind-address", "0", "--metrics-bind-address", "0"]);
        // What is said later holds.
        let is_replaced = |flag: &&String| !flags.iter().any(|it| it.split('=').next() == flag.split('=').next());
        command.args(self.flags.iter().filter(is_replaced)).args(flags).args(more);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ORION_OPERATOR_") {
                command.env_remove(name);
            }
        }
        self.identified(&mut command);
        command
    }

    fn identified(&self, command: &mut Command) {
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--orion-token-file").arg(&self.token);
    }

    /// It has no flag for its kubeconfig. Each flag of it has an environment variable of a plain name, such as `POLL`.
    fn peer(&self, program: &Path, flags: &[String]) -> Command {
        let mut command = Command::new(program);
        command.args(flags).env_clear().env("KUBECONFIG", &self.kubeconfig);
        command
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn what_is_measured() {
        for (line, expected) in [
            ("bench", vec!["floor", "operator"]),
            ("bench --without-floor", vec!["operator"]),
            ("bench --shards 2", vec!["floor", "operator", "operator, 2 processes"]),
            ("bench --peer p", vec!["floor", "operator", "provider-http", "provider-http, tuned"]),
            ("bench --concurrency 8,16", vec!["floor 8", "operator 8", "floor 16", "operator 16"]),
        ] {
            let settings = Line::parse_from(line.split(' ')).settings;
            let names: Vec<String> = Subject::all(&settings).into_iter().map(|subject| subject.name).collect();
            assert_eq!(names, expected, "{line}");
        }
    }

    fn arguments(subject: &What) -> Vec<String> {
        let place = Place {
            kubeconfig: "k".into(),
            orion: "o".into(),
            endpoint: "e".into(),
            token: "t".into(),
            directory: "d".into(),
            group: 0,
            operator: "operator".into(),
            flags: vec!["--orion-rate-limit=0".into(), "--max-concurrent-reconciles=32".into()],
        };
        let command = match subject {
            What::Floor { in_flight } => place.floor(*in_flight).unwrap(),
            What::Operator { flags, .. } => place.operator(flags, &[]),
            What::Peer { program, flags } => place.peer(program, flags),
        };
        command.get_args().map(|it| it.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_flag_is_given_once() {
        let flags = vec!["--max-concurrent-reconciles=8".to_owned()];
        let given = arguments(&What::Operator { flags, selectors: Vec::new() });
        let of = |name: &str| given.iter().filter(|it| it.starts_with(name)).cloned().collect::<Vec<_>>();
        assert_eq!(of("--max-concurrent-reconciles"), ["--max-concurrent-reconciles=8"]);
        assert_eq!(of("--orion-rate-limit"), ["--orion-rate-limit=0"]);
    }

    #[test]
    fn the_peer_has_its_own_flags_only() {
        let what = What::Peer { program: "p".into(), flags: vec!["--poll=10m".into()] };
        assert_eq!(arguments(&what), ["--poll=10m"]);
    }
}
