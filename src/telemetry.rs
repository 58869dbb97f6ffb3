//! Logs. Only this crate speaks at every level: libraries may log what passes through them, and that can be a secret.

use std::io::IsTerminal;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{Level, info, warn};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The level while the operator runs.
pub struct LogLevel {
    given: Level,
    filter: Handle<EnvFilter, Registry>,
}

/// Starts logging to standard error.
///
/// # Errors
/// The level is not one of error, warn, info, debug, trace.
pub fn init(level: Level, format: LogFormat) -> Result<LogLevel, ParseError> {
    // In a file or a log collector colours are noise.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Text => lines.boxed(),
    };
    let (layer, handle) = reload::Layer::new(filter(level)?);
    // A second call (in tests) keeps the first subscriber.
    let _ = Registry::default().with(layer).with(lines).try_init();
    Ok(LogLevel { given: level, filter: handle })
}

fn filter(level: Level) -> Result<EnvFilter, ParseError> {
    // kube's client quotes the text of an answer that does not decode, which may be a Secret. The listener tells of every
    // stranger who does not speak TLS.
    EnvFilter::try_new(format!("warn,kube_client::client=off,tls_listener=off,orion_operator={level}"))
}

impl LogLevel {
    /// SIGUSR1 makes the log finer: debug, or trace where that was given. The next one takes it back.
    pub async fn follow_signals(self) {
        let mut signals = match signal(SignalKind::user_defined1()) {
            Ok(signals) => signals,
            Err(error) => {
                warn!(%error, "SIGUSR1 cannot be received: the log level stays");
                return;
            }
        };
        let finer = if self.given < Level::DEBUG { Level::DEBUG } else { Level::TRACE };
        let mut now = self.given;
        while signals.recv().await.is_some() {
            now = if now == finer { self.given } else { finer };
            match filter(now).map(|filter| self.filter.reload(filter)) {
                Ok(Ok(())) => info!(level = %now, "SIGUSR1: the log level is another one now"),
                Ok(Err(error)) => warn!(%error, "SIGUSR1: the log level cannot be changed"),
                Err(error) => warn!(%error, "SIGUSR1: the log level cannot be changed"),
            }
        }
    }
}
