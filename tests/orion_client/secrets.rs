//! No secret is ever seen: not in a message, not in `Debug`, not in the log at its most talkative level.

use std::io::Write;
use std::sync::{Arc, Mutex};

use orion_operator::orion::Orion;
use serde_json::json;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::support::{Fixed, SECRET, TOKEN, desired, with};

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

fn clean(text: &str) {
    for secret in [SECRET, TOKEN] {
        // A prefix would be too much already.
        assert!(!text.contains(&secret[..16]), "{text}");
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
        let orion = with(&server.uri(), Fixed(TOKEN));
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
    let seen = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(seen.contains("called Orion"), "the log was captured");
    clean(&seen);
}
