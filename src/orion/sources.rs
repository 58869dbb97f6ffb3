//! The places where a person gives credentials: none, files of flags, and a cell for what a Secret holds.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use secrecy::zeroize::Zeroizing;

use super::credentials::{Given, Look, Password, Seen, Source, login_text, token_text};

/// No credentials: calls go without `Authorization`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

#[async_trait]
impl Source for NoCredentials {
    async fn look(&self) -> Look {
        Look { given: Ok(Given::Nothing), epoch: 0 }
    }

    fn place(&self) -> &'static str {
        "the credentials of the connection"
    }
}

/// A token in a file, as `--orion-token-file` names it. The file is tiny and is read afresh for each call, so a
/// rotated token (a mounted Secret, say) is used at once.
pub struct TokenFile {
    path: PathBuf,
    seen: Mutex<Seen>,
}

impl TokenFile {
    /// A token in the file at `path`. Nothing is read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seen: Mutex::default() }
    }

    async fn read(&self) -> Result<Given, &'static str> {
        token_text(&read(&self.path).await?).map(Given::Token)
    }
}

#[async_trait]
impl Source for TokenFile {
    async fn look(&self) -> Look {
        let given = self.read().await.map_err(|problem| {
            format!("the file of --orion-token-file {problem}: put a token for the Orion API into it")
        });
        lock(&self.seen).note(given)
    }

    fn place(&self) -> &'static str {
        "the file of --orion-token-file"
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A username and a password in two files, as `--orion-username-file` and `--orion-password-file` name them. Both are
/// read afresh for each call. Where only one of them is new yet, the login that fails by it is over as soon as the other
/// one is new too: other credentials do not wait.
pub struct PasswordFiles {
    username: PathBuf,
    password: PathBuf,
    seen: Mutex<Seen>,
}

impl PasswordFiles {
    /// A username and a password in these files. Nothing is read yet.
    #[must_use]
    pub fn new(username: impl Into<PathBuf>, password: impl Into<PathBuf>) -> Self {
        Self { username: username.into(), password: password.into(), seen: Mutex::default() }
    }

    async fn read(&self) -> Result<Given, String> {
        let text = async |path: &Path, flag, what| {
            let text = match read(path).await {
                Ok(bytes) => login_text(&bytes),
                Err(problem) => Err(problem),
            };
            text.map_err(|problem| format!("the file of {flag} {problem}: put the {what} for Orion into it"))
        };
        Ok(Given::Password(Password {
            username: text(&self.username, "--orion-username-file", "username").await?,
            password: text(&self.password, "--orion-password-file", "password").await?,
        }))
    }
}

#[async_trait]
impl Source for PasswordFiles {
    async fn look(&self) -> Look {
        let given = self.read().await;
        lock(&self.seen).note(given)
    }

    fn place(&self) -> &'static str {
        "the files of --orion-username-file and --orion-password-file"
    }
}

impl fmt::Debug for PasswordFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordFiles")
            .field("username", &self.username)
            .field("password", &self.password)
            .finish_non_exhaustive()
    }
}

/// Credentials that somebody else reads, from a Kubernetes Secret, and puts here.
pub struct GivenCell {
    place: String,
    state: Mutex<(Seen, Look)>,
}

impl GivenCell {
    /// A cell with its first content. `place` names the Secret and its keys, for messages.
    #[must_use]
    pub fn new(place: impl Into<String>, given: Result<Given, String>) -> Self {
        let mut seen = Seen::default();
        let look = seen.note(given);
        Self { place: place.into(), state: Mutex::new((seen, look)) }
    }

    /// It holds the same as `given`.
    pub async fn holds(&self, given: &Given) -> bool {
        self.look().await.given.is_ok_and(|held| held.is(given))
    }

    /// What is given from now on, or what is wrong with it: a whole, stable sentence that names the Secret and the key
    /// and says what to do. A problem takes the place of what was given before. The epoch grows only if the content is
    /// another one, or if there is some again after a problem.
    pub fn set(&self, given: Result<Given, String>) {
        let mut state = lock(&self.state);
        state.1 = state.0.note(given);
    }
}

#[async_trait]
impl Source for GivenCell {
    async fn look(&self) -> Look {
        lock(&self.state).1.clone()
    }

    fn place(&self) -> &str {
        &self.place
    }
}

