//! OrionConnections: what they report, how their Webhooks follow, logins, rotation, and their end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use devkit::sim::{Action, Answered, BodyKind, Config, ErrorAnswer, Fault, Operation, RequestRecord, Sim};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use orion_operator::api::REQUESTED_AT;
use serde_json::{Value, json};

use super::world::{
    PATIENCE, TOKEN, World, condition, forms, merge, message, run, run_with, through, until, until_each,
};

const INSECURE: &str = "--allow-insecure-connections";
const KIND: &str = "OrionConnection";

fn with_token(secret: &str) -> Value {
    json!({"auth": {"tokenSecretRef": {"name": secret, "key": "token"}}})
}

fn with_password(secret: &str) -> Value {
    json!({"auth": {"passwordSecretRef": {"name": secret, "usernameKey": "username", "passwordKey": "password"}}})
}

/// A connection `acme` with a token, Ready.
async fn acme(world: &World) {
    world.secret("orion", json!({"token": TOKEN})).await;
    world.connection("acme", with_token("orion")).await;
    world.connection_is("acme", "True", "Synced").await;
}

#[test]
fn a_connection_says_what_is_wrong_and_its_webhooks_follow() {
    run(async |world| {
        let _operator = world.operator(&[INSECURE]).await;
        world.create("hook", through("follow", KIND, "acme")).await;
        let webhook = world.ready("hook", "False", "ConnectionNotFound").await;
        assert!(message(&webhook).contains("OrionConnection acme"), "{}", message(&webhook));

        world.connection("acme", with_token("orion")).await;
        let said = world.connection_is("acme", "False", "SecretNotFound").await;
        assert!(said.contains("Secret orion"), "{said}");
        let webhook = world.ready("hook", "False", "ConnectionNotReady").await;
        assert!(message(&webhook).contains("SecretNotFound"), "{}", message(&webhook));
        assert_eq!(condition(&webhook, "Reconciling").as_deref(), Some("True"));

        world.secret("orion", json!({"other": "x"})).await;
        until("the key is named", async || {
            world.connection_is("acme", "False", "SecretNotFound").await.contains("no key token").then_some(())
        })
        .await;
        world.secret("orion", json!({"token": "not-the-token"})).await;
        world.connection_is("acme", "False", "Unauthorized").await;
        let webhook = until("the Webhook says so", async || {
            let webhook = world.ready("hook", "False", "ConnectionNotReady").await;
            message(&webhook).contains("Unauthorized").then_some(webhook)
        })
        .await;
        assert!(message(&webhook).contains("OrionConnection acme"), "{}", message(&webhook));
        assert_eq!(world.calls(Operation::Create), 0);

        world.secret("orion", json!({"token": TOKEN})).await;
        world.connection_is("acme", "True", "Synced").await;
        let webhook = world.synced("hook").await;
        assert_eq!(webhook.status.unwrap().endpoint.unwrap(), world.sim.endpoint());
        let status = world.connections().get("acme").await.unwrap().status.unwrap();
        assert_eq!(status.endpoint.unwrap(), world.sim.endpoint());
        assert!(status.capabilities.contains(&"list".to_owned()), "{:?}", status.capabilities);
        assert_eq!(status.conditions.len(), 1, "{:?}", status.conditions);
    });
}

#[test]
fn each_kind_of_trouble_has_its_reason() {
    run(async |world| {
        let _operator = world.operator(&[INSECURE]).await;
        world.secret("orion", json!({"token": TOKEN, "two": "two words", "ca": "no certificate"})).await;
        let token = |key: &str| json!({"auth": {"tokenSecretRef": {"name": "orion", "key": key}}});
        let with = |mut spec: Value, more: Value| {
            merge(&mut spec, more);
            spec
        };
        for (name, spec, reason, stalled) in [
            ("nobody", with(token("token"), json!({"url": "http://127.0.0.1:9"})), "OrionUnavailable", false),
            ("nowhere", with(token("token"), json!({"url": "http://nowhere.invalid"})), "OrionUnavailable", false),
            (
                "tls",
                with(token("token"), json!({"url": world.sim.url().replace("http:", "https:")})),
                "TLSFailed",
                false,
            ),
            ("words", token("two"), "SecretInvalid", true),
            ("ca", with(token("token"), json!({"caSecretRef": {"name": "orion", "key": "ca"}})), "SecretInvalid", true),
            (
                "login",
                with(with_password("login"), json!({"auth": {"passwordSecretRef": {"loginPath": "/nowhere"}}})),
                "EndpointNotFound",
                true,
            ),
        ] {
            if name == "login" {
                world.secret("login", json!({"username": "u", "password": "p"})).await;
            }
            world.connection(name, spec).await;
            let said = world.connection_is(name, "False", reason).await;
            let status = world.connections().get(name).await.unwrap().status.unwrap();
            let second = status.conditions.get(1).map(|condition| condition.type_.clone());
            assert_eq!(second.as_deref(), Some(if stalled { "Stalled" } else { "Reconciling" }), "{name}: {said}");
        }
        assert_eq!(world.calls(Operation::Create), 0);
    });
}

