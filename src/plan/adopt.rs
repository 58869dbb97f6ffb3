//! Taking over a webhook that is at Orion already: by its marker, by `spec.adopt`, or by a person's word.

use super::decision::{Decision, fitting};
use super::facts::ConnectionFacts;
use super::settle::{self, readiness, settlement, synced};
use super::step::{Settlement, Step};
use super::view::View;
use crate::api::{AdoptSpec, Attempt, FailureClass, Reason, RemoteWebhook, Support};

/// Takes over `spec.adopt.id`. Writes nothing to Orion by itself.
pub(super) fn plan(
    view: &View<'_>,
    connection: &ConnectionFacts,
    adopt: &AdoptSpec,
    attempt: Option<&Attempt>,
) -> Step {
    if !connection.adoption {
        return settle::report(
            view,
            Reason::NotAllowed,
            "This connection does not allow adoption. Ask its administrator to allow it (adoption: Allow, or --allow-adoption for the default one), or take spec.adopt out",
        );
    }
    by_id(view, connection, &adopt.id, Word::Spec { force: adopt.force.unwrap_or(false) }, attempt)
}

/// Takes over an id that a person named in the resolve annotation: that person's word counts for `force` too, and for
/// the webhook's being there where nothing can look.
pub(super) fn by_decision(view: &View<'_>, connection: &ConnectionFacts, id: &str, attempt: Option<&Attempt>) -> Step {
    let capabilities = connection.capabilities;
    let proves_nothing =
        matches!(&view.round.remote, Some((read, Err(failure))) if read == id && failure.class.is_absent());
    let is_blind = capabilities.list == Support::Absent
        && (capabilities.get == Support::Absent || capabilities.get == Support::Unknown && proves_nothing);
    if is_blind && (view.held_by)(id).is_none() {
        return record_unseen(view, connection, id, attempt);
    }
    by_id(view, connection, id, Word::Person, attempt)
}

/// Nothing can look. Where an update is proven to work it makes sure; elsewhere the person's word has to do.
fn record_unseen(view: &View<'_>, connection: &ConnectionFacts, id: &str, attempt: Option<&Attempt>) -> Step {
    let token = attempt.map(|attempt| attempt.token.as_str());
    let capabilities = connection.capabilities;
    if capabilities.put == Support::Proven || capabilities.patch == Support::Proven {
        return to_be_updated(view, connection, id).settling(token).step();
    }
    match &view.round.secrets {
        None => Step::ReadSecrets,
        Some(Ok(values)) => acted_on(view, synced(view, connection, id, &values.versions), id).settling(token).step(),
        Some(Err(_)) => to_be_updated(view, connection, id).settling(token).step(),
    }
}

