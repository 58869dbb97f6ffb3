//! How it grows, drawn from the JSON files of runs with different numbers of Webhooks.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::numbers::{exponent, median};

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 260.0;
/// Room for the words around a panel: left, above, right, below.
const MARGINS: [f64; 4] = [64.0, 56.0, 40.0, 52.0];
/// Room for the title and the legend of the whole picture.
const HEAD: f64 = 64.0;
/// Of words: readable on the white ground, which the picture brings along, in dark mode too.
const INK: &str = "#24292f";
const FAINT: &str = "#d8dee4";

/// What to draw, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct PlotArgs {
    /// The files that `bench run` has written.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The picture.
    #[arg(long, default_value = "target/bench/growth.svg")]
    svg: PathBuf,
}

/// What a panel shows.
struct Panel {
    title: &'static str,
    unit: &'static str,
    /// Where its number is in a measurement.
    place: &'static str,
    /// Where it is of how many Webhooks: those of the load are there too when it is started again.
    objects: &'static str,
}

const PANELS: [Panel; 4] = [
    Panel { title: "Cold sync: until all are Ready", unit: "seconds", place: "/cold/wall", objects: "/cold/objects" },
    Panel { title: "CPU of the cold sync", unit: "seconds", place: "/cold/cpu", objects: "/cold/objects" },
    Panel { title: "Memory after it", unit: "MiB", place: "/idle/memory/resident", objects: "/cold/objects" },
    Panel { title: "Restart: until quiet", unit: "seconds", place: "/restart/quiet", objects: "/restart/objects" },
];
/// Whose growth is told.
const OPERATOR: &str = "operator";
/// Colours that are told apart without red and green.
const SUBJECTS: [(&str, &str); 4] =
    [("floor", "#6e7781"), (OPERATOR, "#0550ae"), ("provider-http", "#bc4c00"), ("provider-http, tuned", "#8250df")];

/// Draws, and prints the exponents of the operator's growth.
///
/// # Errors
/// A file cannot be read, or the picture not be written.
pub fn plot(args: &PlotArgs) -> Result<()> {
    let runs: Vec<Value> = args.files.iter().map(|path| read(path)).collect::<Result<_>>()?;
    for panel in &PANELS {
        println!("{} ({}): {}", panel.title, panel.unit, growth(&panel.points(&runs, OPERATOR)));
    }
    std::fs::write(&args.svg, picture(&runs)?).with_context(|| args.svg.display().to_string())?;
    println!("{}", args.svg.display());
    Ok(())
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

fn growth(points: &[(f64, f64)]) -> String {
    match exponent(points) {
        Some(exponent) => format!("{OPERATOR} grows as N^{exponent:.2}"),
        None => "growth needs runs with two numbers of Webhooks".to_owned(),
    }
}

impl Panel {
    /// Medians by number of Webhooks, over all files.
    fn points(&self, runs: &[Value], subject: &str) -> Vec<(f64, f64)> {
        let number = |run: &Value| run.pointer("/settings/webhooks").and_then(Value::as_f64);
        let mut numbers: Vec<f64> = runs.iter().filter_map(number).collect();
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        let of = |webhooks: f64| {
            let runs = runs.iter().filter(|run| number(run) == Some(webhooks));
            let measured = runs.filter_map(|run| run.get("measured")?.as_array()).flatten();
            let measured: Vec<&Value> =
                measured.filter(|it| it.get("subject").is_some_and(|it| it == subject)).collect();
            let middle = |place| median(measured.iter().filter_map(|it| it.pointer(place)?.as_f64()).collect());
            Some((middle(self.objects).unwrap_or(webhooks), middle(self.place)?))
        };
        numbers.into_iter().filter_map(of).collect()
    }
}

fn picture(runs: &[Value]) -> Result<String> {
    let [left, above, right, below] = MARGINS;
    let (across, down) = (left + WIDTH + right, above + HEIGHT + below);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"{INK}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"30\" font-size=\"16\" font-weight=\"bold\">Growth with the number of Webhooks</text>\n",
        2.0 * across,
        2.0 * down + HEAD,
    );
    let is_there = |subject: &&(&str, &str)| PANELS.iter().any(|panel| !panel.points(runs, subject.0).is_empty());
    let mut x = left;
    for (subject, color) in SUBJECTS.iter().filter(is_there) {
        writeln!(picture, "<circle cx=\"{}\" cy=\"50\" r=\"5\" fill=\"{color}\"/>", x + 5.0)?;
        writeln!(picture, "<text x=\"{}\" y=\"54\">{subject}</text>", x + 16.0)?;
        x += 40.0 + 7.0 * subject.len() as f64;
    }
    writeln!(picture, "<path d=\"M{x} 50h24\" stroke=\"{INK}\" stroke-dasharray=\"4 4\"/>")?;
    writeln!(picture, "<text x=\"{}\" y=\"54\">linear growth</text>", x + 30.0)?;
    for (index, panel) in PANELS.iter().enumerate() {
        let (column, line) = ((index % 2) as f64, (index / 2) as f64);
        writeln!(picture, "<g transform=\"translate({} {})\">", column * across + left, HEAD + line * down + above)?;
        draw(&mut picture, panel, runs)?;
        writeln!(picture, "</g>")?;
    }
    picture.push_str("</svg>\n");
    Ok(picture)
}

