//! Makes a webhook, looks what becomes of it, and deletes it, whatever happens in between.

use rand::distr::{Alphanumeric, SampleString};
use secrecy::SecretString;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::super::trip::{AGAIN, Removal, TRIES, Trip, desired};
use crate::api::{Desired, Failure, FailureClass, RemoteWebhook, Support};
use crate::orion::{HttpOrion, Orion};

/// What was shown, and what became of an update.
type Middle = (Option<Result<Option<RemoteWebhook>, Failure>>, Option<Result<(), Failure>>);

/// Says what became of it.
pub(super) async fn take(orion: &HttpOrion, user_id: &str) -> Trip {
    let random = Alphanumeric.sample_string(&mut rand::rng(), 12).to_ascii_lowercase();
    let desired = desired(user_id, &random);
    // From here on Ctrl-C ends no process: what was made is deleted first.
    let interrupt = signal(SignalKind::interrupt()).ok();
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
    let Some(id) = id else { return trip };
    if trip.made.is_ok() {
        tokio::select! {
            middle = look(orion, &id, &desired) => (trip.read, trip.updated) = middle,
            () = interrupted(interrupt) => trip.interrupted = true,
        }
    }
    let removal = remove(orion, &id).await;
    trip.removed = Some((id, removal));
    trip
}

async fn interrupted(signal: Option<Signal>) {
    match signal {
        Some(mut signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

async fn look(orion: &HttpOrion, id: &str, desired: &Desired) -> Middle {
    let capabilities = orion.capabilities();
    let read = match (capabilities.get, capabilities.list) {
        (Support::Proven, _) | (Support::Unknown, Support::Absent | Support::Unknown) => {
            Some(orion.get(id).await.map(Some))
        }
        (_, Support::Proven) => Some(listed(orion, desired).await),
        (Support::Absent, Support::Absent | Support::Unknown) => None,
    };
    if capabilities.put == Support::Absent && capabilities.patch == Support::Absent {
        return (read, None);
    }
    let headers = desired.headers.iter().map(|(name, _)| (name.clone(), SecretString::from("changed"))).collect();
    let updated = orion.update(id, &Desired { headers, ..desired.clone() }).await;
    (read, Some(updated))
}

/// What the list shows of it, by its marker or, where that is hidden, by its random name.
async fn listed(orion: &HttpOrion, desired: &Desired) -> Result<Option<RemoteWebhook>, Failure> {
    let is_it = |webhook: &RemoteWebhook| {
        webhook.presence_name.as_ref() == Some(&desired.presence_name)
            || (webhook.owner().is_some() && webhook.owner() == desired.owner)
    };
    Ok(orion.list().await?.webhooks.into_iter().find(is_it))
}

async fn remove(orion: &HttpOrion, id: &str) -> Removal {
    let mut tries = 0;
    loop {
        tries += 1;
        match orion.delete(id).await {
            Ok(()) => break,
            Err(failure) if failure.class == FailureClass::NotFound && failure.json => break,
            // No try would change that.
            Err(failure) if tries == TRIES || failure.class.is_absent() => return Removal::Failed(failure),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
    if orion.capabilities().get == Support::Proven {
        match orion.get(id).await {
            Ok(_) => Removal::Still,
            Err(_) => Removal::Gone,
        }
    } else {
        Removal::Gone
    }
}