fn to_be_updated(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Settlement {
    let text = "The webhook is at Orion; bringing it to what is declared";
    let mut settlement = settlement(view, readiness(view, Reason::Progressing, text), Some(view.now));
    settlement.status.webhook_id = Some(id.to_owned());
    settlement.status.endpoint = Some(connection.endpoint.as_str().to_owned());
    settlement.synced = Some(None);
    settlement
}

/// On whose word an id is taken.
#[derive(Clone, Copy)]
enum Word {
    /// `spec.adopt`.
    Spec { force: bool },
    /// The resolve annotation. Who can write it can often make a create uncertain too: where the connection denies
    /// adoption it reaches only what that create could have made.
    Person,
}

fn by_id(view: &View<'_>, connection: &ConnectionFacts, id: &str, word: Word, attempt: Option<&Attempt>) -> Step {
    if (view.held_by)(id).is_some() {
        return held_by_another(view, id);
    }
    if let Some(trouble) = &connection.trouble {
        return settle::wait_for_connection(view, trouble);
    }
    let by_get = connection.capabilities.get != Support::Absent;
    let remote = match (view.round.remote.as_ref().filter(|(read, _)| read == id), &view.round.list) {
        (Some((_, Ok(remote))), _) => remote,
        (Some((_, Err(failure))), _) if !failure.class.is_absent() => return settle::failure(view, failure).step(),
        (Some((_, Err(failure))), _) if by_get && failure.class == FailureClass::NotFound => {
            return not_there(view, connection, id);
        }
        (None, _) if by_get => return Step::Get { id: id.to_owned() },
        (_, None) if connection.capabilities.list != Support::Absent => return Step::List { begun_after: view.now },
        (_, Some(Ok(snapshot))) => match (snapshot.get(id), &snapshot.flaw) {
            (Some(remote), _) => remote,
            (None, None) => return not_there(view, connection, id),
            (None, Some(flaw)) => {
                return settle::retry(
                    view,
                    Reason::RemoteProtocolError,
                    format!("Orion's list does not show {id} and is not complete: {flaw}. Reading it again"),
                );
            }
        },
        (_, Some(Err(failure))) if !failure.class.is_absent() => return settle::failure(view, failure).step(),
        (_, None | Some(Err(_))) => {
            return settle::report(
                view,
                Reason::AdoptionFailed,
                format!("Orion at {} has no way to read {id}, so it cannot be taken over", connection.endpoint.host()),
            );
        }
    };
    let ours = view.owner(connection);
    let foreign = remote.owner().is_some_and(|owner| ours.as_ref() != Some(&owner));
    let spec = &view.webhook.spec;
    let alike = remote.looks_like(&spec.url, &spec.user_id, &spec.presence_name);
    match word {
        Word::Spec { force: false } if foreign => {
            return settle::report(
                view,
                Reason::Conflict,
                format!(
                    "{id} carries the marker of another Webhook or another installation. Set spec.adopt.force: true to take it all the same"
                ),
            );
        }
        Word::Person if !connection.adoption && (foreign || !alike && remote.owner().is_none()) => {
            return settle::report(
                view,
                Reason::NotAllowed,
                format!(
                    "{id} is not what this Webhook's create would have made, and this connection does not allow adoption. If the spec \
                     was edited since, put its url, userId and presenceName back until {id} is taken over. Else name another \
                     id, or ask the connection's administrator to allow adoption (adoption: Allow, or --allow-adoption for the default one)"
                ),
            );
        }
        Word::Spec { .. } | Word::Person => {}
    }
    take_over(view, connection, remote, attempt.map(|attempt| attempt.token.as_str()))
}

/// No webhook has two Webhooks.
pub(super) fn held_by_another(view: &View<'_>, id: &str) -> Step {
    // That other Webhook wakes nobody when it lets go, so this one looks again by itself.
    settle::wait(
        view,
        Reason::Conflict,
        format!(
            "{} already holds {id}. Delete that one with deletionPolicy: Orphan first, or adopt another id",
            view.holder(id)
        ),
        view.now + view.interval(),
    )
}

fn not_there(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Step {
    settle::report(
        view,
        Reason::AdoptionFailed,
        format!(
            "Orion at {} has no webhook {id}. Correct the id, or take spec.adopt out to create a new one",
            connection.endpoint.host()
        ),
    )
}

/// Records an id that is at Orion. Synced if it is as declared, else an update follows.
pub(super) fn take_over(
    view: &View<'_>,
    connection: &ConnectionFacts,
    remote: &RemoteWebhook,
    token: Option<&str>,
) -> Step {
    if view.settings.dry_run {
        return settle::dry_run(view, "take over");
    }
    if !view.has_finalizer() {
        return Step::Hold;
    }
    let versions = match &view.round.secrets {
        None => return Step::ReadSecrets,
        Some(Ok(values)) if remote.matches(&view.desired(connection, values)) => Some(&values.versions),
        Some(_) => None,
    };
    let settlement = match versions {
        Some(versions) if !is_taken_by_force(view, connection, remote) => {
            synced(view, connection, &remote.id, versions)
        }
        Some(_) | None => to_be_updated(view, connection, &remote.id),
    };
    acted_on(view, settlement, &remote.id).settling(token).step()
}

/// A person's annotation that named the id comes off next.
fn acted_on(view: &View<'_>, mut settlement: Settlement, id: &str) -> Settlement {
    if fitting(view) == Some(Decision::Adopt(id)) {
        settlement.wake = Some(view.now);
    }
    settlement
}

/// It carries another's marker and was adopted with `force`: an update puts ours on.
pub(super) fn is_taken_by_force(view: &View<'_>, connection: &ConnectionFacts, remote: &RemoteWebhook) -> bool {
    let named =
        view.webhook.spec.adopt.as_ref().is_some_and(|adopt| adopt.id == remote.id && adopt.force == Some(true));
    named && connection.ownership && remote.owner().is_some_and(|owner| view.owner(connection).as_ref() != Some(&owner))
}
