//! What a person does about each reason, in one line.

use super::reason::{Reason, State};

impl Reason {
    /// The next step. `NAME` stands for the object, as `kubectl orion` takes it.
    #[must_use]
    pub fn next_step(self) -> &'static str {
        match self {
            Reason::Synced => "nothing",
            Reason::Progressing | Reason::Deleting => "wait: it goes on by itself",
            Reason::CreateUncertain => "wait a minute or two: it is found out by itself",
            Reason::DryRun => "start the operator without --dry-run",
            Reason::OrionUnavailable => {
                "wait: it is tried again by itself. If it lasts, check that Orion is up, the connection's URL and the network"
            }
            Reason::Timeout => {
                "wait: it is tried again by itself. If it lasts, check the network, or raise the connection's timeout"
            }
            Reason::TLSFailed => "check Orion's certificate, or give its CA to the connection",
            Reason::RateLimited => "wait: it is tried again when Orion allows",
            Reason::RemoteProtocolError => "check that the connection's URL and path prefix lead to Orion itself",
            Reason::SecretNotFound => "create the Secret, or the key in it: it is seen at once",
            Reason::ConnectionNotFound => "create the connection, or give the operator --orion-url",
            Reason::ConnectionNotReady => "mend the connection: kubectl get oconn,coconn -A -o wide",
            Reason::InvalidSpec | Reason::Rejected => "correct the spec as the message says",
            Reason::Unauthorized => "renew the connection's token or password: it is seen at once",
            Reason::Forbidden => {
                "give the credentials the right to manage webhooks, then: kubectl orion reconcile NAME"
            }
            Reason::EndpointNotFound => "correct the connection's URL and path prefix",
            Reason::UnexpectedRedirect => "give the connection the address that the redirect leads to",
            Reason::Conflict => "remove what is in the way, or adopt it with spec.adopt.id",
            Reason::NotAllowed => "ask who runs the connection to allow it, or take it out of the spec",
            Reason::SecretInvalid => "correct the Secret: it is seen at once",
            Reason::InsecureConnection => "give the connection a public address, with https",
            Reason::UpdateUnsupported => "undo the change, or delete the Webhook and apply it again",
            Reason::DeleteUnsupported => {
                "remove the webhook at Orion by other means, then: kubectl orion resolve NAME abandon"
            }
            Reason::CreateUnresolved | Reason::EndpointChanged | Reason::MassDrift => {
                "decide: kubectl orion resolve NAME"
            }
            Reason::AdoptionFailed => "correct spec.adopt.id, or take spec.adopt out",
            Reason::Suspended => "kubectl orion resume NAME",
        }
    }

    /// It does not end without a person: nobody else decides, or makes what is missing.
    #[must_use]
    pub fn needs_a_person(self) -> bool {
        match self.state() {
            State::Stalled => true,
            State::Retrying => matches!(self, Reason::SecretNotFound | Reason::ConnectionNotFound),
            State::Ready | State::Unknown | State::Suspended => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_one_line_and_only_what_is_well_needs_none() {
        for reason in Reason::ALL {
            let step = reason.next_step();
            assert!(!step.is_empty() && !step.contains('\n') && !step.ends_with('.'), "{reason}: {step}");
            assert_eq!(step == "nothing", *reason == Reason::Synced, "{reason}");
            assert!(!(reason.needs_a_person() && step.starts_with("wait")), "{reason}: {step}");
        }
    }
}
