//! Servers that break off, stall, lie and redirect. A create is sent exactly once to each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orion_operator::api::{Failure, FailureClass, Sent, Support};
use orion_operator::orion::{ConnectionConfig, HttpOrion, Orion};
use tokio::net::TcpListener;

use super::support::{Raw, answer, client, config, desired, hasty};

async fn create(orion: &HttpOrion) -> Failure {
    orion.create(&desired(), "attempt").await.unwrap_err()
}

/// What a create and a list make of an answer; the POST came once.
async fn outcome(server: &Raw) -> (Failure, Failure) {
    let orion = client(&server.base);
    let created = create(&orion).await;
    let posts = server.requests().iter().filter(|request| request.starts_with("POST")).count();
    assert_eq!(posts, 1, "{created:?}");
    assert!(created.message.contains("127.0.0.1"), "{created:?}");
    let port = server.base.rsplit(':').next().unwrap();
    assert!(!created.message.contains(port), "{created:?}");
    (created, orion.list().await.unwrap_err())
}

#[tokio::test]
async fn a_refused_port_is_known_to_be_unsent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = create(&client(&base)).await;
    assert_eq!((failure.class, failure.sent), (FailureClass::Unreachable, Sent::No));
    assert_eq!(failure.message, "Orion at 127.0.0.1 refused the connection");
    assert!(failure.is_known_refusal());
    assert_eq!(client(&base).discover().await.unwrap_err().class, FailureClass::Unreachable);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_known_to_be_unsent() {
    let failure = create(&client("http://orion.invalid")).await;
    // Some resolvers do not answer at all: then it is a time-out while connecting.
    assert!(matches!(failure.class, FailureClass::Unreachable | FailureClass::Timeout), "{failure:?}");
    assert!(failure.is_known_refusal());
}

#[tokio::test]
async fn a_reset_is_uncertain() {
    let server = Raw::new(|mut connection| async move {
        connection.request().await;
        connection.reset();
    })
    .await;
    for failure in <[Failure; 2]>::from(outcome(&server).await) {
        assert_eq!((failure.class, failure.sent), (FailureClass::Unreachable, Sent::Maybe));
        assert!(!failure.is_known_refusal());
    }
}

