//! The table: one row for each object, and below it, where something is wrong, what that is and what to do.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;

use super::age::age;
use super::line::{Line, Standing};

/// Columns are this far apart, and what is below a row is this far in.
const GAP: usize = 2;
/// Text is not broken into less than this.
const NARROW: usize = 30;

const BOLD: Style = Style::new().bold();

/// Writes it; where `width` is given, text is broken into lines that fit.
pub(super) fn write(lines: &[&Line], now: Timestamp, width: Option<usize>, out: &mut impl Write) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let head = ["NAMESPACE", "NAME", "READY", "REASON", "SINCE"].map(str::to_owned);
    let rows: Vec<[String; 5]> = lines.iter().map(|line| row(line, now)).collect();
    let widths: [usize; 5] = std::array::from_fn(|column| {
        let cells = std::iter::once(&head).chain(&rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    write_row(&head, &widths, Style::new(), out)?;
    for (line, row) in lines.iter().zip(&rows) {
        write_row(row, &widths, colour(line.standing), out)?;
        if line.standing != Standing::Ready {
            write_text(&line.message, GAP, width, out)?;
            let step = format!("{BOLD}To do:{BOLD:#} {}", line.next_step);
            write_text(&step, GAP, width, out)?;
        }
    }
    Ok(())
}

fn row(line: &Line, now: Timestamp) -> [String; 5] {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let reason = match (&line.reason, line.suspended && line.standing != Standing::Suspended) {
        (Some(reason), true) => format!("{reason}, suspended"),
        (Some(reason), false) => reason.clone(),
        (None, _) => "-".to_owned(),
    };
    [
        or_none(&line.namespace),
        line.named.clone(),
        or_none(&line.ready),
        reason,
        line.since.map_or_else(|| "-".to_owned(), |since| age(since, now)),
    ]
}

pub(super) fn colour(standing: Standing) -> Style {
    match standing {
        Standing::NeedsYou => AnsiColor::Red.on_default(),
        Standing::Waiting => AnsiColor::Yellow.on_default(),
        Standing::Suspended => AnsiColor::Cyan.on_default(),
        Standing::Ready => AnsiColor::Green.on_default(),
    }
}

/// READY and REASON have the style.
fn write_row(row: &[String; 5], widths: &[usize; 5], style: Style, out: &mut impl Write) -> io::Result<()> {
    let mut text = String::new();
    for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
        // Between the columns, and not at the end of the line.
        let room = if column + 1 < row.len() { width.saturating_sub(cell.chars().count()) + GAP } else { 0 };
        let style = if matches!(column, 2 | 3) { style } else { Style::new() };
        text.push_str(&format!("{style}{cell}{style:#}{:room$}", ""));
    }
    writeln!(out, "{text}")
}

/// Writes text in lines that begin `indent` further in.
pub(super) fn write_text(text: &str, indent: usize, width: Option<usize>, out: &mut impl Write) -> io::Result<()> {
    for line in wrapped(text, width.map(|width| width.saturating_sub(indent).max(NARROW))) {
        writeln!(out, "{:indent$}{line}", "")?;
    }
    Ok(())
}

/// Broken at spaces. A word that is longer than a line stays whole, and so does a command, which is to be pasted: the
/// terminal breaks those itself.
pub(super) fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces(text) {
        match lines.last_mut() {
            Some(line) if shown(line) + 1 + shown(&piece) <= width => {
                line.push(' ');
                line.push_str(&piece);
            }
            Some(_) | None => lines.push(piece),
        }
    }
    lines
}

/// Words, and commands up to the end of their sentence.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut is_within_a_command = false;
    for word in text.split(' ') {
        match pieces.last_mut().filter(|_| is_within_a_command) {
            Some(command) => {
                command.push(' ');
                command.push_str(word);
            }
            None => pieces.push(word.to_owned()),
        }
        let begins = matches!(word, "kubectl" | "orion-operator" | "flux");
        is_within_a_command = (begins || is_within_a_command) && !word.ends_with(['.', ',', ';']);
    }
    pieces
}

/// Characters that a terminal shows.
fn shown(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}