#[test]
fn without_the_flag_a_tenant_reaches_public_https_only() {
    run(async |world| {
        let _operator = world.operator(&[]).await;
        world.secret("orion", json!({"token": TOKEN})).await;
        world.create("hook", through("inside", KIND, "http")).await;
        for (name, url) in [
            ("http", world.sim.url()),
            ("loopback", world.sim.url().replace("http:", "https:")),
            ("name", world.sim.url().replace("http://127.0.0.1", "https://localhost")),
            ("metadata", "https://169.254.169.254".to_owned()),
            ("private", "https://10.96.0.1".to_owned()),
            ("mapped", "https://[::ffff:127.0.0.1]".to_owned()),
            ("decimal", "https://2130706433".to_owned()),
        ] {
            let mut spec = with_token("orion");
            spec["url"] = json!(url);
            world.connection(name, spec).await;
            let said = world.connection_is(name, "False", "InsecureConnection").await;
            assert!(said.contains("https") || said.contains("public"), "{said}");
        }
        let webhook = world.ready("hook", "False", "ConnectionNotReady").await;
        assert!(message(&webhook).contains("InsecureConnection"), "{}", message(&webhook));
        assert!(world.sim.requests().is_empty());
    });
}

#[test]
fn a_create_costs_two_writes_and_one_call_and_nothing_follows() {
    run(async |world| {
        let mut operator = world.operator(&[INSECURE]).await;
        acme(&world).await;
        assert_eq!(world.audited(2).await, 2, "finalizer and status of the connection");
        world.sim.clear_requests();
        for n in 0..20 {
            world.create(&format!("hook-{n}"), through("budget", KIND, "acme")).await;
        }
        for n in 0..20 {
            world.synced(&format!("hook-{n}")).await;
        }
        assert_eq!(world.audited(42).await, 42);
        let calls: u64 = world.sim.counts().values().sum();
        assert_eq!((calls, world.calls(Operation::Create)), (20, 20), "{:?}", world.sim.counts());
        operator.stop().await;
        world.sim.clear_requests();
        let _again = world.operator(&[INSECURE]).await;
        until("the list of the start", async || (world.calls(Operation::List) > 0).then_some(())).await;
        world.create("last", through("last", KIND, "acme")).await;
        world.synced("last").await;
        assert_eq!(world.audited(44).await, 44, "a restart writes nothing");
        let counts = world.sim.counts();
        assert_eq!(counts.get(&Operation::Create), Some(&1), "{counts:?}");
        assert!(world.calls(Operation::List) <= 2, "{counts:?}");
    });
}

/// The numbers of the contract: one login for 200, one more for tokens that end, at most three for a wrong password.
#[test]
fn two_hundred_webhooks_log_in_once() {
    const MANY: usize = 200;
    const PASSWORD: &str = "pass-w0rd-of-the-connection";
    let config = Config { username: "ada".into(), password: PASSWORD.into(), ..Config::default() };
    run_with(config, async |world| {
        let operator = world.operator(&[INSECURE]).await;
        let names = || (0..MANY).map(|n| format!("hook-{n}"));
        world.secret("login", json!({"username": "ada", "password": "not-the-pass-w0rd"})).await;
        let begun = Instant::now();
        world.connection("acme", with_password("login")).await;
        for name in names() {
            world.create(&name, through(&name, KIND, "acme")).await;
        }
        for name in names() {
            world.ready(&name, "False", "ConnectionNotReady").await;
        }
        // The promise is about a time, so the time is waited for.
        tokio::time::sleep(Duration::from_secs(30).saturating_sub(begun.elapsed())).await;
        let logins = world.calls(Operation::Login);
        assert!((1..=3).contains(&logins), "{logins} logins");
        assert_eq!(world.calls(Operation::Create), 0);

        world.sim.clear_requests();
        world.secret("login", json!({"username": "ada", "password": PASSWORD})).await;
        let written = Instant::now();
        for name in names() {
            world.synced(&name).await;
        }
        let seconds = written.elapsed().as_secs_f32();
        assert_eq!((world.calls(Operation::Login), world.calls(Operation::Create)), (1, MANY as u64));
        println!("all Ready {seconds:.1} s after the right password was written");

        world.sim.revoke_tokens();
        for name in names() {
            world.annotate(&name, "reconcile.fluxcd.io/requestedAt", "now").await;
        }
        until("all have looked with a new token", async || (world.calls(Operation::Get) >= MANY as u64).then_some(()))
            .await;
        for name in names() {
            world.synced(&name).await;
        }
        assert_eq!(world.calls(Operation::Login), 2);
        let log = operator.log();
        for secret in [PASSWORD, "not-the-pass-w0rd"] {
            assert!(!log.contains(secret) && !log.contains(&secret.chars().take(8).collect::<String>()), "{secret}");
        }
    });
}

