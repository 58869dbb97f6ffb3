//! Makes a webhook, looks what becomes of it, and deletes it, whatever happens in between: but only what is shown to be
//! the one that was made here.

use rand::distr::{Alphanumeric, SampleString};
use secrecy::SecretString;
use tokio::signal::unix::SignalKind;

use super::super::trip::{AGAIN, Foreign, Removal, TRIES, Trip, desired, is_ours};
use super::interrupt::Interrupts;
use crate::api::{Desired, Failure, FailureClass, RemoteWebhook, Support};
use crate::orion::{HttpOrion, Orion};

/// What was shown, and what became of an update.
type Middle = (Option<Result<Option<RemoteWebhook>, Failure>>, Option<Result<(), Failure>>);

/// Says what became of it. `there`: what the list showed before.
pub(super) async fn take(orion: &HttpOrion, user_id: &str, there: &[String]) -> Trip {
    let random = Alphanumeric.sample_string(&mut rand::rng(), 12).to_ascii_lowercase();
    let desired = desired(user_id, &random);
    // From here on no signal that can be caught ends the process: what was made is deleted first.
    let mut interrupts = Interrupts::of(&[SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]);
    eprintln!("making a webhook with the presence name {}, and deleting it", desired.presence_name);
    let made = match orion.prepare().await {
        Ok(()) => orion.create(&desired, &random).await,
        Err(failure) => Err(failure),
    };
    let id = match &made {
        Ok(id) => Some(id.clone()),
        Err(failure) if failure.is_known_refusal() => None,
        // It may be there all the same.
        Err(_) => listed(orion, &desired).await.ok().flatten().map(|webhook| webhook.id),
    };
    let mut trip = Trip {
        presence_name: desired.presence_name.clone(),
        made,
        read: None,
        updated: None,
        interrupted: false,
        removed: None,
    };
    if let Some(id) = id {
        let removal = if there.contains(&id) {
            Removal::NotOurs(Foreign::WasThere)
        } else {
            if trip.made.is_ok() {
                tokio::select! {
                    middle = look(orion, &id, &desired) => (trip.read, trip.updated) = middle,
                    () = interrupts.first() => trip.interrupted = true,
                }
            }
            match whose(orion, &id, &desired, &trip).await {
                None => remove(orion, &id).await,
                Some(foreign) => Removal::NotOurs(foreign),
            }
        };
        trip.removed = Some((id, removal));
    }
    // What is left to look at changes nothing.
    interrupts.end_the_process();
    trip
}

async fn look(orion: &HttpOrion, id: &str, desired: &Desired) -> Middle {
    let read = shown(orion, id).await;
    let capabilities = orion.capabilities();
    let is_fixed = capabilities.put == Support::Absent && capabilities.patch == Support::Absent;
    let is_ours = matches!(&read, Some(Ok(Some(webhook))) if is_ours(webhook, desired));
    if is_fixed || !is_ours {
        return (read, None);
    }
    let headers = desired.headers.iter().map(|(name, _)| (name.clone(), SecretString::from("changed"))).collect();
    let updated = orion.update(id, &Desired { headers, ..desired.clone() }).await;
    (read, Some(updated))
}

/// What Orion shows under this id; nothing where there is no way to ask.
async fn shown(orion: &HttpOrion, id: &str) -> Option<Result<Option<RemoteWebhook>, Failure>> {
    let capabilities = orion.capabilities();
    match (capabilities.get, capabilities.list) {
        (Support::Proven, _) => Some(match orion.get(id).await {
            Err(failure) if failure.class == FailureClass::NotFound && failure.json => Ok(None),
            outcome => outcome.map(Some),
        }),
        // A 404 may speak of the route.
        (Support::Unknown, Support::Absent | Support::Unknown) => Some(orion.get(id).await.map(Some)),
        (_, Support::Proven) => {
            Some(orion.list().await.map(|list| list.webhooks.into_iter().find(|webhook| webhook.id == id)))
        }
        (Support::Absent, Support::Absent | Support::Unknown) => None,
    }
}

/// What the list shows of it, by its marker or, where that is hidden, by its random name.
async fn listed(orion: &HttpOrion, desired: &Desired) -> Result<Option<RemoteWebhook>, Failure> {
    Ok(orion.list().await?.webhooks.into_iter().find(|webhook| is_ours(webhook, desired)))
}

/// Nothing where it is the one that was made, as Orion shows it.
async fn whose(orion: &HttpOrion, id: &str, desired: &Desired, trip: &Trip) -> Option<Foreign> {
    if let Some(Ok(Some(webhook))) = &trip.read {
        return (!is_ours(webhook, desired)).then_some(Foreign::Another);
    }
    for _ in 1..TRIES {
        match shown(orion, id).await {
            Some(Ok(Some(webhook))) => return (!is_ours(&webhook, desired)).then_some(Foreign::Another),
            Some(Ok(None) | Err(_)) => tokio::time::sleep(AGAIN).await,
            None => break,
        }
    }
    Some(Foreign::NotShown)
}

async fn remove(orion: &HttpOrion, id: &str) -> Removal {
    let mut tries = 0;
    let refused = loop {
        tries += 1;
        match orion.delete(id).await {
            Ok(()) => break None,
            // It speaks of the id, or of the route.
            Err(failure) if failure.class == FailureClass::NotFound && failure.json => break Some(failure),
            // No try would change that.
            Err(failure) if tries == TRIES || failure.class.is_absent() => return Removal::Failed(failure),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    };
    match (shown(orion, id).await, refused) {
        (Some(Ok(None)), _) => Removal::Gone,
        (Some(Ok(Some(_))), None) => Removal::Still,
        (Some(Ok(Some(_))), Some(failure)) | (None, Some(failure)) => Removal::Failed(failure),
        (Some(Err(failure)), _) => Removal::Unseen(failure.message),
        (None, None) => Removal::Unseen("there is no way to look".to_owned()),
    }
}
