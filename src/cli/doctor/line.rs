//! What each check comes to: one line, and all of them together. Pure.

use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, and somebody should look.
    Warn,
    /// It does not work.
    Fail,
    /// Nothing can be said.
    Skipped,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skipped => "skipped",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Fail => AnsiColor::Red.on_default().bold(),
            Self::Skipped => Style::new().dimmed(),
        }
    }
}

macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident $word:literal,)+) => {
        /// What is checked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        pub(super) enum Check { $($(#[$doc])* #[serde(rename = $word)] $name,)+ }

        impl Check {
            /// Its name, for people and for programs.
            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

checks! {
    /// The apiserver answers.
    Cluster "cluster",
    /// The definitions are those of this build.
    Crds "crds",
    /// Which installation this is.
    Instance "instance",
    /// The rights that the operator needs.
    Rbac "rbac",
    /// The connection's object and its Secrets; or the flags.
    Connection "connection",
    /// The way leads through a proxy.
    Proxy "proxy",
    /// The host name resolves.
    Dns "dns",
    /// The port takes connections.
    Tcp "tcp",
    /// The certificate is trusted.
    Tls "tls",
    /// Something answers in HTTP.
    Http "http",
    /// Both clocks agree.
    Clock "clock",
    /// The credentials are accepted.
    Login "login",
    /// The webhooks are where they are looked for.
    Api "api",
    /// Webhooks can be listed.
    List "list",
    /// One can be read.
    Get "get",
    /// One can be changed.
    Update "update",
    /// One can be deleted.
    Delete "delete",
    /// What Orion says about how often it may be called.
    RateLimit "rate-limit",
    /// A webhook that was made to look.
    Write "write",
    /// It is gone again.
    Cleanup "cleanup",
    /// Values of headers are shown.
    Headers "headers",
    /// Markers are shown.
    Marker "marker",
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) check: Check,
    pub(super) status: Status,
    /// What was found.
    pub(super) found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) todo: Option<String>,
}

impl Line {
    pub(super) fn ok(check: Check, found: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, found: found.into(), todo: None }
    }

    pub(super) fn warn(check: Check, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { check, status: Status::Warn, found: found.into(), todo: Some(todo.into()) }
    }

    pub(super) fn fail(check: Check, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { check, status: Status::Fail, found: found.into(), todo: Some(todo.into()) }
    }

    pub(super) fn skipped(check: Check, found: impl Into<String>) -> Self {
        Self { check, status: Status::Skipped, found: found.into(), todo: None }
    }
}

/// The first that failed: the cause of what could not be looked at.
pub(super) fn cause(lines: &[Line]) -> Option<Check> {
    lines.iter().find(|line| line.status == Status::Fail).map(|line| line.check)
}

/// Says of what could not be looked at for the sake of what failed before that it was skipped.
pub(super) fn skip_rest(lines: &mut Vec<Line>, chain: &[Check]) {
    let Some(cause) = cause(lines) else { return };
    let rest = chain.iter().filter(|check| lines.iter().all(|line| line.check != **check));
    let rest: Vec<Line> = rest.map(|check| Line::skipped(*check, format!("needs {}", cause.word()))).collect();
    lines.extend(rest);
}

/// All that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Nothing failed.
    pub(super) ok: bool,
    pub(super) checks: Vec<Line>,
}

impl Report {
    /// Of these lines. What they quote of others steers no terminal.
    pub(super) fn new(lines: Vec<Line>) -> Self {
        let clean = |text: String| super::super::printable(&text);
        let checks: Vec<Line> = lines
            .into_iter()
            .map(|line| Line { found: clean(line.found), todo: line.todo.map(clean), ..line })
            .collect();
        Self { ok: cause(&checks).is_none(), checks }
    }

