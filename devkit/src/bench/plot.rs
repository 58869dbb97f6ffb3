//! How it grows, drawn from the JSON files of runs with different numbers of Webhooks.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 260.0;
/// Room for the words around a panel.
const MARGIN: f64 = 48.0;

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

/// Name of a panel, and where its number is in a measurement.
const PANELS: [(&str, &str); 4] = [
    ("cold sync, s", "/cold/wall"),
    ("its CPU, s", "/cold/cpu"),
    ("memory after it, MiB", "/idle/memory/resident"),
    ("restart, quiet after, s", "/restart/quiet"),
];
const SUBJECTS: [(&str, &str); 2] = [("floor", "#888888"), ("operator", "#1f6feb")];

/// Draws.
///
/// # Errors
/// A file cannot be read, or the picture not be written.
pub fn plot(args: &PlotArgs) -> Result<()> {
    let runs: Vec<Value> = args.files.iter().map(|path| read(path)).collect::<Result<_>>()?;
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        2.0 * (WIDTH + 2.0 * MARGIN),
        2.0 * (HEIGHT + 2.0 * MARGIN),
    );
    for (index, (title, place)) in PANELS.iter().enumerate() {
        let (x, y) = ((index % 2) as f64, (index / 2) as f64);
        let (x, y) = (x * (WIDTH + 2.0 * MARGIN) + MARGIN, y * (HEIGHT + 2.0 * MARGIN) + MARGIN);
        writeln!(picture, "<g transform=\"translate({x} {y})\">")?;
        panel(&mut picture, title, place, &runs)?;
        writeln!(picture, "</g>")?;
    }
    picture.push_str("</svg>\n");
    std::fs::write(&args.svg, picture).with_context(|| args.svg.display().to_string())
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

/// Medians by number of Webhooks.
fn points(runs: &[Value], subject: &str, place: &str) -> Vec<(f64, f64)> {
    let median = |run: &Value| {
        let number = run.pointer("/settings/webhooks")?.as_f64()?;
        let measured = run.get("measured")?.as_array()?.iter().filter(|it| it.get("subject") == Some(&subject.into()));
        let mut values: Vec<f64> = measured.filter_map(|it| it.pointer(place)?.as_f64()).collect();
        values.sort_by(f64::total_cmp);
        Some((number, *values.get(values.len() / 2)?))
    };
    let mut points: Vec<(f64, f64)> = runs.iter().filter_map(median).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// Both axes are logarithmic: a straight line that rises with the frame's diagonal of equal decades is linear growth.
fn panel(picture: &mut String, title: &str, place: &str, runs: &[Value]) -> Result<()> {
    let lines = SUBJECTS.map(|(subject, color)| (subject, color, points(runs, subject, place)));
    let all: Vec<(f64, f64)> = lines.iter().flat_map(|(_, _, points)| points.clone()).collect();
    ensure!(!all.is_empty(), "nothing was measured of {title}");
    let decades = |numbers: &mut dyn Iterator<Item = f64>| {
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for number in numbers {
            (low, high) = (low.min(number.max(1e-3).log10()), high.max(number.max(1e-3).log10()));
        }
        (low.floor(), high.ceil().max(low.floor() + 1.0))
    };
    let (left, right) = decades(&mut all.iter().map(|point| point.0));
    let (low, high) = decades(&mut all.iter().map(|point| point.1));
    let x = |number: f64| (number.max(1e-3).log10() - left) / (right - left) * WIDTH;
    let y = |number: f64| HEIGHT - (number.max(1e-3).log10() - low) / (high - low) * HEIGHT;
    writeln!(picture, "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#cccccc\"/>")?;
    writeln!(picture, "<text x=\"0\" y=\"-12\" font-weight=\"bold\">{title}</text>")?;
    for decade in left as i32..=right as i32 {
        let number = 10_f64.powi(decade);
        let at = x(number);
        writeln!(picture, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{number}</text>", HEIGHT + 16.0)?;
    }
    for decade in low as i32..=high as i32 {
        let number = 10_f64.powi(decade);
        let at = y(number);
        writeln!(picture, "<path d=\"M0 {at:.1}H{WIDTH}\" stroke=\"#eeeeee\"/>")?;
        writeln!(picture, "<text x=\"-6\" y=\"{:.1}\" text-anchor=\"end\">{number}</text>", at + 4.0)?;
    }
    for (subject, color, points) in &lines {
        let path: Vec<String> = points.iter().map(|point| format!("{:.1} {:.1}", x(point.0), y(point.1))).collect();
        if path.is_empty() {
            continue;
        }
        writeln!(picture, "<path d=\"M{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>", path.join("L"))?;
        for (number, value) in points {
            let (x, y) = (x(*number), y(*value));
            writeln!(picture, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>")?;
            writeln!(picture, "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{color}\">{value:.1}</text>", x + 5.0, y - 5.0)?;
        }
        if let Some((number, value)) = points.first() {
            writeln!(
                picture,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{color}\">{subject}</text>",
                x(*number) + 5.0,
                y(*value) + 14.0
            )?;
        }
    }
    Ok(())
}
