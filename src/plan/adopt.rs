//! Taking over a webhook that is at Orion already: by its marker, by `spec.adopt`, or by a person's word.

use super::settle::{self, readiness, settlement, synced};
use super::view::{ConnectionFacts, View};
use super::{Step, resolve};
use crate::api::{AdoptSpec, Attempt, FailureClass, Reason, RemoteWebhook, Support};

/// Takes over `spec.adopt.id`. Writes nothing to Orion by itself.
pub(super) fn plan(view: &View<'_>, connection: &ConnectionFacts, adopt: &AdoptSpec, attempt: Option<&Attempt>) -> Step {
    if !connection.adoption {
        return settle::report(
            view,
            Reason::NotAllowed,
            "This connection does not allow adoption. Ask its administrator to allow it (--allow-adoption), or take spec.adopt out",
        );
    }
    by_id(view, connection, &adopt.id, adopt.force.unwrap_or(false), attempt)
}

/// Takes over an id that a person named in the resolve annotation: that person's word counts for `force` too, and for
/// the webhook's being there where nothing can look.
pub(super) fn by_decision(view: &View<'_>, connection: &ConnectionFacts, id: &str, attempt: Option<&Attempt>) -> Step {
    let capabilities = connection.capabilities;
    let proves_nothing = matches!(&view.round.remote, Some((read, Err(failure))) if read == id && resolve::is_absent(failure.class));
    let is_blind = capabilities.list == Support::Absent
        && (capabilities.get == Support::Absent || capabilities.get == Support::Unknown && proves_nothing);
    if is_blind && (view.held_by)(id).is_none() {
        return record_unseen(view, connection, id, attempt);
    }
    by_id(view, connection, id, true, attempt)
}

fn record_unseen(view: &View<'_>, connection: &ConnectionFacts, id: &str, attempt: Option<&Attempt>) -> Step {
    let text = "A person named the webhook; bringing it to what is declared";
    let mut settlement = settlement(view, readiness_without_annotation(view, text), Some(view.now));
    settlement.status.webhook_id = Some(id.to_owned());
    settlement.status.endpoint = Some(connection.endpoint.as_str().to_owned());
    settlement.synced = Some(None);
    settlement.settling(attempt.map(|attempt| attempt.token.as_str())).step()
}

fn by_id(view: &View<'_>, connection: &ConnectionFacts, id: &str, force: bool, attempt: Option<&Attempt>) -> Step {
    if let Some(holder) = (view.held_by)(id) {
        return settle::report(
            view,
            Reason::Conflict,
            format!("The Webhook {holder} already holds {id}. Delete that one with deletionPolicy: Orphan first, or adopt another id"),
        );
    }
    if let Some(trouble) = &connection.trouble {
        return settle::wait_for_connection(view, trouble);
    }
    let remote = match (&view.round.remote, connection.capabilities.get) {
        (Some((read, Ok(remote))), _) if read == id => remote,
        (Some((read, Err(failure))), _) if read == id && !resolve::is_absent(failure.class) => {
            return settle::failure(view, failure).step();
        }
        (Some((read, Err(failure))), Support::Proven | Support::Unknown)
            if read == id && failure.class == FailureClass::NotFound =>
        {
            return not_there(view, connection, id);
        }
        (_, Support::Absent) => match &view.round.list {
            None if connection.capabilities.list != Support::Absent => return Step::List { begun_after: view.now },
            Some(Ok(snapshot)) => match snapshot.get(id) {
                Some(remote) => remote,
                None => return not_there(view, connection, id),
            },
            Some(Err(failure)) if !resolve::is_absent(failure.class) => return settle::failure(view, failure).step(),
            None | Some(Err(_)) => {
                return settle::report(
                    view,
                    Reason::AdoptionFailed,
                    format!("Orion at {} has no way to read {id}, so it cannot be taken over", connection.endpoint.host()),
                );
            }
        },
        (_, Support::Proven | Support::Unknown) => return Step::Get { id: id.to_owned() },
    };
    let ours = view.owner(connection);
    let foreign = remote.owner().is_some_and(|owner| ours.as_ref() != Some(&owner));
    if foreign && !force {
        return settle::report(
            view,
            Reason::Conflict,
            format!("{id} carries the marker of another Webhook or another installation. Set spec.adopt.force: true to take it all the same"),
        );
    }
    take_over(view, connection, remote, attempt.map(|attempt| attempt.token.as_str()))
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
pub(super) fn take_over(view: &View<'_>, connection: &ConnectionFacts, remote: &RemoteWebhook, token: Option<&str>) -> Step {
    if view.settings.dry_run {
        return settle::dry_run(view, "take over");
    }
    if !view.has_finalizer() {
        return Step::Hold;
    }
    let versions = match &view.round.secrets {
        None => return Step::ReadSecrets,
        Some(Ok(values)) if view.desired(connection).is_some_and(|desired| remote.matches(&desired)) => Some(&values.versions),
        Some(_) => None,
    };
    let settlement = match versions {
        Some(versions) if !is_taken_by_force(view, connection, remote) => synced(view, connection, &remote.id, versions),
        Some(_) | None => {
            let text = "The webhook is at Orion; bringing it to what is declared";
            let mut settlement = settlement(view, readiness_without_annotation(view, text), Some(view.now));
            settlement.status.webhook_id = Some(remote.id.clone());
            settlement.status.endpoint = Some(connection.endpoint.as_str().to_owned());
            settlement.synced = Some(None);
            settlement
        }
    };
    settlement.settling(token).step()
}

/// It carries another's marker and was adopted with `force`: an update puts ours on.
pub(super) fn is_taken_by_force(view: &View<'_>, connection: &ConnectionFacts, remote: &RemoteWebhook) -> bool {
    let named = view.webhook.spec.adopt.as_ref().is_some_and(|adopt| adopt.id == remote.id && adopt.force == Some(true));
    named && connection.ownership && remote.owner().is_some_and(|owner| view.owner(connection).as_ref() != Some(&owner))
}

/// The annotation is being acted on, so it is not named as one that fits nothing.
fn readiness_without_annotation(view: &View<'_>, text: &str) -> crate::api::Readiness {
    let mut readiness = readiness(view, Reason::Progressing, "");
    text.clone_into(&mut readiness.message);
    readiness
}
