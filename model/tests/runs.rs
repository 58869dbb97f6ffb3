//! Every run: all states, no violation, and rest in reach from each of them. `--nocapture` shows the table, and
//! `MODEL_RUN=<part of a name>` looks at some runs only and tells how each comes to what it finds.

use std::time::Duration;

use model::{Config, Faults, Report, check};

const NONE: Faults = Faults::NONE;
/// What each run has at least, where it may have it.
const BASE: Faults = Faults { crash: 1, late: 1, delete: 1, ..NONE };

/// E1 to E6 are those of the design: one process, two at once, requests that land however late, lists that lag, somebody
/// else's webhook of the same url, user and presence, two Webhooks of the same.
fn runs() -> Vec<Config> {
    let run = Config::new;
    vec![
        run("E1 passing faults", Faults { unread: 1, write_lost: 1, stale: 1, stall: 1, edit: 1, ..BASE }),
        run("E1 refusals", Faults { refused: 1, write_lost: 1, stall: 1, edit: 1, ..BASE }),
        run("E1 two of each", Faults { crash: 2, late: 2, stall: 2, edit: 1, delete: 1, ..NONE }),
        run("E1 changes at Orion", Faults { vanish: 1, drift: 1, unread: 1, edit: 1, ..BASE }),
        run("E1 incomplete lists", Faults { omit: 1, vanish: 1, stall: 1, ..BASE }),
        Config { get: false, ..run("E1 no GET", Faults { vanish: 1, stall: 1, ..BASE }) },
        run("E1 status wiped", Faults { wipe: 1, strip: 1, stale: 1, stall: 1, ..BASE }),
        Config { broken: &["S1"], ..run("E1 new object", Faults { force: 1, stall: 1, stale: 1, delete: 0, ..BASE }) },
        Config {
            broken: &["S1", "S3"],
            ..run("E1 new object, deleted", Faults { force: 1, stall: 1, stale: 1, ..BASE })
        },
        run("E1 restored object", Faults { restore: 1, stall: 1, stale: 1, ..BASE }),
        Config { processes: 2, ..run("E2 passing faults", Faults { stall: 1, edit: 1, crash: 0, ..BASE }) },
        Config { processes: 2, ..run("E2 refusals", Faults { late: 1, refused: 1, stall: 2, ..NONE }) },
        Config { processes: 2, ..run("E2 changes at Orion", Faults { vanish: 1, ..BASE }) },
        Config { processes: 2, ..run("E2 pauses", Faults { stall: 3, late: 1, delete: 1, ..NONE }) },
        Config {
            processes: 2,
            bounded: false,
            broken: &["S1"],
            ..run("E3 B1 broken", Faults { stall: 1, delete: 0, ..BASE })
        },
        Config { processes: 2, bounded: false, broken: &["S1", "S3"], ..run("E3 B1 broken, deleted", BASE) },
        Config { processes: 2, lagging: true, ..run("E4 lagging lists", Faults { stall: 1, ..BASE }) },
        Config { processes: 2, foreign: true, ..run("E5 look-alike", BASE) },
        Config {
            foreign: true,
            descending: true,
            ..run("E5 look-alike, one process", Faults { stall: 1, unread: 1, ..BASE })
        },
        Config { masked: true, ..run("E5 no marker shown", Faults { stall: 1, edit: 1, ..BASE }) },
        Config { webhooks: 2, ..run("E6 two Webhooks", BASE) },
        Config { webhooks: 2, processes: 2, ..run("E6 and two processes", Faults { late: 1, delete: 1, ..NONE }) },
    ]
}

fn row(report: &Report) -> String {
    let broken: Vec<&str> = report.broken.iter().map(|(name, _)| *name).collect();
    let whole = if report.is_whole { "" } else { "+" };
    format!(
        "{:<28} {:>9}{whole:1} {:>5} {:>8} {:>6} {:<7} {:>6.1} s",
        report.name,
        report.states,
        report.depth,
        report.at_rest,
        report.stuck,
        broken.join(" "),
        report.took.as_secs_f32()
    )
}

#[test]
fn every_state_of_every_run() {
    let only = std::env::var("MODEL_RUN").ok();
    let is_wanted = |run: &Config| only.as_ref().is_none_or(|only| run.name.contains(only.as_str()));
    println!(
        "{:<28} {:>9}  {:>5} {:>8} {:>6} {:<7} {:>8}",
        "run", "states", "depth", "at rest", "stuck", "broken", "time"
    );
    let (mut states, mut took, mut unexpected) = (0, Duration::ZERO, Vec::new());
    for run in runs().into_iter().filter(is_wanted) {
        let report = check(&run, false);
        println!("{}", row(&report));
        (states, took) = (states + report.states, took + report.took);
        if only.is_some() || !report.is_as_expected(run.broken) {
            for (name, how) in &report.broken {
                println!("{name} is broken by:\n{how}");
            }
            println!("{}", report.stuck_by.as_deref().map(|how| format!("no rest after:\n{how}")).unwrap_or_default());
        }
        unexpected.extend((!report.is_as_expected(run.broken)).then_some(run.name));
    }
    println!("{:<28} {states:>9} {:>47.1} s", "in all", took.as_secs_f32());
    assert!(unexpected.is_empty(), "{unexpected:?}");
}
