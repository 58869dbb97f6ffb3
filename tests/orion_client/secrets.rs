//! No secret is ever seen: not in a message, not in `Debug`, not in the log at its most talkative level.

use std::io::Write;
use std::sync::{Arc, Mutex};

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use orion_operator::orion::{Given, GivenCell, Orion, Password, PasswordFiles, Source};
use serde_json::json;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use wiremock::matchers::{any, method};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::support::{SECRET, TOKEN, desired, fixed, with};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Captures all that this process logs, at every level, through `tracing` and through `log`; but for the test server,
/// which may well show what it got.
fn capture(log: &Log) {
    let writer = log.clone();
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    let levels = Targets::new().with_default(LevelFilter::TRACE).with_target("wiremock", LevelFilter::OFF);
    tracing_subscriber::registry().with(lines.with_filter(levels)).init();
}

/// A username that must never be seen anywhere.
const USERNAME: &str = "usr&canary+4e0b77d1@example.com";
/// A password that must never be seen anywhere.
const PASSWORD: &str = "pw=c\u{e4}nary 93ad1f6e&%2b/5c";
/// A token from a login that must never be seen anywhere.
const ISSUED: &str = "issued-canary-token-b86d20e5f913";

/// A secret as it stands, and as encoders write it. A beginning of eight characters would be too much already.
fn forms(secret: &str) -> Vec<String> {
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let percent = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string();
    [
        secret.to_owned(),
        secret.escape_debug().to_string(),
        encoded,
        percent,
        BASE64.encode(secret.as_bytes()),
        BASE64URL_NOPAD.encode(secret.as_bytes()),
        HEXLOWER.encode(secret.as_bytes()),
        HEXUPPER.encode(secret.as_bytes()),
        // As a list of numbers, which is how `Debug` shows bytes.
        format!("{:?}", secret.as_bytes()).trim_matches(['[', ']']).to_owned(),
    ]
    .into_iter()
    .map(|form| form.chars().take(if form.contains(", ") { 30 } else { 8 }).collect())
    .collect()
}

fn clean(text: &str) {
    for secret in [SECRET, TOKEN, USERNAME, PASSWORD, ISSUED] {
        for form in forms(secret) {
            let at = text.find(&form).map(|at| text.get(at.saturating_sub(200)..at).unwrap_or_default());
            assert!(at.is_none(), "{form} is in the text, after: {at:?}");
        }
    }
}

/// A server that repeats all it got in everything it can: body, status text fields, headers.
#[tokio::test]
async fn an_answer_that_repeats_secrets_does_not_spread_them() {
    let log = Log::default();
    capture(&log);
    for status in [200, 201, 307, 400, 401, 403, 404, 405, 409, 422, 429, 500, 502] {
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(move |request: &Request| {
                let sent = String::from_utf8_lossy(&request.body).to_string();
                ResponseTemplate::new(status)
                    .insert_header("x-echo", SECRET)
                    .insert_header("location", format!("https://{SECRET}.example.com/").as_str())
                    .insert_header("retry-after", SECRET)
                    .set_body_json(json!({"detail": [{
                        "loc": ["body", "headers", 0, SECRET], "type": SECRET, "msg": SECRET, "input": sent,
                    }, {"loc": ["body", "url"], "type": "missing", "input": TOKEN}]}))
            })
            .mount(&server)
            .await;
        let orion = with(&server.uri(), fixed(TOKEN));
        orion.prepare().await.unwrap();
        let failures = [
            orion.create(&desired(), "attempt").await.map(drop),
            orion.update("wh_1", &desired()).await,
            orion.list().await.map(drop),
            orion.get("wh_1").await.map(drop),
            orion.delete("wh_1").await,
            orion.discover().await,
        ];
        clean(&format!("{failures:?}"));
        if status == 422 {
            let message = failures[0].clone().unwrap_err().message;
            assert!(message.ends_with(": body.headers.0; body.url missing"), "{message}");
        }
    }
    clean(&format!("{:?}", desired()));
    logins().await;
    let seen = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(seen.contains("called Orion"), "the log was captured");
    clean(&seen);
}

/// The same for logins: what was sent comes back in every way, and a token may come too.
async fn logins() {
    let given = || Given::Password(Password { username: USERNAME.into(), password: PASSWORD.into() });
    for (status, granted) in
        [(200, true), (200, false), (307, false), (400, false), (401, false), (404, false), (422, false), (503, false)]
    {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(move |request: &Request| {
                let sent = String::from_utf8_lossy(&request.body).to_string();
                let token = if granted { json!(ISSUED) } else { json!([ISSUED]) };
                ResponseTemplate::new(status)
                    .insert_header("x-echo", ISSUED)
                    .insert_header("location", format!("https://{ISSUED}.example.com/").as_str())
                    .set_body_json(json!({
                        "access_token": token, "expires_in": sent, "refresh_token": ISSUED,
                        "detail": [{"loc": ["body", PASSWORD], "type": USERNAME, "msg": PASSWORD, "input": sent}],
                    }))
            })
            .mount(&server)
            .await;
        Mock::given(any()).respond_with(ResponseTemplate::new(401).set_body_string(ISSUED)).mount(&server).await;
        let cell = GivenCell::new("Secret orion", Ok(given()));
        clean(&format!("{cell:?} {:?} {:?}", given(), cell.look().await));
        let orion = with(&server.uri(), cell);
        clean(&format!("{:?} {:?} {:?}", orion.prepare().await, orion.list().await, orion.list().await));
    }
    let dir = tempfile::tempdir().unwrap();
    let (username, password) = (dir.path().join("username"), dir.path().join("password"));
    std::fs::write(&username, USERNAME).unwrap();
    for content in [PASSWORD.as_bytes(), b"\xff\xfepw", b""] {
        std::fs::write(&password, content).unwrap();
        let files = PasswordFiles::new(&username, &password);
        clean(&format!("{files:?} {:?}", files.look().await));
    }
}