#[test]
fn an_orion_that_fails_is_looked_at_by_its_connection_alone() {
    run(async |world| {
        let _operator = world.operator(&[INSECURE, "--interval", "5m"]).await;
        acme(&world).await;
        world.create("before", through("before", KIND, "acme")).await;
        world.synced("before").await;
        for operation in [Operation::List, Operation::Get, Operation::Create, Operation::Openapi] {
            world.sim.add_fault(Fault::on(operation, Action::status(503)));
        }
        // A changed Secret is a reason to look; the content is the same.
        let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
        let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
        secrets.patch("orion", &PatchParams::default(), &label).await.unwrap();
        world.annotate("before", "reconcile.fluxcd.io/requestedAt", "now").await;
        world.create("first", through("first", KIND, "acme")).await;
        world.sim.config(|config| config.static_tokens = vec![TOKEN.into(), "another-good-token".into()]);
        world.secret("orion", json!({"token": "another-good-token"})).await;
        world.connection_is("acme", "False", "OrionUnavailable").await;
        world.create("second", through("second", KIND, "acme")).await;
        let webhook = world.ready("second", "False", "ConnectionNotReady").await;
        assert!(message(&webhook).contains("OrionUnavailable"), "{}", message(&webhook));
        let posts = world.posts("second").len();
        assert_eq!(posts, 0, "nobody tries while the connection is known to fail");
        world.synced("before").await;
        let begun = Instant::now();
        world.sim.clear_faults();
        world.connection_is("acme", "True", "Synced").await;
        world.synced("second").await;
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
        assert_eq!(world.at_orion("second").len(), 1);
    });
}

#[test]
fn a_look_can_be_asked_for() {
    run(async |world| {
        let _operator = world.operator(&[INSECURE, "--interval", "1h"]).await;
        acme(&world).await;
        let merge = async |metadata: Value| {
            let patch = Patch::Merge(json!({"metadata": metadata}));
            world.connections().patch("acme", &PatchParams::default(), &patch).await.unwrap();
        };
        let ask = async |value: &str| merge(json!({"annotations": {REQUESTED_AT: value}})).await;
        world.sim.add_fault(Fault::on(Operation::List, Action::status(401)));
        ask("one").await;
        world.connection_is("acme", "False", "Unauthorized").await;
        // By itself it would look again after a minute.
        let begun = Instant::now();
        world.sim.clear_faults();
        ask("two").await;
        world.connection_is("acme", "True", "Synced").await;
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
        // Once answered, it asks for nothing more.
        let looks = world.sim.requests().len();
        merge(json!({"labels": {"a": "b"}})).await;
        world.create("hook", through("later", KIND, "acme")).await;
        world.synced("hook").await;
        let lists = world.sim.requests().iter().skip(looks).filter(|it| it.method == "GET").count();
        assert_eq!(lists, 0);
    });
}

#[test]
fn a_401_on_one_verb_is_the_trouble_of_that_call() {
    run(async |world| {
        let _operator = world.operator(&[INSECURE]).await;
        acme(&world).await;
        world.create("good", through("good", KIND, "acme")).await;
        world.synced("good").await;
        world.sim.add_fault(Fault::on(Operation::Create, Action::status(401)).presence("refused"));
        world.create("refused", through("refused", KIND, "acme")).await;
        world.ready("refused", "False", "Unauthorized").await;
        world.connection_is("acme", "True", "Synced").await;
        let (writes, posts) = (world.writes().len(), world.posts("refused").len());
        // That nothing follows takes a while to see.
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.ready("refused", "False", "Unauthorized").await;
        assert_eq!(world.posts("refused").len(), posts, "a person must act");
        assert!(world.writes().len() <= writes + 1, "{:?}", world.writes());
        world.synced("good").await;
    });
}

