//! Every mistake is found: as a broken property, or as a state from which rest cannot be reached.

use model::{Config, Faults, Mutant, check};

const NONE: Faults = Faults::NONE;

/// Small runs in which nothing is broken without a mistake.
fn runs() -> Vec<Config> {
    let run = Config::new;
    vec![
        run("late, crash, delete", Faults { late: 1, crash: 1, delete: 1, ..NONE }),
        run("refused, delete", Faults { refused: 1, late: 1, delete: 1, ..NONE }),
        run("answers of the apiserver", Faults { write_lost: 1, edit: 1, ..NONE }),
        run("vanish, drift", Faults { vanish: 1, drift: 1, unread: 1, ..NONE }),
        run("omit", Faults { omit: 1, late: 1, ..NONE }),
        Config { masked: true, ..run("no marker shown", Faults { late: 1, edit: 1, ..NONE }) },
        run("strip", Faults { strip: 1, ..NONE }),
        Config { get: false, ..run("omit, no get", Faults { omit: 2, ..NONE }) },
        Config { processes: 2, ..run("vanish, two processes", Faults { vanish: 1, stall: 3, ..NONE }) },
        Config {
            processes: 2,
            bounded: false,
            broken: &["S1"],
            ..run("unbounded, two processes", Faults { late: 1, vanish: 1, ..NONE })
        },
        Config { foreign: true, ..run("foreign", Faults { late: 1, delete: 1, ..NONE }) },
        Config { processes: 2, ..run("two processes", Faults { late: 1, refused: 1, stall: 2, ..NONE }) },
        Config { webhooks: 2, ..run("two Webhooks", Faults { late: 1, delete: 1, ..NONE }) },
        Config { lagging: true, ..run("lagging", Faults { late: 1, crash: 1, ..NONE }) },
        Config { broken: &["S1"], ..run("removed by force", Faults { force: 1, crash: 1, ..NONE }) },
        Config { bounded: false, broken: &["S1"], ..run("unbounded", Faults { late: 1, crash: 1, ..NONE }) },
    ]
}

fn killed_by(mutant: Mutant) -> Option<String> {
    runs().into_iter().find_map(|run| {
        let report = check(&Config { mutant: Some(mutant), ..run.clone() }, run.broken.is_empty());
        let broken = report.broken.iter().map(|(name, _)| *name).find(|name| !run.broken.contains(name));
        let how = broken.map(str::to_owned).or_else(|| (report.stuck > 0).then(|| format!("{} stuck", report.stuck)));
        how.map(|how| format!("{how} in \"{}\"", run.name))
    })
}

#[test]
fn every_mistake_is_found() {
    for run in runs() {
        let report = check(&run, false);
        assert!(report.is_as_expected(run.broken), "{report:?}");
    }
    let mut survivors: Vec<Mutant> = Vec::new();
    for mutant in Mutant::ALL {
        let killed_by = killed_by(*mutant);
        println!("{:<22} {}", format!("{mutant:?}"), killed_by.as_deref().unwrap_or("SURVIVES"));
        survivors.extend(killed_by.is_none().then_some(*mutant));
    }
    assert!(survivors.is_empty(), "{survivors:?}");
}