/// A logarithmic axis, from one round number to another, with room for words at both ends.
struct Axis {
    low: f64,
    high: f64,
    length: f64,
}

impl Axis {
    fn new(numbers: impl Iterator<Item = f64>, length: f64) -> Self {
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for number in numbers {
            (low, high) = (low.min(number), high.max(number));
        }
        let (low, high) = (low / 1.4, high * 1.4);
        let low = rounded(low).into_iter().rev().find(|it| *it <= low).unwrap_or(low);
        let high = rounded(high).into_iter().find(|it| *it >= high).unwrap_or(high);
        Self { low, high, length }
    }

    fn at(&self, number: f64) -> f64 {
        (number / self.low).log10() / (self.high / self.low).log10() * self.length
    }

    /// Round numbers on it: 1, 2 and 5 of each decade, or of many decades only the 1.
    fn ticks(&self) -> Vec<f64> {
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let is_long = (self.high / self.low).log10() > 3.0;
        let all = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|it| it * 10_f64.powi(decade)));
        let fits = |it: &f64| *it >= self.low * 0.999 && *it <= self.high * 1.001;
        all.enumerate().filter(|(index, _)| !is_long || index % 3 == 0).map(|(_, it)| it).filter(fits).collect()
    }
}

/// Round numbers around one, in order.
fn rounded(number: f64) -> Vec<f64> {
    let decade = number.log10().floor() as i32;
    (decade - 1..=decade + 1).flat_map(|decade| [1.0, 2.0, 5.0].map(|it| it * 10_f64.powi(decade))).collect()
}

/// `50,000`, and small numbers with as many decimals as they need.
fn label(number: f64) -> String {
    if number < 1000.0 {
        let decimals = if number < 0.1 { 2 } else { usize::from(number < 9.95 && number.fract() > 0.001) };
        return format!("{number:.decimals$}");
    }
    let digits: Vec<char> = format!("{number:.0}").chars().collect();
    let groups: Vec<String> = digits.rchunks(3).rev().map(|group| group.iter().collect()).collect();
    groups.join(",")
}

