//! Logs. Only this crate speaks at every level: libraries may log what passes through them, and that can be a secret.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Starts logging to standard error.
///
/// # Errors
/// The level is not one of error, warn, info, debug, trace.
pub fn init(level: tracing::Level, format: LogFormat) -> Result<(), ParseError> {
    // kube's client quotes the text of an answer that does not decode, which may be a Secret.
    let filter = EnvFilter::try_new(format!("warn,kube_client::client=off,orion_operator={level}"))?;
    // In a file or a log collector colours are noise.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // A second call (in tests) keeps the first subscriber.
    let _ = match format {
        LogFormat::Json => subscriber.json().flatten_event(true).with_span_list(false).try_init(),
        LogFormat::Text => subscriber.try_init(),
    };
    Ok(())
}
