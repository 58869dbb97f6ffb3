//! What [`HttpOrion`](super::HttpOrion) asks of credentials, and what a person gives for them.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::api::Failure;

/// Bearer tokens for one connection.
#[async_trait]
pub(super) trait Credentials: Send + Sync {
    /// The token of this moment; `None` where Orion is called without one.
    ///
    /// # Errors
    /// The token cannot be had. Nothing of the call that needs it was sent to Orion.
    async fn bearer(&self) -> Result<Option<SecretString>, Failure>;

    /// A token in place of one that Orion refused with a 401. It may be the same one: then the refusal stands.
    ///
    /// # Errors
    /// As [`Credentials::bearer`].
    async fn renew(&self, refused: Option<&SecretString>) -> Result<Option<SecretString>, Failure>;

    /// Orion answered a call with this token. A token that is refused before it ever was good is not worth a login of
    /// its own each time.
    fn accepted(&self, token: &SecretString);

    /// A number that grows whenever what a person gave us (a file, a Secret) is seen to have changed. It does not grow
    /// when a login merely gives a new token. Costs no call to Orion.
    async fn epoch(&self) -> u64;

    /// How long ago the token that is in use was had from a login; `None` where there was none.
    fn login_age(&self) -> Option<Duration>;
}

/// Where a person gives what leads to a token: files, or a Secret.
#[async_trait]
pub trait Source: Send + Sync {
    /// What is given at this moment. Costs no call to Orion.
    async fn look(&self) -> Look;

    /// Where that is, for messages: flags, or a Secret and its keys.
    fn place(&self) -> &str;
}

/// What one look at a [`Source`] showed.
#[derive(Clone, Debug)]
pub struct Look {
    /// What is given, or what is wrong with it and what to do: a whole, stable sentence without any secret.
    pub given: Result<Given, String>,
    /// How often it was seen to have changed.
    pub epoch: u64,
}

/// What a person gives.
#[derive(Clone, Debug)]
pub enum Given {
    /// Nothing: calls go without `Authorization`.
    Nothing,
    /// A bearer token, used as it is.
    Token(SecretString),
    /// A username and a password, to log in with.
    Password(Password),
}

/// A username and its password.
#[derive(Clone, Debug)]
pub struct Password {
    /// The username.
    pub username: SecretString,
    /// The password.
    pub password: SecretString,
}

impl Given {
    /// It is the same as `other`.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => true,
            (Self::Token(one), Self::Token(other)) => same(one, other),
            (Self::Password(one), Self::Password(other)) => one.is(other),
            (Self::Nothing | Self::Token(_) | Self::Password(_), _) => false,
        }
    }
}

impl Password {
    /// It is the same as `other`.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        same(&self.username, &other.username) && same(&self.password, &other.password)
    }
}

/// Two secrets are the same text.
pub(super) fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

/// A token as it stands in a file or a Secret: white space around it does not count.
///
/// # Errors
/// What is wrong with it, to follow its name in a sentence.
pub fn token_text(bytes: &[u8]) -> Result<SecretString, &'static str> {
    let token = std::str::from_utf8(bytes).map_err(|_| "is not text")?.trim();
    if token.is_empty() {
        return Err("is empty");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("holds more than one word, or characters that no token has");
    }
    Ok(SecretString::from(token))
}

/// A username or password as it stands in a file or a Secret. White space may be part of it, the end of the line that
/// editors and `echo` add is not.
///
/// # Errors
/// As [`token_text`].
pub fn login_text(bytes: &[u8]) -> Result<SecretString, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not text")?.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err("is empty") } else { Ok(SecretString::from(text)) }
}

/// Tells changes of what is given: the content that was read last, and how often it was another one than before.
#[derive(Default)]
pub(super) struct Seen {
    given: Option<Given>,
    failed: bool,
    changes: u64,
}

impl Seen {
    /// Takes note of what is given now.
    pub(super) fn note(&mut self, now: Result<Given, String>) -> Look {
        match &now {
            Ok(given) => {
                let is_known = self.given.as_ref().is_some_and(|known| known.is(given));
                let is_first = self.given.is_none() && !self.failed;
                // Something where there was nothing is a change too: whoever failed without it is waiting for it.
                self.changes += u64::from(!is_first && (!is_known || self.failed));
                self.failed = false;
                self.given = Some(given.clone());
            }
            // What cannot be read is no new credential; the next call says what is wrong.
            Err(_) => self.failed = true,
        }
        Look { given: now, epoch: self.changes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_as_people_write_them() {
        let token = |bytes: &[u8]| token_text(bytes).map(|token| token.expose_secret().to_owned());
        assert_eq!(token(b" t0ken\r\n").unwrap(), "t0ken");
        for bytes in [&b" \n"[..], b"", b"\xff", b"two words", b"t\0", "tok\u{e9}n".as_bytes()] {
            token(bytes).unwrap_err();
        }
        let text = |bytes: &[u8]| login_text(bytes).map(|text| text.expose_secret().to_owned());
        assert_eq!(text(b" p4ss w\xc3\xb6rd \r\n").unwrap(), " p4ss w\u{f6}rd ");
        for bytes in [&b"\r\n"[..], b"", b"\xff"] {
            text(bytes).unwrap_err();
        }
    }

    #[test]
    fn changes_are_told_from_the_same_again() {
        let mut seen = Seen::default();
        let password = |text: &str| Ok(Given::Password(Password { username: "u".into(), password: text.into() }));
        let mut epochs = vec![seen.note(Err("gone".into())).epoch];
        for now in [password("a"), password("a"), password("b"), Err("gone".into()), password("b")] {
            epochs.push(seen.note(now).epoch);
        }
        epochs.push(seen.note(Ok(Given::Token("b".into()))).epoch);
        assert_eq!(epochs, [0, 1, 1, 2, 2, 3, 4]);
        assert_eq!(Seen::default().note(password("a")).epoch, 0, "the first is no change");
    }
}
