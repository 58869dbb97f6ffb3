//! Connections that may reach public addresses only, and how many calls are under way at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use orion_operator::api::{Endpoint, FailureClass, Reason, Sent};
use orion_operator::orion::{ConfigError, ConnectionConfig, HttpOrion, Orion, Reach};
use tokio::net::TcpListener;

use super::support::{Raw, client, config, desired, fixed};

fn public(base: &str) -> Result<HttpOrion, ConfigError> {
    let endpoint = Endpoint::new(base, "/v1alpha").unwrap();
    HttpOrion::new(ConnectionConfig {
        reach: Reach::PublicOnly,
        endpoint,
        auth: Arc::new(fixed("t0ken")),
        ..config(base)
    })
}

#[tokio::test]
async fn a_name_of_this_machine_is_refused_and_nobody_connects() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let orion = public(&format!("https://localhost:{port}")).unwrap();
    orion.prepare().await.unwrap();
    for failure in [
        orion.discover().await.unwrap_err(),
        orion.list().await.unwrap_err(),
        orion.get("wh_1").await.unwrap_err(),
        orion.create(&desired(), "attempt").await.unwrap_err(),
        orion.update("wh_1", &desired()).await.unwrap_err(),
        orion.delete("wh_1").await.unwrap_err(),
    ] {
        assert_eq!((failure.class, failure.sent), (FailureClass::Insecure, Sent::No));
        assert_eq!(failure.reason(), Reason::InsecureConnection);
        assert!(failure.is_known_refusal() && failure.is_of_the_connection());
        assert!(failure.message.contains("localhost") && !failure.message.contains("127."), "{failure:?}");
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err());
}

#[tokio::test]
async fn what_can_be_told_without_a_look_up_is_told_at_once() {
    for base in ["http://acme.example.com", "https://127.0.0.1", "https://0x7f.1", "https://[::ffff:127.0.0.1]"] {
        let error = public(base).err().unwrap();
        assert!(error.is_insecure() && error.to_string().contains("--allow-insecure-connections"), "{base}: {error}");
    }
    public("https://acme.example.com").unwrap();
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_as_such() {
    let failure = public("https://orion.invalid").unwrap().list().await.unwrap_err();
    // Some resolvers do not answer at all: then it is a time-out while connecting.
    assert!(matches!(failure.class, FailureClass::Unreachable | FailureClass::Timeout), "{failure:?}");
    assert_eq!(failure.sent, Sent::No);
}

#[tokio::test]
async fn a_slow_orion_does_not_take_more_than_sixteen_calls_at_once() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counting, peak) = (Arc::clone(&now), Arc::clone(&most));
    let (answer, may_answer) = tokio::sync::watch::channel(false);
    let server = Raw::new(move |mut connection| {
        let (now, most, mut may_answer) = (Arc::clone(&counting), Arc::clone(&peak), may_answer.clone());
        async move {
            while connection.request().await {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                may_answer.wait_for(|may| *may).await.unwrap();
                now.fetch_sub(1, Ordering::SeqCst);
                connection.send(super::support::answer("200 OK", "", "[]").as_bytes()).await;
            }
        }
    })
    .await;
    let orion = Arc::new(client(&server.base));
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let orion = Arc::clone(&orion);
            tokio::spawn(async move { orion.list().await.map(drop) })
        })
        .collect();
    let reached = async |count| {
        while now.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    reached(16).await;
    // A create was decided on with a time in mind: it does not wait.
    let create = tokio::spawn({
        let orion = Arc::clone(&orion);
        async move { orion.create(&desired(), "attempt").await.map(drop) }
    });
    reached(17).await;
    answer.send(true).unwrap();
    for outcome in join_all(calls).await {
        outcome.unwrap().unwrap();
    }
    create.await.unwrap().unwrap_err();
    assert_eq!(most.load(Ordering::SeqCst), 17);
}

/// The wait for a place is not part of a call's time-out.
#[tokio::test]
async fn who_waits_for_a_place_has_its_whole_time_afterwards() {
    let server = Raw::new(|mut connection| async move {
        while connection.request().await {
            tokio::time::sleep(Duration::from_millis(150)).await;
            connection.send(super::support::answer("200 OK", "", "[]").as_bytes()).await;
        }
    })
    .await;
    // Ten rounds of 150 ms take longer than the 1 s that each call has.
    let config = ConnectionConfig { timeout: Duration::from_secs(1), ..config(&server.base) };
    let orion = HttpOrion::new(config).unwrap();
    let begun = std::time::Instant::now();
    for outcome in join_all((0..160).map(|_| orion.list())).await {
        outcome.unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_millis(1400), "{:?}", begun.elapsed());
}