#[test]
fn a_connection_that_goes_without_us_is_noticed() {
    run(async |world| {
        let _operator = world.operator(&[INSECURE]).await;
        acme(&world).await;
        world.create("hook", through("left", KIND, "acme")).await;
        world.synced("hook").await;
        world.connections().delete("acme", &DeleteParams::default()).await.unwrap();
        world.connection_is("acme", "False", "Deleting").await;
        let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        world.connections().patch("acme", &PatchParams::default(), &bare).await.unwrap();
        world.ready("hook", "False", "ConnectionNotFound").await;
        acme(&world).await;
        world.synced("hook").await;
        assert_eq!(world.at_orion("left").len(), 1);
    });
}

#[test]
fn an_edit_that_leads_elsewhere_leaves_the_old_place_alone() {
    run(async |world| {
        let _operator = world.operator(&[INSECURE]).await;
        let other = Sim::start(Config { static_tokens: vec![TOKEN.into()], ..Config::default() }).await.unwrap();
        acme(&world).await;
        // One call a second: those that wait in line are still here when the edit comes.
        world
            .connection(
                "acme",
                json!({"auth": with_token("orion")["auth"], "rateLimit": {"requestsPerSecond": 1, "burst": 1}}),
            )
            .await;
        world.connection_is("acme", "True", "Synced").await;
        for n in 0..10 {
            world.create(&format!("hook-{n}"), through("moved", KIND, "acme")).await;
        }
        until("the first is created", async || (world.calls(Operation::Create) > 0).then_some(())).await;
        let mut elsewhere = with_token("orion");
        elsewhere["url"] = json!(other.url());
        world.connection("acme", elsewhere).await;
        world.connection_is("acme", "True", "Synced").await;
        let edited = Timestamp::now();
        for n in 0..10 {
            let name = format!("hook-{n}");
            until("it is here or there", async || {
                let webhook = world.get(&name).await;
                let endpoint = webhook.status?.endpoint?;
                [world.sim.endpoint(), other.endpoint()].contains(&endpoint).then_some(())
            })
            .await;
        }
        let late = |call: &&RequestRecord| call.time.parse::<Timestamp>().unwrap() > edited;
        let calls = world.sim.requests();
        let late: Vec<_> = calls.iter().filter(late).collect();
        assert!(late.is_empty(), "{late:?}");
        let made = world.at_orion("moved").len() + other.webhooks().len();
        assert_eq!(made, 10, "none twice");
    });
}

#[test]
fn a_rotated_secret_acts_at_once_and_on_its_users_alone() {
    const NEW: &str = "rotated-token-of-the-tests";
    run(async |world| {
        world.sim.config(|config| config.static_tokens = vec![TOKEN.into(), NEW.into()]);
        let _operator = world.operator(&[INSECURE]).await;
        acme(&world).await;
        world.secret("other", json!({"token": TOKEN})).await;
        world.connection("other", with_token("other")).await;
        world.connection_is("other", "True", "Synced").await;
        for n in 0..5 {
            world.create(&format!("hook-{n}"), through("rotated", KIND, "acme")).await;
            world.create(&format!("other-{n}"), through("not-rotated", KIND, "other")).await;
        }
        for n in 0..5 {
            world.synced(&format!("hook-{n}")).await;
            world.synced(&format!("other-{n}")).await;
        }
        let writes = world.audited(24).await;
        world.sim.clear_requests();
        world.secret("orion", json!({"token": NEW})).await;
        let begun = Instant::now();
        let list = until("a call with the new token", async || {
            world.sim.requests().into_iter().find(|request| request.operation == Operation::List)
        })
        .await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(list.status, Answered::Status(200));
        // Every Webhook of it looks at the one list.
        world.create("after", through("after", KIND, "acme")).await;
        world.synced("after").await;
        let counts = world.sim.counts();
        assert_eq!((world.calls(Operation::List), world.calls(Operation::Get)), (1, 0), "{counts:?}");
        assert_eq!(world.audited(writes + 2).await, writes + 2, "nothing is written for a rotation");
    });
}

