//! Deletion: the finalizer goes when nothing of ours is left at Orion, and never before (design section 4, "Delete").

use std::time::Duration;

use super::decision::{Decision, decision};
use super::facts::{Call, CallKind, ConnectionFacts};
use super::resolve::{self, Finding};
use super::settle::{self, readiness, settlement};
use super::step::Step;
use super::view::{Identity, View};
use crate::api::{DeletionPolicy, Failure, FailureClass, RESOLVE, Reason, Support};

pub(super) fn plan(view: &View<'_>) -> Step {
    if !view.has_finalizer() {
        return settle::report(view, Reason::Deleting, "Waiting for other finalizers");
    }
    if view.annotation(RESOLVE).and_then(decision) == Some(Decision::Abandon) {
        return Step::release("abandoned by a person's annotation");
    }
    if let Some(verdict) = view.standing_verdict() {
        return settle::keep(view, verdict);
    }
    if matches!(view.identity(), Identity::Free) && view.doubtful().is_none() && view.memory.created.is_none() {
        return Step::release("nothing was created");
    }
    let connection = match view.connection.usable() {
        Ok(connection) => connection,
        Err((reason, message)) if view.connection.is_lost() => return lost(view, reason, message),
        Err((reason, message)) => return settle::unusable(view, reason, message).step(),
    };
    if let Some(step) = after_call(view, connection) {
        return step;
    }
    match target(view, None) {
        Some((id, endpoint)) => remove(view, connection, id, endpoint),
        // Also where an id is stored: an attempt to replace it may have been begun.
        None if view.doubtful().is_some() => unsettled(view, connection, view.open_attempt().as_ref()),
        // Begun by this process and never sent, or deleted already.
        None => remaining(view, connection, None).unwrap_or(Step::release("nothing is left at Orion")),
    }
}

/// The id to delete, and the endpoint that it belongs to: the stored one, then one that could not be recorded. `gone` is
/// not there any more.
fn target<'v>(view: &'v View<'_>, gone: Option<&str>) -> Option<(&'v str, Option<&'v str>)> {
    let endpoint = view.webhook.status.as_ref().and_then(|status| status.endpoint.as_deref());
    let stored = view.stored_id().map(|id| (id, endpoint));
    let created = view.memory.created.as_ref().map(|created| (created.id.as_str(), Some(created.endpoint.as_str())));
    let mut known = stored.into_iter().chain(created);
    known.find(|(id, _)| gone != Some(*id) && !view.memory.deleted.contains(*id))
}

/// How long what is lost in a terminating namespace is waited for all the same.
const STRANDED_FOR: Duration = Duration::from_secs(600);

/// What it takes to delete the webhook is gone from its namespace. If that is terminating, it cannot come back, and this
/// object would keep the namespace for ever.
fn lost(view: &View<'_>, reason: Reason, message: &str) -> Step {
    match view.round.namespace_is_terminating {
        None => Step::LookAtNamespace,
        Some(false) => settle::unusable(view, reason, message).step(),
        Some(true) => stranded(view, reason, message),
    }
}

fn stranded(view: &View<'_>, reason: Reason, message: &str) -> Step {
    if view.stored_id().is_some() && view.webhook.spec.deletion_policy() == DeletionPolicy::Orphan {
        return Step::release(
            "left at Orion with its marker: its connection is gone with its namespace (deletionPolicy: Orphan)",
        );
    }
    let what = match target(view, None) {
        Some((id, Some(endpoint))) => format!("{id} at {endpoint}"),
        Some((id, None)) => id.to_owned(),
        None => "what may be left at Orion".to_owned(),
    };
    let until = view.memory.stranded.unwrap_or(view.now) + STRANDED_FOR;
    if until <= view.now {
        return Step::Release {
            why: "its connection is gone with its namespace",
            left_behind: Some(format!(
                "Nothing can delete {what} any more: the connection is gone, and the namespace is terminating. Delete it there"
            )),
        };
    }
    let message = format!(
        "{message}. The namespace is terminating, so that nothing can delete {what} any more. 10 minutes after this was first \
         seen it is left behind, and this object is let go"
    );
    settle::wait(view, reason, message, until)
}

