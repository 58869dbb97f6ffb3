//! Go duration strings, as the Kubernetes ecosystem writes them (`10m`, `1h30m`, `1.5s`).

use std::time::Duration;

/// Reads a Go duration of the units `ms`, `s`, `m` and `h`.
///
/// # Errors
/// Says what is wrong with the text: empty, a number missing, a unit unknown, zero, or too large.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = |why: &str| format!("\"{text}\" is not a duration like 30s, 10m or 1h30m: {why}");
    let mut rest = text;
    let mut seconds = 0.0_f64;
    if rest.is_empty() {
        return Err(bad("it is empty"));
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(|| bad("a unit is missing"))?;
        let (number, tail) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| bad("a number is missing"))?;
        let (scale, tail) = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)]
            .iter()
            .find_map(|(unit, scale)| tail.strip_prefix(unit).map(|tail| (*scale, tail)))
            .ok_or_else(|| bad("units are ms, s, m and h"))?;
        seconds += number * scale;
        rest = tail;
    }
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| bad("it is too long"))?;
    if duration.is_zero() { Err(bad("it must be longer than nothing")) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, millis) in [("30s", 30_000), ("10m", 600_000), ("1h30m", 5_400_000), ("1.5s", 1_500), ("250ms", 250)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        for text in ["", "0s", "10", "m", "5d", "1..5s", "-1s", " 1s", "1e400h", "99999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