#[test]
fn a_connection_goes_after_the_last_of_its_webhooks() {
    run(async |world| {
        let _operator = world.operator(&[INSECURE]).await;
        acme(&world).await;
        world.create("one", through("held", KIND, "acme")).await;
        world.create("two", through("held", KIND, "acme")).await;
        world.synced("one").await;
        world.synced("two").await;
        world.connections().delete("acme", &DeleteParams::default()).await.unwrap();
        let said = world.connection_is("acme", "False", "Deleting").await;
        assert!(said.contains("2 Webhooks"), "{said}");
        world.create("late", through("late", KIND, "acme")).await;
        world.ready("late", "False", "ConnectionNotReady").await;
        world.deleted("one").await;
        until("one is left", async || {
            world.connection_is("acme", "False", "Deleting").await.contains("1 Webhook ").then_some(())
        })
        .await;
        world.deleted("two").await;
        until("the connection is gone", async || {
            world.connections().get_opt("acme").await.unwrap().is_none().then_some(())
        })
        .await;
        world.ready("late", "False", "ConnectionNotFound").await;
        assert!(world.sim.webhooks().is_empty());
    });
}

#[test]
fn a_namespace_takes_its_webhooks_along() {
    run(async |world| {
        if !world.plane.has_controller_manager() {
            eprintln!("no kube-controller-manager: a namespace is never deleted here");
            return;
        }
        let _operator = world.operator(&[INSECURE]).await;
        acme(&world).await;
        for n in 0..10 {
            world.create(&format!("hook-{n}"), through("gone-with-it", KIND, "acme")).await;
        }
        for n in 0..10 {
            world.synced(&format!("hook-{n}")).await;
        }
        // The Secret goes first: what was good is kept as long as it is needed.
        let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
        secrets.delete("orion", &DeleteParams::default()).await.unwrap();
        world.connection_is("acme", "False", "SecretNotFound").await;
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
        let gone = until("the namespace is gone", async || {
            namespaces.get_opt(&world.namespace).await.unwrap().is_none().then_some(())
        });
        tokio::time::timeout(PATIENCE, gone).await.unwrap();
        assert!(world.sim.webhooks().is_empty(), "{:?}", world.sim.webhooks());
    });
}

#[test]
fn retry_after_stops_one_connection_and_not_the_others() {
    run(async |world| {
        let _operator = world.operator(&[INSECURE]).await;
        acme(&world).await;
        let other = Sim::start(Config { static_tokens: vec![TOKEN.into()], ..Config::default() }).await.unwrap();
        let mut elsewhere = with_token("orion");
        elsewhere["url"] = json!(other.url());
        world.connection("other", elsewhere).await;
        world.connection_is("other", "True", "Synced").await;
        world.sim.clear_requests();
        world.sim.add_fault(
            Fault::on(
                Operation::Create,
                Action::Status(ErrorAnswer { code: 429, body: BodyKind::Json, retry_after: Some("3".into()) }),
            )
            .once(),
        );
        for n in 0..10 {
            world.create(&format!("hook-{n}"), through("slow", KIND, "acme")).await;
        }
        let refused = until("a 429", async || {
            world.sim.requests().into_iter().find(|request| request.status == Answered::Status(429))
        })
        .await;
        for n in 0..10 {
            world.create(&format!("other-{n}"), through("quick", KIND, "other")).await;
        }
        for n in 0..10 {
            world.synced(&format!("other-{n}")).await;
        }
        for n in 0..10 {
            world.synced(&format!("hook-{n}")).await;
        }
        let at = |call: &RequestRecord| call.time.parse::<Timestamp>().unwrap();
        let answered = at(&refused);
        // What was under way with it had left already.
        let is_early = |call: &&RequestRecord| {
            let after = at(call).duration_since(answered);
            after > SignedDuration::from_millis(100) && after < SignedDuration::from_millis(2900)
        };
        let calls = world.sim.requests();
        let early: Vec<_> = calls.iter().filter(is_early).collect();
        assert!(early.is_empty(), "{early:?}");
        world.connection_is("acme", "True", "Synced").await;
    });
}

/// A private CA, and an Orion behind TLS with a certificate of it.
struct Tls {
    ca: String,
    url: String,
}