impl fmt::Debug for GivenCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GivenCell").field("place", &self.place).finish_non_exhaustive()
    }
}

async fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    tokio::fs::read(path).await.map(Zeroizing::new).map_err(|error| {
        let kind = error.kind();
        if kind == ErrorKind::NotFound {
            "does not exist"
        } else if kind == ErrorKind::PermissionDenied {
            "may not be read by the operator"
        } else {
            "cannot be read"
        }
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn shown(look: &Look) -> String {
        match &look.given {
            Ok(Given::Nothing) => "nothing".into(),
            Ok(Given::Token(token)) => token.expose_secret().into(),
            Ok(Given::Password(given)) => {
                format!("{} {}", given.username.expose_secret(), given.password.expose_secret())
            }
            Err(problem) => problem.clone(),
        }
    }

    #[tokio::test]
    async fn a_token_file_is_trimmed_and_read_afresh() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tokens = TokenFile::new(file.path());
        for (content, shows, epoch) in
            [(" first\n", "first", 0), ("first", "first", 0), ("second", "second", 1), ("second", "second", 1)]
        {
            std::fs::write(file.path(), content).unwrap();
            let look = tokens.look().await;
            assert_eq!((shown(&look).as_str(), look.epoch), (shows, epoch), "white space is no change");
        }
        assert!(!format!("{tokens:?}").contains("second"));
    }

    #[tokio::test]
    async fn a_bad_file_is_named_by_its_flag() {
        let dir = tempfile::tempdir().unwrap();
        let (path, good) = (dir.path().join("given"), dir.path().join("good"));
        std::fs::write(&good, "good").unwrap();
        let sources: [(&str, Box<dyn Source>, bool); 3] = [
            ("--orion-token-file", Box::new(TokenFile::new(&path)), true),
            ("--orion-username-file", Box::new(PasswordFiles::new(&path, &good)), false),
            ("--orion-password-file", Box::new(PasswordFiles::new(&good, &path)), false),
        ];
        for (content, says, words) in [
            (None, "does not exist", false),
            (Some(&b" \n"[..]), "is empty", true),
            (Some(b"\n"), "is empty", false),
            (Some(b"\xff\xfe"), "is not text", false),
            (Some(b"two words"), "more than one word", true),
        ] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            for (flag, source, is_token) in &sources {
                let look = source.look().await;
                if words && !is_token {
                    look.given.unwrap();
                    continue;
                }
                let problem = look.given.unwrap_err();
                assert!(problem.contains(flag) && problem.contains(says), "{problem}");
            }
        }
    }

    #[tokio::test]
    async fn both_files_of_a_login_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let (username, password) = (dir.path().join("u"), dir.path().join("p"));
        std::fs::write(&username, "me\n").unwrap();
        std::fs::write(&password, " se cret \r\n").unwrap();
        let files = PasswordFiles::new(&username, &password);
        let look = files.look().await;
        assert_eq!((shown(&look).as_str(), look.epoch), ("me  se cret ", 0));
        std::fs::write(&username, "you").unwrap();
        assert_eq!(files.look().await.epoch, 1);
        std::fs::write(&password, "other").unwrap();
        let look = files.look().await;
        assert_eq!((shown(&look).as_str(), look.epoch), ("you other", 2));
        assert!(!format!("{files:?}").contains("other") && !format!("{look:?}").contains("other"));
    }

    #[tokio::test]
    async fn a_cell_tells_changes_and_a_problem_takes_the_place() {
        let token = |text: &str| Ok(Given::Token(text.into()));
        let cell = GivenCell::new("Secret orion, key token", token("one"));
        for (given, shows, epoch) in [
            (token("one"), "one", 0),
            (token("two"), "two", 1),
            (Err("Secret orion does not exist".into()), "Secret orion does not exist", 1),
            (Err("Secret orion has no key token".into()), "Secret orion has no key token", 1),
            (token("two"), "two", 2),
        ] {
            cell.set(given);
            let look = cell.look().await;
            assert_eq!((shown(&look).as_str(), look.epoch), (shows, epoch));
        }
        assert!(!format!("{cell:?}").contains("two"));
        let empty = GivenCell::new("Secret orion", Err("Secret orion does not exist".into()));
        empty.set(token("one"));
        assert_eq!(empty.look().await.epoch, 1, "whoever failed without it is waiting for it");
    }
}
