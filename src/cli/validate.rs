//! `orion-operator validate`: manifests, by the rules of the definitions, without a cluster.

mod check;
mod located;
mod report;

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

pub use self::report::Output;

use self::check::{Checker, Finding, Report};
use super::Error;

/// Arguments of `validate`.
#[derive(Args, Debug)]
pub struct ValidateArgs {
    /// Files of YAML (one or more documents) or JSON; - is the standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// Checks the files, writes to `out` what is wrong, and fails if anything is.
pub(super) fn run(args: &ValidateArgs, out: &mut impl Write) -> Result<ExitCode, Error> {
    let checker = Checker::new();
    let mut report = Report::default();
    for path in &args.files {
        let file = path.to_string_lossy();
        match read(path) {
            Ok(text) => checker.file(&file, &text, &mut report),
            Err(error) => report.errors.push(unread(&file, &error)),
        }
    }
    out.write_all(args.output.write(&report).as_bytes())?;
    Ok(if report.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(path: &PathBuf) -> io::Result<String> {
    if path.as_os_str() != "-" {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text)?;
    Ok(text)
}

fn unread(file: &str, error: &io::Error) -> Finding {
    let message = format!("cannot be read: {error}");
    Finding { file: file.to_owned(), line: 0, column: 0, object: String::new(), field: String::new(), message }
}
