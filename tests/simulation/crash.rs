//! A crash at every effect of every operation, before it, before its answer and after: exhaustive, not sampled.

use super::mutant::Mutant;
use super::plan::POINTS;
use super::scenario::{Operation, Trouble, operations, run, setting};

/// All runs with one crash. Gives their number, or the first that went wrong.
pub fn single_crashes(mutant: Option<Mutant>) -> Result<usize, String> {
    let mut runs = 0;
    for operation in operations() {
        runs += crashes_of(operation, mutant)?;
    }
    Ok(runs)
}

fn crashes_of(operation: Operation, mutant: Option<Mutant>) -> Result<usize, String> {
    let mut runs = 1;
    let reference = run(setting(0, mutant), operation, Trouble::default());
    let wanted = reference.end.map_err(|what| format!("{operation:?} without trouble: {what}"))?;
    for effect in 1.. {
        let mut was_reached = false;
        for point in POINTS {
            let trouble = Trouble { crashes: [(effect, point)].into(), ..Trouble::default() };
            let outcome = run(setting(0, mutant), operation, trouble);
            runs += 1;
            was_reached |= outcome.effects >= effect;
            match outcome.end {
                Ok(end) if end == wanted => {}
                Ok(end) => {
                    return Err(format!("{operation:?}, crash {point:?} {effect}: {end:?} instead of {wanted:?}"));
                }
                Err(what) => return Err(format!("{operation:?}, crash {point:?} {effect}: {what}")),
            }
        }
        if !was_reached {
            break;
        }
    }
    Ok(runs)
}

#[test]
fn every_single_crash_ends_as_if_nothing_had_happened() {
    let runs = single_crashes(None).unwrap_or_else(|what| panic!("{what}"));
    println!("{runs} runs with one crash");
    assert!(runs >= 150, "{runs} runs");
}