    /// For people, with colours: who writes it takes them out where they are not wanted.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // What was skipped for one reason is one line.
        let is_same = |one: &Line, other: &Line| one.status == Status::Skipped && one.found == other.found;
        let mut groups = self.checks.chunk_by(is_same).peekable();
        while let Some(alike) = groups.next() {
            let Some(Line { status, found, todo, .. }) = alike.first() else { continue };
            let (style, word) = (status.style(), status.word());
            let checks: Vec<&str> = alike.iter().map(|line| line.check.word()).collect();
            let colon = if alike.len() > 1 { ":" } else { "" };
            text.push_str(&format!("{style}{word:<7}{style:#} {:<10} {found}\n", checks.join(", ") + colon));
            // What is to be done about several lines is told once, below the last of them.
            let next = groups.peek().and_then(|group| group.first()).and_then(|line| line.todo.as_ref());
            if let Some(todo) = todo.as_ref().filter(|todo| next != Some(*todo)) {
                text.push_str(&format!("{:<18} -> {todo}\n", ""));
            }
        }
        text + &self.sum() + "\n"
    }

    fn sum(&self) -> String {
        let count = |status| self.checks.iter().filter(|line| line.status == status).count();
        let (failed, warned) = (count(Status::Fail), count(Status::Warn));
        let warnings = match warned {
            0 => String::new(),
            1 => ", 1 warning".into(),
            more => format!(", {more} warnings"),
        };
        match cause(&self.checks) {
            None => format!("Nothing failed{warnings}"),
            Some(cause) => format!("{failed} failed{warnings}: begin with {}", cause.word()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A line has this status, words in it or in what is to be done, and tells what to do where something is wrong.
    #[track_caller]
    pub(in super::super) fn says(line: &Line, status: Status, words: &[&str]) {
        let text = format!("{} -> {}", line.found, line.todo.clone().unwrap_or_default());
        assert_eq!(line.status, status, "{text}");
        assert_eq!(line.todo.is_some(), matches!(status, Status::Warn | Status::Fail), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    }

    #[test]
    fn the_first_failure_is_the_cause_of_what_is_skipped() {
        let mut lines = vec![
            Line::warn(Check::Clock, "slow", "set it"),
            Line::fail(Check::Dns, "no such\u{1b}[2J host", "correct it"),
        ];
        skip_rest(&mut lines, &[Check::Dns, Check::Tcp, Check::Tls]);
        let report = Report::new(lines);
        let shown: Vec<_> = report.checks.iter().map(|line| (line.check, line.status)).collect();
        use Status::{Fail, Skipped, Warn};
        assert_eq!(shown, [(Check::Clock, Warn), (Check::Dns, Fail), (Check::Tcp, Skipped), (Check::Tls, Skipped)]);
        assert!(!report.ok && report.checks[2].found == "needs dns");
        let text = anstream::adapter::strip_str(&report.text()).to_string();
        assert_eq!(
            text,
            "warn    clock      slow\n                   -> set it\n\
             FAIL    dns        no such\u{fffd}[2J host\n                   -> correct it\n\
             skipped tcp, tls:  needs dns\n1 failed, 1 warning: begin with dns\n"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["checks"][2], serde_json::json!({"check": "tcp", "status": "skipped", "found": "needs dns"}));
    }

    #[test]
    fn what_is_to_be_done_about_several_lines_is_told_once() {
        let line = |found: &str, todo: &str| Line::fail(Check::Rbac, found, todo);
        let text = Report::new(vec![line("a", "x"), line("b", "x"), line("c", "y")]).text();
        let text = anstream::adapter::strip_str(&text).to_string();
        let shown: Vec<&str> = text.lines().map(|line| line.trim_start_matches("FAIL    rbac").trim()).collect();
        assert_eq!(shown, ["a", "b", "-> x", "c", "-> y", "3 failed: begin with rbac"]);
    }

    #[test]
    fn where_nothing_failed_nothing_is_skipped() {
        let mut lines = vec![Line::ok(Check::Dns, "x")];
        skip_rest(&mut lines, &[Check::Dns, Check::Tcp]);
        assert_eq!(lines.len(), 1);
        assert!(Report::new(lines).text().ends_with("Nothing failed\n"));
    }
}
