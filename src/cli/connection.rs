//! Which Orion: the arguments of the default connection, which several commands share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::api::{Endpoint, parse_duration};
use crate::orion::{
    ConfigError, ConnectionConfig, HttpOrion, NoCredentials, Oversight, PasswordFiles, RateLimit, Source, TokenFile,
};

const TOKEN: &str = "--orion-token-file";
const USERNAME: &str = "--orion-username-file";
const PASSWORD: &str = "--orion-password-file";

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
    /// File with the username to log in with; read again when it changes. Needs --orion-password-file
    #[arg(long, env = "ORION_OPERATOR_ORION_USERNAME_FILE", value_name = "FILE")]
    pub orion_username_file: Option<PathBuf>,
    /// File with the password to log in with; read again when it changes. Needs --orion-username-file
    #[arg(long, env = "ORION_OPERATOR_ORION_PASSWORD_FILE", value_name = "FILE")]
    pub orion_password_file: Option<PathBuf>,
    /// Path of the login, from the root of the host [default: <prefix>/auth/login]
    #[arg(long, env = "ORION_OPERATOR_ORION_LOGIN_PATH", value_name = "PATH")]
    pub orion_login_path: Option<String>,
    /// Scopes to ask for at the login, separated by commas
    #[arg(long, env = "ORION_OPERATOR_ORION_SCOPES", value_name = "A,B", value_delimiter = ',')]
    pub orion_scopes: Vec<String>,
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
    #[error("{flag} is set, but --orion-url is not: say which Orion it is for")]
    NoUrlFor { flag: &'static str },
    #[error("--orion-token-file and {flag} are both set: give a token, or a username and a password")]
    TokenAndPassword { flag: &'static str },
    #[error("{given} is set, but {missing} is not: a login needs both")]
    HalfPassword { given: &'static str, missing: &'static str },
    #[error(
        "{flag} is set, but --orion-username-file and --orion-password-file are not: there is no login without them"
    )]
    NoLogin { flag: &'static str },
    #[error("--orion-login-path: it must start with one slash and hold no ?, # or backslash")]
    LoginPath,
    #[error("the connection to Orion: {0}")]
    Config(#[from] ConfigError),
}

impl ConnectionError {
    /// The arguments are wrong, which is known only once they are looked at together.
    pub(super) fn is_usage(&self) -> bool {
        match self {
            Self::OrionUrl(_)
            | Self::NoUrl
            | Self::NoUrlFor { .. }
            | Self::TokenAndPassword { .. }
            | Self::HalfPassword { .. }
            | Self::NoLogin { .. }
            | Self::LoginPath => true,
            Self::CaFile { .. } | Self::Config(_) => false,
        }
    }
}

impl ConnectionArgs {
    /// A client of Orion; `None` where no url is given.
    ///
    /// # Errors
    /// The arguments do not fit together, or the CA file cannot be used.
    pub(super) fn orion(&self, oversight: &Oversight) -> Result<Option<HttpOrion>, ConnectionError> {
        self.config(oversight)?.map(|config| made(HttpOrion::new(config))).transpose()
    }

    /// What such a client is made of.
    ///
    /// # Errors
    /// The arguments do not fit together, or the CA file cannot be read.
    pub(super) fn config(&self, oversight: &Oversight) -> Result<Option<ConnectionConfig>, ConnectionError> {
        let auth = self.auth()?;
        let Some(url) = self.orion_url.as_deref().filter(|url| !url.is_empty()) else {
            let flag =
                self.orion_token_file.as_ref().map(|_| TOKEN).or(self.orion_username_file.as_ref().map(|_| USERNAME));
            return flag.map_or(Ok(None), |flag| Err(ConnectionError::NoUrlFor { flag }));
        };
        let endpoint = Endpoint::new(url, &self.orion_path_prefix).map_err(ConnectionError::OrionUrl)?;
        let mut config = ConnectionConfig::new(endpoint, auth);
        config.oversight = oversight.clone();
        config.login_path.clone_from(&self.orion_login_path);
        config.scopes.clone_from(&self.orion_scopes);
        config.timeout = self.orion_timeout;
        config.rate_limit = self.orion_rate_limit.0;
        if let Some(path) = &self.orion_ca_file {
            let read = std::fs::read(path);
            config.ca_pem = Some(read.map_err(|source| ConnectionError::CaFile { path: path.clone(), source })?);
        }
        Ok(Some(config))
    }

    /// Where the credentials are, if the arguments fit together.
    fn auth(&self) -> Result<Arc<dyn Source>, ConnectionError> {
        let half = |given, missing| Err(ConnectionError::HalfPassword { given, missing });
        let files = (&self.orion_token_file, &self.orion_username_file, &self.orion_password_file);
        let auth: Arc<dyn Source> = match files {
            (Some(_), Some(_), _) => return Err(ConnectionError::TokenAndPassword { flag: USERNAME }),
            (Some(_), None, Some(_)) => return Err(ConnectionError::TokenAndPassword { flag: PASSWORD }),
            (None, Some(_), None) => return half(USERNAME, PASSWORD),
            (None, None, Some(_)) => return half(PASSWORD, USERNAME),
            (None, Some(username), Some(password)) => return Ok(Arc::new(PasswordFiles::new(username, password))),
            (Some(token), None, None) => Arc::new(TokenFile::new(token)),
            (None, None, None) => Arc::new(NoCredentials),
        };
        if self.orion_login_path.is_some() {
            return Err(ConnectionError::NoLogin { flag: "--orion-login-path" });
        }
        if !self.orion_scopes.is_empty() {
            return Err(ConnectionError::NoLogin { flag: "--orion-scopes" });
        }
        Ok(auth)
    }
}

/// A client of the flags, or which of them is wrong.
pub(super) fn made(client: Result<HttpOrion, ConfigError>) -> Result<HttpOrion, ConnectionError> {
    client.map_err(|error| match error {
        ConfigError::LoginPath => ConnectionError::LoginPath,
        ConfigError::Ca
        | ConfigError::Endpoint
        | ConfigError::NotHttps
        | ConfigError::NotPublic
        | ConfigError::Client => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        connection: ConnectionArgs,
    }

    fn orion(arguments: &[&str]) -> Result<Option<HttpOrion>, ConnectionError> {
        let arguments = ["test", "--orion-url", "http://127.0.0.1:9"].iter().chain(arguments);
        Arguments::try_parse_from(arguments).unwrap().connection.orion(&Oversight::default())
    }

    #[test]
    fn arguments_that_do_not_fit_together_are_wrong_usage() {
        for (arguments, names) in [
            (&["--orion-token-file", "t", "--orion-username-file", "u"][..], &[TOKEN, USERNAME][..]),
            (&["--orion-token-file", "t", "--orion-password-file", "p"], &[TOKEN, PASSWORD]),
            (
                &["--orion-token-file", "t", "--orion-username-file", "u", "--orion-password-file", "p"],
                &[TOKEN, USERNAME],
            ),
            (&["--orion-username-file", "u"], &[USERNAME, PASSWORD]),
            (&["--orion-password-file", "p"], &[USERNAME, PASSWORD]),
            (&["--orion-login-path", "/login"], &["--orion-login-path", USERNAME]),
            (&["--orion-token-file", "t", "--orion-scopes", "a,b"], &["--orion-scopes", PASSWORD]),
            (
                &["--orion-username-file", "u", "--orion-password-file", "p", "--orion-login-path", "login"],
                &["--orion-login-path"],
            ),
            (&["--orion-url", "", "--orion-token-file", "t"], &["--orion-url", TOKEN]),
            (
                &["--orion-url", "", "--orion-username-file", "u", "--orion-password-file", "p"],
                &["--orion-url", USERNAME],
            ),
        ] {
            let error = match arguments {
                ["--orion-url", rest @ ..] => {
                    let arguments = ["test", "--orion-url"].iter().chain(rest);
                    Arguments::try_parse_from(arguments).unwrap().connection.orion(&Oversight::default()).err().unwrap()
                }
                _ => orion(arguments).err().unwrap(),
            };
            assert!(error.is_usage(), "{error}");
            assert!(names.iter().all(|name| error.to_string().contains(name)), "{error}");
        }
    }

    #[test]
    fn arguments_that_fit_make_a_client() {
        let login = ["--orion-username-file", "u", "--orion-password-file", "p"];
        let more = ["--orion-login-path", "/api/login", "--orion-scopes", "analyst,viewer"];
        for arguments in [vec![], vec!["--orion-token-file", "t"], login.to_vec(), [login, more].concat()] {
            assert!(orion(&arguments).unwrap().is_some(), "{arguments:?}");
        }
        let nothing = Arguments::try_parse_from(["test"]).unwrap();
        assert!(nothing.connection.orion(&Oversight::default()).unwrap().is_none());
    }
}
