//! Which Orion: the arguments of the default connection, which several commands share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::api::{Endpoint, parse_duration};
use crate::orion::{ConfigError, ConnectionConfig, Credentials, HttpOrion, NoCredentials, RateLimit, TokenFile};

/// Which Orion, and how it is called.
#[derive(Args, Debug, Clone)]
pub struct ConnectionArgs {
    /// URL of Orion for the default connection: scheme, host and port
    #[arg(long, env = "ORION_OPERATOR_ORION_URL", value_name = "URL")]
    pub orion_url: Option<String>,
    /// Path prefix of Orion's API
    #[arg(long, env = "ORION_OPERATOR_ORION_PATH_PREFIX", value_name = "PATH", default_value = "/v1alpha")]
    pub orion_path_prefix: String,
    /// File with the bearer token; read again when it changes and when Orion answers 401
    #[arg(long, env = "ORION_OPERATOR_ORION_TOKEN_FILE", value_name = "FILE")]
    pub orion_token_file: Option<PathBuf>,
    /// File with a CA certificate (PEM) to trust besides the system's
    #[arg(long, env = "ORION_OPERATOR_ORION_CA_FILE", value_name = "FILE")]
    pub orion_ca_file: Option<PathBuf>,
    /// Longest time for one call to Orion, 1s to 30s
    #[arg(long, env = "ORION_OPERATOR_ORION_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = parse_timeout)]
    pub orion_timeout: Duration,
    /// Calls to Orion: requests per second / burst, or 0 for no limit
    #[arg(long, env = "ORION_OPERATOR_ORION_RATE_LIMIT", value_name = "N/BURST", default_value = "20/40", value_parser = parse_rate_limit)]
    pub orion_rate_limit: RateLimitFlag,
}

/// A rate limit, or none.
#[derive(Clone, Copy, Debug)]
pub struct RateLimitFlag(pub Option<RateLimit>);

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = parse_duration(text)?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(30);
    if bounds.contains(&timeout) { Ok(timeout) } else { Err(format!("\"{text}\" is not between 1s and 30s")) }
}

fn parse_rate_limit(text: &str) -> Result<RateLimitFlag, String> {
    if text.trim() == "0" {
        return Ok(RateLimitFlag(None));
    }
    let wrong = || format!("\"{text}\" is not requests per second / burst, like 20/40, nor 0 for no limit");
    let (rate, burst) = text.split_once('/').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse().map_err(|_| wrong());
    Ok(RateLimitFlag(Some(RateLimit { requests_per_second: number(rate)?, burst: number(burst)? })))
}

/// Why Orion cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ConnectionError {
    #[error("--orion-url: {0}")]
    OrionUrl(String),
    #[error("--orion-url is missing: say which Orion")]
    NoUrl,
    #[error("--orion-ca-file {path}: {source}")]
    CaFile { path: PathBuf, source: std::io::Error },
    #[error("--orion-token-file is set, but --orion-url is not: there is nothing to use the token for")]
    TokenWithoutUrl,
    #[error("the connection to Orion: {0}")]
    Config(#[from] ConfigError),
}

impl ConnectionError {
    /// The arguments are wrong, which is known only once they are looked at together.
    pub(super) fn is_usage(&self) -> bool {
        match self {
            Self::OrionUrl(_) | Self::NoUrl | Self::TokenWithoutUrl => true,
            Self::CaFile { .. } | Self::Config(_) => false,
        }
    }
}

impl ConnectionArgs {
    /// A client of Orion; `None` where no url is given.
    ///
    /// # Errors
    /// The arguments do not fit together, or the CA file cannot be used.
    pub(super) fn orion(&self) -> Result<Option<HttpOrion>, ConnectionError> {
        let Some(url) = self.orion_url.as_deref().filter(|url| !url.is_empty()) else {
            return if self.orion_token_file.is_some() { Err(ConnectionError::TokenWithoutUrl) } else { Ok(None) };
        };
        let endpoint = Endpoint::new(url, &self.orion_path_prefix).map_err(ConnectionError::OrionUrl)?;
        let credentials: Arc<dyn Credentials> = match &self.orion_token_file {
            Some(path) => Arc::new(TokenFile::new(path)),
            None => Arc::new(NoCredentials),
        };
        let mut config = ConnectionConfig::new(endpoint, credentials);
        config.timeout = self.orion_timeout;
        config.rate_limit = self.orion_rate_limit.0;
        if let Some(path) = &self.orion_ca_file {
            let read = std::fs::read(path);
            config.ca_pem = Some(read.map_err(|source| ConnectionError::CaFile { path: path.clone(), source })?);
        }
        Ok(Some(HttpOrion::new(config)?))
    }
}