fn remove(view: &View<'_>, connection: &ConnectionFacts, id: &str, endpoint: Option<&str>) -> Step {
    if let Some(endpoint) = endpoint.filter(|endpoint| *endpoint != connection.endpoint.as_str()) {
        return settle::report(
            view,
            Reason::EndpointChanged,
            format!(
                "{id} is at {endpoint}, and the connection now leads to {}. Point the connection back, or delete it there and let this object go: {}",
                connection.endpoint,
                abandon(view)
            ),
        );
    }
    if let Some(trouble) = &connection.trouble {
        return settle::wait_for_connection(view, trouble);
    }
    if view.settings.dry_run {
        return settle::dry_run(view, "delete");
    }
    match view.webhook.spec.deletion_policy() {
        DeletionPolicy::Orphan => orphan(view, connection, id),
        DeletionPolicy::Delete if connection.capabilities.delete == Support::Absent => {
            unsupported(view, connection, id)
        }
        DeletionPolicy::Delete => Step::Delete { id: id.to_owned() },
        DeletionPolicy::Unknown => settle::report(view, Reason::InvalidSpec, super::view::UNKNOWN_POLICY),
    }
}

/// Takes the marker off where that is possible, and leaves the webhook.
fn orphan(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Step {
    let can_update = connection.capabilities.put != Support::Absent || connection.capabilities.patch != Support::Absent;
    match &view.round.secrets {
        _ if !connection.ownership || !can_update => Step::release("left at Orion (deletionPolicy: Orphan)"),
        None => Step::ReadSecrets,
        Some(Ok(_)) => Step::Unmark { id: id.to_owned() },
        // Without the header values no full body can be sent, and the webhook is worth more than its marker.
        Some(Err(_)) => Step::release("left at Orion with its marker: its Secrets are gone (deletionPolicy: Orphan)"),
    }
}

/// What the call of this round leads to.
fn after_call(view: &View<'_>, connection: &ConnectionFacts) -> Option<Step> {
    let Call { kind, result } = view.round.call.as_ref()?;
    Some(match kind {
        CallKind::Unmark { .. } => match result {
            Err(failure) if !failure_is_final(failure) => settle::failure(view, failure).step(),
            Ok(_) | Err(_) => Step::release("left at Orion (deletionPolicy: Orphan)"),
        },
        CallKind::Delete { id } => match result {
            Ok(_) => next(view, connection, id),
            Err(failure) if failure.class == FailureClass::MethodNotAllowed => unsupported(view, connection, id),
            Err(failure) if failure.class == FailureClass::NotFound => after_not_found(view, connection, id, failure),
            Err(failure) => settle::failure(view, failure).step(),
        },
        // The POST or PUT of a Webhook that was deleted meanwhile: look again with nothing in hand.
        CallKind::Post { .. } | CallKind::Update { .. } => settlement(view, deleting(view), Some(view.now)).step(),
    })
}

/// 404 means gone where DELETE is known to exist. Elsewhere it may only mean that there is no such route.
fn after_not_found(view: &View<'_>, connection: &ConnectionFacts, id: &str, failure: &Failure) -> Step {
    let capabilities = connection.capabilities;
    if capabilities.delete == Support::Proven && failure.json {
        return next(view, connection, id);
    }
    match (&view.round.remote, &view.round.list) {
        (None, _) if capabilities.get != Support::Absent => Step::Get { id: id.to_owned() },
        (Some((_, Ok(_))), _) => unsupported(view, connection, id),
        (Some((_, Err(read))), _)
            if read.class == FailureClass::NotFound && read.json && capabilities.get == Support::Proven =>
        {
            next(view, connection, id)
        }
        (Some((_, Err(read))), _) if !read.class.is_absent() => settle::failure(view, read).step(),
        (_, None) if capabilities.list != Support::Absent => Step::List { begun_after: view.now },
        (_, Some(Ok(list))) if list.get(id).is_some() => unsupported(view, connection, id),
        (_, Some(Ok(list))) if list.is_complete() => next(view, connection, id),
        (_, Some(Ok(_))) => settle::retry(
            view,
            Reason::Deleting,
            "Orion's list is not complete; reading it again before this object is let go",
        ),
        (_, Some(Err(read))) if !read.class.is_absent() => settle::failure(view, read).step(),
        (_, _) => unsupported(view, connection, id),
    }
}

/// One webhook is gone: the next one, or the end.
fn next(view: &View<'_>, connection: &ConnectionFacts, gone: &str) -> Step {
    let created = view.memory.created.as_ref().map(|created| created.id.as_str());
    let by_marker = view.stored_id() != Some(gone) && created != Some(gone);
    let is_more = target(view, Some(gone)).is_some()
        || view.doubtful().is_some() && !by_marker
        || remaining(view, connection, Some(gone)).is_some();
    if is_more {
        // One change at Orion in a reconcile: the next one has the next.
        let mut settlement = settlement(view, deleting(view), Some(view.now));
        settlement.gone = Some(gone.to_owned());
        return settlement.step();
    }
    Step::release("deleted at Orion")
}

/// Further webhooks with our marker in the last complete list.
fn remaining(view: &View<'_>, connection: &ConnectionFacts, gone: Option<&str>) -> Option<Step> {
    let owner = view.owner(connection)?;
    let list = connection.last_list.as_ref().filter(|list| list.is_complete())?;
    let is_left = |id: &&String| {
        let is_done = gone == Some(id.as_str()) || view.memory.deleted.contains(*id);
        !is_done && (view.held_by)(id).is_none()
    };
    let left = list.ids_of(&owner).iter().find(is_left)?;
    (view.webhook.spec.deletion_policy() == DeletionPolicy::Delete && connection.capabilities.delete != Support::Absent)
        .then(|| Step::Delete { id: left.clone() })
}

/// A create of unknown result: wait until it has settled, then delete what carries our marker.
fn unsettled(view: &View<'_>, connection: &ConnectionFacts, attempt: Option<&crate::api::Attempt>) -> Step {
    match resolve::find(view, connection, attempt) {
        Finding::NotYet(step) => step,
        Finding::Nothing => Step::release("the create took no effect"),
        Finding::Alike(ids) => resolve::unresolved(view, resolve::ALIKE, &ids),
        Finding::Elsewhere => resolve::elsewhere(view),
        Finding::Ours(_, ours) => match view.webhook.spec.deletion_policy() {
            DeletionPolicy::Orphan => Step::release("left at Orion (deletionPolicy: Orphan)"),
            DeletionPolicy::Unknown => settle::report(view, Reason::InvalidSpec, super::view::UNKNOWN_POLICY),
            DeletionPolicy::Delete => {
                match ours.iter().find(|id| !view.memory.deleted.contains(*id) && (view.held_by)(id).is_none()) {
                    Some(id) if connection.capabilities.delete == Support::Absent => unsupported(view, connection, id),
                    Some(id) => Step::Delete { id: id.clone() },
                    // The list was read before they were deleted, or another Webhook has taken them over.
                    None => Step::release("deleted at Orion"),
                }
            }
        },
    }
}

fn unsupported(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Step {
    settle::report(
        view,
        Reason::DeleteUnsupported,
        format!(
            "Orion at {} has no DELETE for webhooks. Remove {id} at Orion by other means, then let this object go: {}",
            connection.endpoint.host(),
            abandon(view)
        ),
    )
}

fn failure_is_final(failure: &Failure) -> bool {
    failure.class.is_absent() || failure.class == FailureClass::Rejected
}

fn deleting(view: &View<'_>) -> crate::api::Readiness {
    readiness(view, Reason::Deleting, "Deleting the webhook at Orion")
}

fn abandon(view: &View<'_>) -> String {
    settle::annotate_command(view, "abandon")
}
