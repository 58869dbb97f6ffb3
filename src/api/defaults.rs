//! What a connection's spec comes to, with every default in its place. The schema has none (see `webhook`).

use std::time::Duration;

use super::connection::{
    AdoptionSpec, ClusterOrionConnectionSpec, OrionConnectionSpec, OwnershipSpec, PasswordSecretRef,
};
use super::duration::parse_duration;
use super::remote::Endpoint;

/// Path prefix of Orion's API where none is given.
pub const PATH_PREFIX: &str = "/v1alpha";
/// Longest time for one call where none is given.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// What may be given instead.
pub const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30);

impl OrionConnectionSpec {
    /// The API base.
    ///
    /// # Errors
    /// Says which field is wrong and how.
    pub fn endpoint(&self) -> Result<Endpoint, String> {
        Endpoint::new(&self.url, self.path_prefix.as_deref().unwrap_or(PATH_PREFIX))
            .map_err(|why| format!("spec.url and spec.pathPrefix: {why}"))
    }

    /// Longest time for one call.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn timeout(&self) -> Result<Duration, String> {
        let Some(text) = self.timeout.as_deref() else { return Ok(TIMEOUT) };
        let timeout = parse_duration(text).map_err(|why| format!("spec.timeout: {why}"))?;
        if TIMEOUTS.contains(&timeout) {
            Ok(timeout)
        } else {
            Err("spec.timeout: it must be between 1s and 30s".into())
        }
    }

    /// Webhooks carry the owner marker.
    #[must_use]
    pub fn is_marking(&self) -> bool {
        match self.ownership.unwrap_or_default() {
            OwnershipSpec::Header => true,
            OwnershipSpec::None => false,
        }
    }

    /// Names of the Secrets that it refers to, sorted, each once.
    #[must_use]
    pub fn secret_names(&self) -> Vec<&str> {
        let token = self.auth.token_secret_ref.as_ref().map(|reference| reference.name.as_str());
        let password = self.auth.password_secret_ref.as_ref().map(|reference| reference.name.as_str());
        let ca = self.ca_secret_ref.as_ref().map(|reference| reference.name.as_str());
        let mut names: Vec<&str> = [token, password, ca].into_iter().flatten().collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl PasswordSecretRef {
    /// Key of the username.
    #[must_use]
    pub fn username_key(&self) -> &str {
        self.username_key.as_deref().unwrap_or("username")
    }

    /// Key of the password.
    #[must_use]
    pub fn password_key(&self) -> &str {
        self.password_key.as_deref().unwrap_or("password")
    }
}

impl ClusterOrionConnectionSpec {
    /// Webhooks may adopt by id.
    #[must_use]
    pub fn allows_adoption(&self) -> bool {
        match self.adoption.unwrap_or_default() {
            AdoptionSpec::Allow => true,
            AdoptionSpec::Deny => false,
        }
    }
}