#[tokio::test]
async fn a_reset_before_the_request_was_read_is_uncertain_too() {
    let server = Raw::new(|connection| async move { connection.reset() }).await;
    let orion = client(&server.base);
    let failure = create(&orion).await;
    assert_eq!((failure.class, failure.sent), (FailureClass::Unreachable, Sent::Maybe));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_stall_is_a_time_out_and_uncertain() {
    let silent = Raw::new(|mut connection| async move {
        connection.request().await;
        connection.stall().await;
    })
    .await;
    let in_headers = Raw::new(|mut connection| async move {
        connection.request().await;
        connection.send(b"HTTP/1.1 201 Created\r\ncontent-le").await;
        connection.stall().await;
    })
    .await;
    let in_body = Raw::new(|mut connection| async move {
        connection.request().await;
        connection.send(b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{\"id\":").await;
        connection.stall().await;
    })
    .await;
    for (server, status) in [(&silent, None), (&in_headers, None), (&in_body, Some(201))] {
        let failure = create(&hasty(&server.base)).await;
        assert_eq!((failure.class, failure.sent, failure.status), (FailureClass::Timeout, Sent::Maybe, status));
        assert!(!failure.is_known_refusal());
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_refusal_whose_body_stalls_is_still_that_refusal() {
    let server = Raw::new(|mut connection| async move {
        connection.request().await;
        connection.send(b"HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\n{\"det").await;
        connection.stall().await;
    })
    .await;
    let failure = create(&hasty(&server.base)).await;
    assert_eq!((failure.class, failure.json), (FailureClass::NotFound, false));
}

#[tokio::test]
async fn a_handshake_that_stalls_is_a_time_out_before_anything_was_sent() {
    let server = Raw::new(|connection| connection.stall()).await;
    let base = server.base.replace("http:", "https:");
    let orion = HttpOrion::new(ConnectionConfig { timeout: Duration::from_secs(2), ..config(&base) }).unwrap();
    let failure = create(&orion).await;
    assert_eq!((failure.class, failure.sent), (FailureClass::Timeout, Sent::No));
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_is_a_protocol_error() {
    let huge = format!("[\"{}\"]", "x".repeat(1024 * 1024));
    let chunked_without_end = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n[1,2,\r\n";
    let deep = "[".repeat(100_000);
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":".to_owned(),
        chunked_without_end.to_owned(),
        answer("200 OK", "", &huge),
        format!("HTTP/1.1 200 OK\r\n\r\n{huge}"),
        answer("200 OK", "", "<html>it works</html>"),
        answer("200 OK", "", "{\"id\": \"wh_1\""),
        answer("200 OK", "", &deep),
        answer("200 OK", "", "\"\""),
        answer("200 OK", "", "{\"status\": \"ok\"}"),
        answer("204 No Content", "", ""),
        "this is not HTTP\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1024 * 1024)),
    ] {
        let server = Raw::answering(answer.clone()).await;
        for failure in <[Failure; 2]>::from(outcome(&server).await) {
            let shown = answer.get(..60).unwrap_or(&answer);
            assert_eq!((failure.class, failure.sent), (FailureClass::Protocol, Sent::Maybe), "{shown} {failure:?}");
            assert!(!failure.is_known_refusal());
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_by_a_reset_is_a_protocol_error() {
    let server = Raw::new(|mut connection| async move {
        connection.request().await;
        connection.send(b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{\"id\":").await;
        connection.reset();
    })
    .await;
    let failure = create(&client(&server.base)).await;
    // The reset may overtake the headers.
    assert!(matches!(failure.class, FailureClass::Protocol | FailureClass::Unreachable), "{failure:?}");
    assert_eq!(failure.sent, Sent::Maybe);
}

#[tokio::test]
async fn html_of_a_gateway_is_a_server_error_and_the_content_type_does_not_matter() {
    let gateway = "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    let failures = outcome(&Raw::answering(gateway).await).await;
    assert_eq!((failures.0.class, failures.1.class), (FailureClass::ServerError, FailureClass::ServerError));
    let plain = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\n\"wh_1\"";
    let server = Raw::answering(plain).await;
    assert_eq!(client(&server.base).create(&desired(), "attempt").await.unwrap(), "wh_1");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Raw::answering(answer("200 OK", "", "\"stolen\"")).await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent", "304 Not Modified"] {
        let server =
            Raw::answering(answer(status, &format!("location: {}/v1alpha/webhooks\r\n", target.base), "")).await;
        let failures = outcome(&server).await;
        assert_eq!((failures.0.class, failures.1.class), (FailureClass::Redirect, FailureClass::Redirect), "{status}");
        assert!(failures.0.is_known_refusal());
    }
    assert_eq!(target.connections(), 0);
}

/// A server that answers once on a connection and closes it while the next request comes.
#[tokio::test]
async fn a_kept_alive_connection_that_closes_does_not_repeat_a_create() {
    let server = Raw::new(|mut connection| async move {
        connection.request().await;
        connection.send(answer("200 OK", "", "[]").as_bytes()).await;
        connection.request().await;
    })
    .await;
    let orion = client(&server.base);
    assert_eq!(orion.list().await.unwrap().flaw, None);
    let failure = create(&orion).await;
    assert_eq!((failure.class, failure.sent), (FailureClass::Unreachable, Sent::Maybe));
    assert_eq!(server.connections(), 1, "the connection was used again, and the create was not repeated on another");
    assert_eq!(server.requests().len(), 2);
}

/// The same, closed before the create: it goes out once, on whichever connection.
#[tokio::test]
async fn a_create_after_an_idle_connection_was_closed_is_sent_at_most_once() {
    let creates = Arc::new(AtomicUsize::new(0));
    let counted = creates.clone();
    let server = Raw::new(move |mut connection| {
        let counted = counted.clone();
        async move {
            connection.request().await;
            let body = if counted.fetch_add(1, Ordering::SeqCst) == 0 { "[]" } else { "\"wh_1\"" };
            connection.send(answer("200 OK", "", body).as_bytes()).await;
        }
    })
    .await;
    let orion = client(&server.base);
    orion.list().await.unwrap();
    let outcome = orion.create(&desired(), "attempt").await;
    let posts = server.requests().iter().filter(|request| request.starts_with("POST")).count();
    match outcome {
        Ok(id) => assert_eq!((id.as_str(), posts), ("wh_1", 1)),
        Err(failure) => assert_eq!((failure.sent, posts), (Sent::Maybe, 0)),
    }
}

#[tokio::test]
async fn discovery_is_tried_again_only_if_orion_could_not_be_reached() {
    let server = Raw::answering(answer("404 Not Found", "", "{}")).await;
    let orion = client(&server.base);
    for _ in 0..3 {
        orion.discover().await.unwrap();
    }
    assert_eq!(server.requests().len(), 2, "once at the host and once under the prefix");
    assert_eq!(orion.capabilities().list, Support::Unknown);
    let gateway = Raw::answering(answer("503 Unavailable", "", "")).await;
    let orion = client(&gateway.base);
    for calls in 1..3 {
        assert_eq!(orion.discover().await.unwrap_err().status, Some(503));
        assert_eq!(gateway.requests().len(), calls);
    }
}

mod tls {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;
    use crate::orion_client::support::Connection;

    /// A server with a self-signed certificate for `name`. Returns its base and the certificate.
    async fn server(name: &str) -> (Raw, String, String) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let server = Raw::new(move |connection: Connection| {
            let acceptor = acceptor.clone();
            async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let Ok(mut stream) = acceptor.accept(connection.stream).await else { return };
                let mut request = [0; 8192];
                if stream.read(&mut request).await.unwrap_or(0) > 0 {
                    let _ = stream.write_all(answer("201 Created", "", "{\"id\": \"wh_1\"}").as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            }
        })
        .await;
        let base = server.base.replace("http:", "https:").replace("127.0.0.1", "localhost");
        (server, base, cert.pem())
    }

    fn trusting(base: &str, pem: String) -> HttpOrion {
        HttpOrion::new(ConnectionConfig { ca_pem: Some(pem.into_bytes()), ..config(base) }).unwrap()
    }

    #[tokio::test]
    async fn an_unknown_certificate_is_refused_before_anything_is_sent() {
        let (_server, base, _) = server("localhost").await;
        let failure = create(&client(&base)).await;
        assert_eq!((failure.class, failure.sent), (FailureClass::Tls, Sent::No));
        assert!(failure.message.contains("not signed by a known authority"), "{failure:?}");
        assert!(failure.is_known_refusal());
    }

    #[tokio::test]
    async fn a_ca_of_the_connection_is_trusted() {
        let (_server, base, pem) = server("localhost").await;
        assert_eq!(trusting(&base, pem).create(&desired(), "attempt").await.unwrap(), "wh_1");
    }

    #[tokio::test]
    async fn a_certificate_for_another_name_is_refused() {
        let (_server, base, pem) = server("other.example.com").await;
        let failure = create(&trusting(&base, pem)).await;
        assert_eq!((failure.class, failure.sent), (FailureClass::Tls, Sent::No));
        assert!(failure.message.contains("another name"), "{failure:?}");
    }

    #[tokio::test]
    async fn a_server_without_tls_is_a_tls_failure() {
        let closing = Raw::new(|mut connection| async move {
            let mut hello = [0; 16];
            let _ = tokio::io::AsyncReadExt::read(&mut connection.stream, &mut hello).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut connection.stream).await;
            connection.stall().await;
        })
        .await;
        let garbage = Raw::new(|mut connection| async move {
            connection.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            connection.stall().await;
        })
        .await;
        for server in [&closing, &garbage] {
            let failure = create(&client(&server.base.replace("http:", "https:"))).await;
            assert_eq!((failure.class, failure.sent), (FailureClass::Tls, Sent::No), "{failure:?}");
        }
    }
}
