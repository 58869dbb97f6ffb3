//! What is made of the numbers: nothing here asks anybody anything.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// In order.
pub(super) fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The smallest of the sorted numbers that at least so many percent do not exceed.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

/// The one in the middle, or what is between the two there.
pub(super) fn median(numbers: Vec<f64>) -> Option<f64> {
    let numbers = sorted(numbers);
    let upper = numbers.get(numbers.len() / 2)?;
    let lower = numbers.get(numbers.len().saturating_sub(1) / 2)?;
    Some((upper + lower) / 2.0)
}

/// `median (least-most)` of what is there.
pub(super) fn spread(them: &[Option<f64>], decimals: usize) -> String {
    let them = sorted(them.iter().copied().flatten().collect());
    let middle = median(them.clone()).unwrap_or_default();
    match them.as_slice() {
        [] => "-".to_owned(),
        [only] => format!("{only:.decimals$}"),
        [least, .., most] => format!("{middle:.decimals$} ({least:.decimals$}-{most:.decimals$})"),
    }
}

/// The exponent of growth: the slope of the straight line that fits the points best where both axes are logarithmic. 1 is
/// linear. `None` of fewer than two points.
pub(super) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    let number = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / number;
    let (middle_x, middle_y) = (mean(|log| log.0), mean(|log| log.1));
    let across: f64 = logs.iter().map(|(x, _)| (x - middle_x).powi(2)).sum();
    let along: f64 = logs.iter().map(|(x, y)| (x - middle_x) * (y - middle_y)).sum();
    (across > 0.0).then(|| along / across)
}

/// How many are there beyond one of each name.
pub(super) fn duplicates<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for name in names {
        *times.entry(name).or_default() += 1;
    }
    times.values().map(|times| times - 1).sum()
}

/// Which of so many parts an object of this name is in, the same in every run.
pub(super) fn shard(name: &str, shards: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    usize::try_from(hasher.finish() % shards.max(1) as u64).unwrap_or_default()
}

/// The selector of each part: they do not overlap, and the last one takes what no other does.
pub(super) fn selectors(shards: usize) -> Vec<String> {
    let others = shards.saturating_sub(1);
    let mut selectors: Vec<String> = (0..others).map(|part| format!("shard={part}")).collect();
    let them: Vec<String> = (0..others).map(|part| part.to_string()).collect();
    selectors.push(if others == 1 { "shard!=0".to_owned() } else { format!("shard notin ({})", them.join(",")) });
    selectors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        for (them, expected) in [
            (vec![], "-"),
            (vec![None], "-"),
            (vec![Some(2.0)], "2.0"),
            (vec![Some(3.0), None, Some(1.0)], "2.0 (1.0-3.0)"),
            (vec![Some(9.0), Some(1.0), Some(2.0)], "2.0 (1.0-9.0)"),
        ] {
            assert_eq!(spread(&them, 1), expected, "{them:?}");
        }
    }

    #[test]
    fn percentiles() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        for (percent, expected) in [(50, 50.0), (99, 99.0), (100, 100.0)] {
            assert_eq!(percentile(&hundred, percent), expected);
        }
        assert_eq!((percentile(&[], 50), percentile(&[7.0], 50)), (0.0, 7.0));
    }

    #[test]
    fn exponents() {
        let of = |power: f64| [1e3, 1e4, 5e4].map(|x: f64| (x, 3.0 * x.powf(power)));
        for power in [0.0, 0.5, 1.0, 2.0] {
            assert!((exponent(&of(power)).unwrap() - power).abs() < 1e-9, "{power}");
        }
        // Of what is not there, nothing is said.
        assert_eq!((exponent(&[]), exponent(&[(1e3, 1.0)]), exponent(&[(1e3, 1.0), (1e3, 2.0)])), (None, None, None));
        assert_eq!(exponent(&[(1e3, 0.0), (1e4, 1.0)]), None);
    }

    #[test]
    fn webhooks_beyond_one_of_each_name_are_duplicates() {
        for (names, expected) in
            [(vec![], 0), (vec!["a", "b"], 0), (vec!["a", "b", "a"], 1), (vec!["a", "a", "a", "b", "b"], 3)]
        {
            assert_eq!(duplicates(names.iter().copied()), expected, "{names:?}");
        }
    }

    #[test]
    fn shards_are_of_much_the_same_size() {
        for shards in [1, 2, 3, 5] {
            let mut sizes = vec![0_usize; shards];
            for index in 0..1000 {
                sizes[shard(&format!("cold-{index}"), shards)] += 1;
            }
            let even = 1000 / shards;
            assert!(sizes.iter().all(|size| size.abs_diff(even) < even / 5 + 1), "{sizes:?}");
        }
    }

    #[test]
    fn selectors_leave_nothing_out() {
        assert_eq!(selectors(2), ["shard=0", "shard!=0"]);
        assert_eq!(selectors(3), ["shard=0", "shard=1", "shard notin (0,1)"]);
    }
}
