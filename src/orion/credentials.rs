//! Where the bearer token of a connection comes from.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use crate::api::{Failure, FailureClass, Sent};

/// A source of bearer tokens.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The token of this moment; `None` where Orion is called without one.
    ///
    /// # Errors
    /// The token cannot be had. Nothing was sent to Orion.
    async fn bearer(&self) -> Result<Option<SecretString>, Failure>;

    /// A token in place of one that Orion refused with a 401. It may be the same one: then the refusal stands.
    ///
    /// # Errors
    /// As [`Credentials::bearer`].
    async fn renew(&self, refused: Option<&SecretString>) -> Result<Option<SecretString>, Failure> {
        let _ = refused;
        self.bearer().await
    }

    /// A number that grows whenever what a person gave us (a file, a Secret) is seen to have changed. It does not grow
    /// when a login merely gives a new token. Costs no call to Orion.
    async fn epoch(&self) -> u64;
}

/// No token: calls go without `Authorization`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

#[async_trait]
impl Credentials for NoCredentials {
    async fn bearer(&self) -> Result<Option<SecretString>, Failure> {
        Ok(None)
    }

    async fn epoch(&self) -> u64 {
        0
    }
}

/// A token in a file, as `--orion-token-file` names it. The file is tiny and is read afresh for each call, so a
/// rotated token (a mounted Secret, say) is used at once.
pub struct TokenFile {
    path: PathBuf,
    seen: Mutex<Seen>,
}

/// The content that was read last, and how often it was another one than before.
#[derive(Default)]
struct Seen {
    token: Option<SecretString>,
    failed: bool,
    changes: u64,
}

impl TokenFile {
    /// A token in the file at `path`. Nothing is read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seen: Mutex::default() }
    }

    async fn read(&self) -> Result<SecretString, &'static str> {
        let bytes = tokio::fs::read(&self.path).await.map(Zeroizing::new).map_err(|error| {
            let kind = error.kind();
            if kind == ErrorKind::NotFound {
                "does not exist"
            } else if kind == ErrorKind::PermissionDenied {
                "may not be read by the operator"
            } else {
                "cannot be read"
            }
        })?;
        let token = std::str::from_utf8(&bytes).map_err(|_| "is not text")?.trim();
        if token.is_empty() {
            return Err("is empty");
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("holds more than one word, or characters that no token has");
        }
        let token = SecretString::from(token);
        self.note(&token);
        Ok(token)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, token: &SecretString) {
        let mut seen = self.seen();
        let is_known = seen.token.as_ref().is_some_and(|known| same(known, token));
        let is_first = seen.token.is_none() && !seen.failed;
        // A token where there was none is a change too: whoever failed without it is waiting for it.
        if !is_first && (!is_known || seen.failed) {
            seen.changes += 1;
        }
        seen.failed = false;
        seen.token = Some(token.clone());
    }
}

#[async_trait]
impl Credentials for TokenFile {
    async fn bearer(&self) -> Result<Option<SecretString>, Failure> {
        self.read().await.map(Some).inspect_err(|_| self.seen().failed = true).map_err(|problem| Failure {
            class: FailureClass::Unauthorized,
            status: None,
            sent: Sent::No,
            json: false,
            retry_after: None,
            message: format!("the file of --orion-token-file {problem}: put a token for the Orion API into it"),
        })
    }

    async fn epoch(&self) -> u64 {
        // A file that cannot be read now is no new credential; the next call says what is wrong with it.
        let is_readable = self.read().await.is_ok();
        let mut seen = self.seen();
        seen.failed |= !is_readable;
        seen.changes
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Two tokens are the same text.
pub(super) fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_file_is_trimmed_and_read_afresh() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tokens = TokenFile::new(file.path());
        std::fs::write(file.path(), " first\n").unwrap();
        assert_eq!(tokens.bearer().await.unwrap().unwrap().expose_secret(), "first");
        assert_eq!(tokens.epoch().await, 0);
        std::fs::write(file.path(), "first").unwrap();
        assert_eq!(tokens.epoch().await, 0, "white space is no change");
        std::fs::write(file.path(), "second").unwrap();
        assert_eq!(tokens.epoch().await, 1);
        assert_eq!(tokens.bearer().await.unwrap().unwrap().expose_secret(), "second");
        assert_eq!(tokens.epoch().await, 1);
        assert!(!format!("{tokens:?}").contains("second"));
    }

    #[tokio::test]
    async fn a_bad_file_is_named_by_its_flag() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let tokens = TokenFile::new(&path);
        for (content, says) in [
            (None, "does not exist"),
            (Some(b" \n".as_slice()), "is empty"),
            (Some(b"\xff\xfe"), "is not text"),
            (Some(b"two words"), "more than one word"),
        ] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let failure = tokens.bearer().await.unwrap_err();
            assert_eq!((failure.class, failure.sent, failure.status), (FailureClass::Unauthorized, Sent::No, None));
            assert!(failure.message.contains("--orion-token-file") && failure.message.contains(says), "{failure:?}");
            assert_eq!(tokens.epoch().await, 0);
        }
    }
}
