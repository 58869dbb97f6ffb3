//! What the demo says: numbered steps with the seconds passed, in colour where a person looks.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

/// Standard output. That it cannot be written is no reason to fail.
#[derive(Debug)]
pub(super) struct Screen {
    started: Instant,
    colour: bool,
    steps: u8,
}

impl Screen {
    pub(super) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { started: Instant::now(), colour: wanted && io::stdout().is_terminal(), steps: 0 }
    }

    /// A new step begins.
    pub(super) fn step(&mut self, title: &str) {
        self.steps += 1;
        let seconds = self.started.elapsed().as_secs_f64();
        print(&format!(
            "\n{} {}",
            self.bold(&format!("{}. {title}", self.steps)),
            self.dim(&format!("({seconds:.1} s)"))
        ));
    }

    /// A line or more about the step.
    pub(super) fn say(&self, text: &str) {
        print(&indent(text));
    }

    /// Something that was hoped for is true.
    pub(super) fn good(&self, text: &str) {
        print(&indent(&self.paint("32", text)));
    }

    /// A command, as a person would type it.
    pub(super) fn command(&self, command: &str) {
        print(&indent(&self.paint("36", &format!("$ {command}"))));
    }

    /// A command to be copied: nothing in front of it.
    pub(super) fn paste(&self, command: &str) {
        print(&indent(&self.paint("36", command)));
    }

    /// A line at the margin.
    pub(super) fn heading(&self, text: &str) {
        print(&format!("\n{}", self.bold(text)));
    }

    /// The demo has failed.
    pub(super) fn failure(&self, text: &str) {
        print(&format!("\n{}", self.paint("31", text)));
    }

    /// Seconds since the start.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn indent(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("   {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
