//! How what was found is written: for people, for programs, and as annotations of GitHub. Pure.

use std::fmt::Write as _;

use clap::ValueEnum;

use super::check::{Finding, Report};
use crate::cli::printable;

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A line for each error, and the sum.
    Text,
    /// One object: `checked`, `skipped`, `errors`.
    Json,
    /// Annotations of GitHub Actions, shown at the line of the file, and the sum.
    Github,
}

impl Output {
    /// The report in this form.
    pub(super) fn write(self, report: &Report) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = match self {
            Self::Text => report.errors.iter().try_for_each(|it| writeln!(text, "{}", line(it))),
            Self::Github => report.errors.iter().try_for_each(|it| writeln!(text, "{}", annotation(it))),
            Self::Json => writeln!(text, "{}", serde_json::to_string_pretty(report).unwrap_or_default()),
        };
        match self {
            Self::Text | Self::Github => text + &sum(report) + "\n",
            Self::Json => text,
        }
    }
}

/// Where, what, why, each where it is known.
fn line(finding: &Finding) -> String {
    let place = match (finding.line, finding.column) {
        (0, _) => finding.file.clone(),
        (line, 0) => format!("{}:{line}", finding.file),
        (line, column) => format!("{}:{line}:{column}", finding.file),
    };
    let parts = [place.as_str(), &finding.object, &finding.field, &finding.message];
    parts.into_iter().filter(|part| !part.is_empty()).map(printable).collect::<Vec<_>>().join(": ")
}

/// <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#setting-an-error-message>
fn annotation(finding: &Finding) -> String {
    let place =
        if finding.line == 0 { String::new() } else { format!(",line={},col={}", finding.line, finding.column.max(1)) };
    let parts = [finding.object.as_str(), &finding.field, &finding.message];
    let message = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    format!("::error file={}{place}::{}", property(&finding.file), data(&message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

fn sum(report: &Report) -> String {
    let verdict = match report.errors.len() {
        0 => "no error".to_owned(),
        1 => "1 error".to_owned(),
        errors => format!("{errors} errors"),
    };
    let objects = if report.checked == 1 { "1 object" } else { &format!("{} objects", report.checked) };
    format!("{objects} checked, {} of other kinds skipped: {verdict}", report.skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let finding = Finding {
            file: "a,b:c.yaml".into(),
            line: 7,
            column: 3,
            object: "Webhook jobs".into(),
            field: "spec.url".into(),
            message: "must be\n100% good".into(),
        };
        let whole = Finding { line: 0, column: 0, object: String::new(), field: String::new(), ..finding.clone() };
        Report { checked: 1, skipped: 2, errors: vec![finding, whole] }
    }

    #[test]
    fn for_people() {
        assert_eq!(
            Output::Text.write(&report()),
            "a,b:c.yaml:7:3: Webhook jobs: spec.url: must be\u{fffd}100% good\n\
             a,b:c.yaml: must be\u{fffd}100% good\n\
             1 object checked, 2 of other kinds skipped: 2 errors\n"
        );
        assert_eq!(Output::Text.write(&Report::default()), "0 objects checked, 0 of other kinds skipped: no error\n");
    }

    #[test]
    fn for_github() {
        let written = Output::Github.write(&report());
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines[0], "::error file=a%2Cb%3Ac.yaml,line=7,col=3::Webhook jobs: spec.url: must be%0A100%25 good");
        assert_eq!(lines[1], "::error file=a%2Cb%3Ac.yaml::must be%0A100%25 good");
        assert_eq!(lines[2], "1 object checked, 2 of other kinds skipped: 2 errors");
    }

    #[test]
    fn for_programs() {
        let read: serde_json::Value = serde_json::from_str(&Output::Json.write(&report())).unwrap();
        assert_eq!((&read["checked"], &read["skipped"], &read["errors"][0]["line"]), (&1.into(), &2.into(), &7.into()));
        assert_eq!(read["errors"][0]["field"], "spec.url");
    }
}
