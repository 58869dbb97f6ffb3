//! The Orion API: one trait, and its implementation over HTTP.
//!
//! Every call has a time-out, follows no redirect, is never repeated by itself, and fails with a [`Failure`] that was
//! classified once. What is known of the API and what is not:
//! [`docs/orion-api.md`](https://github.com/orion-operator/orion-operator/blob/main/docs/orion-api.md).

mod capabilities;
mod classify;
mod client;
mod credentials;
mod lifetime;
mod limit;
mod login;
mod oversight;
mod paging;
mod pause;
mod punctual;
mod reach;
mod rejection;
mod session;
mod sources;
mod transport;
mod wire;

use std::time::Duration;

use async_trait::async_trait;

pub use self::client::{ConnectionConfig, HttpOrion};
pub use self::credentials::{Given, Look, Password, Source, login_text, token_text};
pub use self::limit::{Limiter, RateLimit};
pub use self::oversight::{Oversight, Witness};
pub use self::reach::Reach;
pub use self::sources::{GivenCell, NoCredentials, PasswordFiles, TokenFile};
pub use self::transport::ConfigError;

use crate::api::{Capabilities, Desired, Endpoint, Failure, RemoteWebhook};

/// All webhooks of one Orion, as far as one pass over its pages can tell.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The webhooks, in the order they came.
    pub webhooks: Vec<RemoteWebhook>,
    /// `None`: ids are unique, `total` (where given) equals the count and the last page was reached.
    /// Otherwise why this listing must not be trusted for what it does not show.
    pub flaw: Option<String>,
}

/// One Orion with one set of credentials.
#[async_trait]
pub trait Orion: Send + Sync {
    /// The API base, as in `status.endpoint`.
    fn endpoint(&self) -> &Endpoint;

    /// What is known of its operations at this moment. Never costs a call.
    fn capabilities(&self) -> Capabilities;

    /// Reads `/openapi.json` (host root, else under the prefix) once, and again only if Orion could not be reached.
    /// A host that serves none leaves everything `Unknown`.
    ///
    /// # Errors
    /// Only failures of the connection itself; the lack of the document is not one.
    async fn discover(&self) -> Result<(), Failure>;

    /// Gets all that the next [`Orion::create`] needs: a permit of the rate limit, and credentials (read afresh if the
    /// last answer was a 401; that may be a login). Waits for the permit.
    ///
    /// # Errors
    /// The credentials cannot be had.
    async fn prepare(&self) -> Result<(), Failure>;

    /// One POST, no more, with `Idempotency-Key: token`; uses the permit of [`Orion::prepare`] and does not wait.
    /// Returns the id.
    ///
    /// # Errors
    /// [`Failure::is_known_refusal`] tells whether nothing was created.
    async fn create(&self, desired: &Desired, token: &str) -> Result<String, Failure>;

    /// Reads all pages.
    ///
    /// # Errors
    /// A call failed; 404, 405 and 501 mean that there is no list.
    async fn list(&self) -> Result<Listing, Failure>;

    /// Reads one webhook.
    ///
    /// # Errors
    /// `NotFound` with `json` means that the id is gone only if GET is proven.
    async fn get(&self, id: &str) -> Result<RemoteWebhook, Failure>;

    /// Replaces one webhook: PUT, else PATCH with the whole body.
    ///
    /// # Errors
    /// `MethodNotAllowed` if Orion has neither.
    async fn update(&self, id: &str, desired: &Desired) -> Result<(), Failure>;

    /// Deletes one webhook.
    ///
    /// # Errors
    /// `MethodNotAllowed` if Orion has no DELETE, `NotFound` if the id (or the route) is not there.
    async fn delete(&self, id: &str) -> Result<(), Failure>;

    /// A number that grows whenever the credentials are seen to have changed. Costs no call to Orion.
    async fn credentials_epoch(&self) -> u64;

    /// How long ago the token that is in use was had from a login; `None` where there was none. Costs no call to Orion.
    fn login_age(&self) -> Option<Duration> {
        None
    }
}
