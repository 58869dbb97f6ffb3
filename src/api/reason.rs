//! The reasons of the Ready condition: one closed list, each with the state it stands for (design section 3).

use std::fmt;

/// How a `Webhook` stands, as the standard conditions tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Ready=True.
    Ready,
    /// Reconciling=True, Ready=Unknown.
    Unknown,
    /// Reconciling=True, Ready=False: will retry by itself.
    Retrying,
    /// Stalled=True, Ready=False: a person must act.
    Stalled,
    /// Ready=False alone.
    Suspended,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $state:ident,)+) => {
        /// Reason of the Ready condition. Every value has one meaning and one state.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// Every reason, in the order of the table in the design.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The CamelCase word written into the condition.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$name => stringify!($name),)+ }
            }

            /// The state that the conditions show for this reason.
            #[must_use]
            pub fn state(self) -> State {
                match self { $(Reason::$name => State::$state,)+ }
            }
        }
    };
}

reasons! {
    /// Orion has the webhook as declared.
    Synced => Ready,
    /// Work has not finished yet.
    Progressing => Unknown,
    /// It is not known whether a create took effect.
    CreateUncertain => Unknown,
    /// `--dry-run`: what would be sent is only said.
    DryRun => Unknown,
    /// Orion cannot be reached or answers 5xx.
    OrionUnavailable => Retrying,
    /// Orion did not answer in time.
    Timeout => Retrying,
    /// No TLS connection with a trusted certificate.
    TLSFailed => Retrying,
    /// Orion asks for fewer requests.
    RateLimited => Retrying,
    /// Orion's answer cannot be understood.
    RemoteProtocolError => Retrying,
    /// A Secret or a key of it does not exist.
    SecretNotFound => Retrying,
    /// The connection does not exist.
    ConnectionNotFound => Retrying,
    /// The connection exists but is not Ready.
    ConnectionNotReady => Retrying,
    /// The object is being deleted.
    Deleting => Retrying,
    /// The spec cannot be carried out.
    InvalidSpec => Stalled,
    /// Orion refused the request.
    Rejected => Stalled,
    /// Orion refused the credentials.
    Unauthorized => Stalled,
    /// The credentials may not do this.
    Forbidden => Stalled,
    /// Orion has no webhooks API at this URL and prefix.
    EndpointNotFound => Stalled,
    /// Orion answered with a redirect, which is never followed.
    UnexpectedRedirect => Stalled,
    /// Another webhook or Webhook is in the way.
    Conflict => Stalled,
    /// The connection does not serve this namespace, userId or adoption.
    NotAllowed => Stalled,
    /// A Secret holds something that cannot be sent as a header.
    SecretInvalid => Stalled,
    /// The connection's address is not allowed.
    InsecureConnection => Stalled,
    /// Orion has neither PUT nor PATCH.
    UpdateUnsupported => Stalled,
    /// Orion has no DELETE.
    DeleteUnsupported => Stalled,
    /// The result of a create cannot be found out without a person.
    CreateUnresolved => Stalled,
    /// The webhook to adopt cannot be taken over.
    AdoptionFailed => Stalled,
    /// The stored id belongs to another endpoint.
    EndpointChanged => Stalled,
    /// Too many webhooks of the connection are gone at once.
    MassDrift => Stalled,
    /// `spec.suspend` is set and the spec is not what was last synced.
    Suspended => Suspended,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Reason {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        Reason::ALL.iter().copied().find(|reason| reason.as_str() == s).ok_or(())
    }
}
