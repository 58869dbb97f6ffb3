//! The request of a login, and answers that are none.

use std::sync::Arc;
use std::time::Duration;

use orion_operator::api::{FailureClass, Reason, Sent};
use orion_operator::orion::{ConnectionConfig, GivenCell, HttpOrion, NoCredentials, Orion, RateLimit};
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::login::{PASSWORD, USERNAME, given};
use super::support::config;

fn orion(server: &MockServer, change: impl FnOnce(&mut ConnectionConfig)) -> HttpOrion {
    let auth = Arc::new(GivenCell::new("Secret orion", Ok(given(PASSWORD))));
    let mut config = ConnectionConfig { auth, ..config(&server.uri()) };
    change(&mut config);
    HttpOrion::new(config).unwrap()
}

async fn answering(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    let list = ResponseTemplate::new(200).set_body_json(json!([]));
    Mock::given(method("GET")).respond_with(list).mount(&server).await;
    server
}

#[tokio::test]
async fn the_request_is_that_of_the_password_flow() {
    for (login_path, scopes, at) in
        [(None, &[][..], "/v1alpha/auth/login"), (Some("/api/token/"), &["analyst", "viewer"][..], "/api/token/")]
    {
        let token = json!({"access_token": "t0ken", "refresh_token": "r", "token_type": "Bearer", "more": [1]});
        let server = answering(ResponseTemplate::new(200).set_body_json(token)).await;
        let orion = orion(&server, |config| {
            config.login_path = login_path.map(str::to_owned);
            config.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        });
        orion.list().await.unwrap();
        let requests = server.received_requests().await.unwrap();
        let login = &requests[0];
        assert_eq!((login.method.as_str(), login.url.path()), ("POST", at));
        assert_eq!(login.headers["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(login.headers["accept"], "application/json");
        assert!(!login.headers.contains_key("authorization") && !login.headers.contains_key("idempotency-key"));
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&login.body).into_owned().collect();
        let mut expected = vec![("grant_type", "password"), ("username", USERNAME), ("password", PASSWORD)];
        if !scopes.is_empty() {
            expected.push(("scope", "analyst viewer"));
        }
        let expected: Vec<_> = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(form, expected);
        assert_eq!(requests[1].headers["authorization"], "Bearer t0ken");
        assert_eq!(requests.len(), 2);
    }
}

#[tokio::test]
async fn an_answer_without_a_bearer_token_is_a_protocol_error() {
    let json = |body: Value| ResponseTemplate::new(200).set_body_json(body);
    for answer in [
        ResponseTemplate::new(204),
        ResponseTemplate::new(200).set_body_string("<html>log in</html>"),
        ResponseTemplate::new(200).set_body_string("{\"access_token\":\"t0k"),
        json(json!({})),
        json(json!(["t0ken"])),
        json(json!("t0ken")),
        json(json!({"access_token": ""})),
        json(json!({"access_token": 5})),
        json(json!({"access_token": null})),
        json(json!({"access_token": "t0\r\nken"})),
        json(json!({"access_token": "t\u{f6}ken"})),
        json(json!({"access_token": "t0ken", "token_type": "mac"})),
        json(json!({"access_token": "x".repeat(1024 * 1024)})),
    ] {
        let server = answering(answer).await;
        let failure = orion(&server, |_| {}).list().await.unwrap_err();
        assert_eq!((failure.class, failure.sent), (FailureClass::Protocol, Sent::No), "{failure:?}");
        assert!(failure.message.starts_with("cannot log in: ") && !failure.message.contains("t0k"), "{failure:?}");
        assert_eq!(server.received_requests().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_password_elsewhere() {
    let elsewhere = answering(ResponseTemplate::new(200).set_body_json(json!({"access_token": "stolen"}))).await;
    for status in [301, 302, 307, 308] {
        let location = format!("{}/v1alpha/auth/login", elsewhere.uri());
        let server = answering(ResponseTemplate::new(status).insert_header("location", location.as_str())).await;
        let failure = orion(&server, |_| {}).list().await.unwrap_err();
        assert_eq!((failure.class, failure.sent), (FailureClass::Redirect, Sent::No));
        assert_eq!(failure.reason(), Reason::UnexpectedRedirect);
    }
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_path_that_is_none_is_refused() {
    let server = MockServer::start().await;
    for path in ["login", "//evil.example/login", "/a?b"] {
        let config =
            ConnectionConfig { login_path: Some(path.into()), auth: Arc::new(NoCredentials), ..config(&server.uri()) };
        assert!(HttpOrion::new(config).is_err(), "{path}");
    }
}

#[tokio::test]
async fn a_login_counts_against_the_rate_limit() {
    let token = json!({"access_token": "t0ken"});
    let server = answering(ResponseTemplate::new(200).set_body_json(token)).await;
    let one = |n: u32| n.try_into().unwrap();
    let orion = orion(&server, |config| {
        let limit = RateLimit { requests_per_second: one(5), burst: one(1) };
        config.rate_limit = Some(limit);
    });
    let begun = std::time::Instant::now();
    orion.get("wh_1").await.unwrap_err();
    assert!(begun.elapsed() >= Duration::from_millis(190), "{:?}", begun.elapsed());
}