impl Tls {
    async fn in_front_of(world: &World) -> Self {
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let (authority_key, key) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
        let ca = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let certificate =
            rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let inside = world.sim.url().replace("http://", "");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, inside) = (acceptor.clone(), inside.clone());
                tokio::spawn(async move {
                    let Ok(mut outer) = acceptor.accept(stream).await else { return };
                    let Ok(mut inner) = tokio::net::TcpStream::connect(inside).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
        Self { ca, url }
    }
}

#[test]
fn a_private_ca_is_trusted_when_its_secret_is_there() {
    run(async |world| {
        let _operator = world.operator(&[INSECURE]).await;
        let tls = Tls::in_front_of(&world).await;
        world.secret("orion", json!({"token": TOKEN})).await;
        let mut spec = with_token("orion");
        spec["url"] = json!(tls.url);
        world.connection("acme", spec.clone()).await;
        world.connection_is("acme", "False", "TLSFailed").await;
        assert!(world.sim.requests().is_empty());
        spec["caSecretRef"] = json!({"name": "orion-ca", "key": "ca.crt"});
        world.connection("acme", spec).await;
        world.connection_is("acme", "False", "SecretNotFound").await;
        world.create("hook", through("tls", KIND, "acme")).await;
        world.secret("orion-ca", json!({"ca.crt": tls.ca})).await;
        world.connection_is("acme", "True", "Synced").await;
        world.synced("hook").await;
    });
}

#[test]
fn credentials_show_nowhere_whatever_goes_wrong() {
    let (token, password) = ("t0ken-c4nary-0f9e8d7c6b5a", "pw-c4nary +/%=5a4b3c2d1e0f");
    let wrong = "wr0ng-c4nary-1122334455";
    let config = Config { username: "us3r-c4nary-998877".into(), password: password.into(), ..Config::default() };
    run_with(config, async |world| {
        world.sim.config(|config| config.static_tokens = vec![token.into()]);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut operator = world.operator(&[INSECURE, "--metrics-bind-address", &free]).await;
        world.secret("token", json!({"token": token})).await;
        world.secret("login", json!({"username": "us3r-c4nary-998877", "password": wrong})).await;
        world.connection("token", with_token("token")).await;
        world.connection("login", with_password("login")).await;
        world.connection_is("login", "False", "Unauthorized").await;
        world.create("a", through("a", KIND, "token")).await;
        world.create("b", through("b", KIND, "login")).await;
        world.synced("a").await;
        world.secret("login", json!({"username": "us3r-c4nary-998877", "password": password})).await;
        world.synced("b").await;
        for action in [Action::status(500), Action::HtmlBody, Action::Truncated, Action::ResetBeforeEffect] {
            world.sim.add_fault(Fault::on(Operation::Login, action.clone()).once());
            world.sim.add_fault(Fault::on(Operation::Get, action.clone()).once());
            world.sim.revoke_tokens();
            world.sim.config(|config| config.static_tokens = vec![token.into()]);
            let asked = std::cell::Cell::new(0);
            until_each(Duration::from_millis(500), "both have gone wrong", async || {
                asked.set(asked.get() + 1);
                world.annotate("b", "reconcile.fluxcd.io/requestedAt", &format!("{action:?} {}", asked.get())).await;
                world.sim.faults().is_empty().then_some(())
            })
            .await;
        }
        world.secret("token", json!({"token": "wr0ng-c4nary-1122334455"})).await;
        world.connection_is("token", "False", "Unauthorized").await;
        world.sim.clear_faults();
        let metrics = reqwest::get(format!("http://{free}/metrics")).await.unwrap().text().await.unwrap();
        assert!(metrics.contains("controller_runtime_reconcile_total"));
        operator.stop().await;

        let everything = ListParams::default();
        let webhooks = serde_json::to_string(&world.webhooks().list(&everything).await.unwrap().items).unwrap();
        let connections = serde_json::to_string(&world.connections().list(&everything).await.unwrap().items).unwrap();
        let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
        let events = serde_json::to_string(&events.list(&everything).await.unwrap().items).unwrap();
        assert!(events.contains("Unauthorized") && connections.contains("Unauthorized"));
        let log = operator.log();
        for secret in [token, password, wrong, "us3r-c4nary-998877"] {
            for form in forms(secret) {
                let places =
                    [("Webhooks", &webhooks), ("connections", &connections), ("Events", &events), ("log", &log)];
                for (place, text) in places {
                    assert!(!text.contains(&form), "{form} shows in the {place}");
                }
            }
        }
    });
}