fn draw(picture: &mut String, panel: &Panel, runs: &[Value]) -> Result<()> {
    let Panel { title, unit, .. } = panel;
    let lines: Vec<_> = SUBJECTS.map(|(subject, color)| (subject, color, panel.points(runs, subject))).into();
    // A logarithm has no zero.
    let all: Vec<(f64, f64)> = lines.iter().flat_map(|(_, _, points)| points.clone()).filter(|it| it.1 > 0.0).collect();
    ensure!(!all.is_empty(), "nothing was measured of: {title}");
    let across = Axis::new(all.iter().map(|point| point.0), WIDTH);
    let up = Axis::new(all.iter().map(|point| point.1), HEIGHT);
    let own: Vec<(f64, f64)> =
        lines.iter().filter(|(subject, ..)| *subject == OPERATOR).flat_map(|(.., points)| points.clone()).collect();
    writeln!(picture, "<text x=\"0\" y=\"-28\" font-size=\"14\" font-weight=\"bold\">{title}</text>")?;
    writeln!(picture, "<text x=\"0\" y=\"-10\">{unit}; {}</text>", growth(&own))?;
    for number in across.ticks() {
        let at = across.at(number);
        writeln!(picture, "<path d=\"M{at:.1} 0V{HEIGHT}\" stroke=\"{FAINT}\"/>")?;
        writeln!(
            picture,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            HEIGHT + 18.0,
            label(number)
        )?;
    }
    for number in up.ticks() {
        let at = HEIGHT - up.at(number);
        writeln!(picture, "<path d=\"M0 {at:.1}H{WIDTH}\" stroke=\"{FAINT}\"/>")?;
        writeln!(picture, "<text x=\"-8\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", at + 4.0, label(number))?;
    }
    writeln!(picture, "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"{INK}\"/>")?;
    writeln!(picture, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">Webhooks</text>", WIDTH / 2.0, HEIGHT + 38.0)?;
    if let Some((number, value)) = own.first().filter(|point| point.1 > 0.0) {
        // From the operator's first point on, as far as there is room.
        let factor = (across.high / number).min(up.high / value);
        let (from, to) = ((across.at(*number), up.at(*value)), (across.at(number * factor), up.at(value * factor)));
        let path = format!("M{:.1} {:.1}L{:.1} {:.1}", from.0, HEIGHT - from.1, to.0, HEIGHT - to.1);
        writeln!(picture, "<path d=\"{path}\" stroke=\"{INK}\" stroke-dasharray=\"4 4\"/>")?;
    }
    for (subject, color, points) in &lines {
        let points: Vec<_> = points.iter().filter(|point| point.1 > 0.0).collect();
        let places: Vec<String> =
            points.iter().map(|it| format!("{:.1} {:.1}", across.at(it.0), HEIGHT - up.at(it.1))).collect();
        if places.is_empty() {
            continue;
        }
        writeln!(picture, "<path d=\"M{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>", places.join("L"))?;
        for (number, value) in points {
            let (x, y) = (across.at(*number), HEIGHT - up.at(*value));
            writeln!(picture, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{color}\"/>")?;
            // Lines rise to the right. The floor is just below the operator: so are its words.
            let (x, y, anchor) =
                if *subject == "floor" { (x + 6.0, y + 14.0, "start") } else { (x - 6.0, y - 7.0, "end") };
            let text = label((value * 10.0).round() / 10.0);
            writeln!(
                picture,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{color}\" text-anchor=\"{anchor}\">{text}</text>"
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(webhooks: u64, walls: &[f64]) -> Value {
        let measured = |wall: &f64| {
            json!({"subject": "operator", "cold": {"wall": wall, "cpu": wall}, "restart": {"quiet": wall, "objects": webhooks + 1400},
                   "idle": {"memory": {"resident": wall}}})
        };
        json!({"settings": {"webhooks": webhooks}, "measured": walls.iter().map(measured).collect::<Vec<_>>()})
    }

    #[test]
    fn points_are_medians_by_number_over_all_files() {
        let runs = [run(10_000, &[30.0]), run(1000, &[1.0, 9.0]), run(1000, &[3.0])];
        let [cold, .., restart] = &PANELS;
        assert_eq!(cold.points(&runs, "operator"), [(1000.0, 3.0), (10_000.0, 30.0)]);
        assert_eq!(cold.points(&runs, "floor"), []);
        // Those of the load are there too.
        assert_eq!(restart.points(&runs, "operator"), [(2400.0, 3.0), (11_400.0, 30.0)]);
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (numbers, low, high, ticks) in [
            (vec![1000.0, 10_000.0], 500.0, 20_000.0, vec![500.0, 1e3, 2e3, 5e3, 1e4, 2e4]),
            (vec![3.0], 2.0, 5.0, vec![2.0, 5.0]),
            (vec![5.0], 2.0, 10.0, vec![2.0, 5.0, 10.0]),
            (vec![0.3, 3000.0], 0.2, 5000.0, vec![1.0, 10.0, 100.0, 1000.0]),
        ] {
            let axis = Axis::new(numbers.iter().copied(), 100.0);
            let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
            assert!(near(axis.low, low) && near(axis.high, high), "{numbers:?}: {} to {}", axis.low, axis.high);
            let seen = axis.ticks();
            assert!(seen.len() == ticks.len() && seen.iter().zip(&ticks).all(|(a, b)| near(*a, *b)), "{seen:?}");
            assert!(axis.at(axis.low).abs() < 1e-9 && near(axis.at(axis.high), 100.0));
        }
    }

    #[test]
    fn labels() {
        for (number, expected) in [
            (0.02, "0.02"),
            (0.5, "0.5"),
            (2.0, "2"),
            (4.5, "4.5"),
            (12.3, "12"),
            (1000.0, "1,000"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(label(number), expected);
        }
    }

    #[test]
    fn the_picture_tells_how_it_grows() {
        let drawn = picture(&[run(1000, &[3.0]), run(10_000, &[30.0])]).unwrap();
        assert_eq!(drawn.matches("operator grows as N^1.00").count(), PANELS.len() - 1);
        assert!(drawn.contains("fill=\"white\"") && !drawn.contains("NaN"), "{drawn}");
    }
}
