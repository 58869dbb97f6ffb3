//! What is sent to the receiver, and what its answers say. Pure.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::WebhookSpec;
use crate::plan::url_host;

/// The receiver has so long to answer, as Orion gives it.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// One delivery to be tried.
pub(super) struct Trial {
    /// The header whose value is a wrong one; `None` for the delivery as it is declared.
    pub(super) wrong: Option<String>,
    /// Every header with its value.
    pub(super) headers: Vec<(String, SecretString)>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A status, after so long.
    Status(u16, Duration),
    /// None, and why.
    None(&'static str),
}

/// What one delivery shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Shown {
    /// The header whose value was a wrong one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wrong_header: Option<String>,
    /// The status of the answer.
    pub(super) status: Option<u16>,
    /// How long the answer took.
    pub(super) milliseconds: Option<u64>,
    /// It is as it should be.
    pub(super) ok: bool,
    /// For people.
    pub(super) message: String,
}

/// What the whole test shows.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Outcome {
    /// `namespace/name`.
    pub(super) webhook: String,
    /// The host of its url.
    pub(super) host: String,
    /// Everything is as it should be.
    pub(super) ok: bool,
    /// The first is the delivery as declared.
    pub(super) deliveries: Vec<Shown>,
    /// What was sent: a sample.
    pub(super) sample: Value,
}

/// The body of each delivery. No receiver should take it for a real event.
pub(super) fn sample(spec: &WebhookSpec) -> Value {
    json!({
        "event": "test",
        "sample": true,
        "presence_name": spec.presence_name,
        "message": "A sample, sent by orion-operator test-delivery. Nothing has happened",
    })
}

/// Every delivery to be tried: as declared, then for each header from a Secret one with a wrong value there.
pub(super) fn trials(spec: &WebhookSpec, headers: &[(String, SecretString)], wrong: &str) -> Vec<Trial> {
    let secret = spec.headers.iter().filter(|header| header.value_from.is_some()).map(|header| &header.name);
    let with_wrong = |name: &String| Trial {
        wrong: Some(name.clone()),
        headers: headers
            .iter()
            .map(|(other, value)| {
                let value = if other == name { falsified(name, value, wrong) } else { value.clone() };
                (other.clone(), value)
            })
            .collect(),
    };
    let declared = Trial { wrong: None, headers: headers.to_vec() };
    std::iter::once(declared).chain(secret.map(with_wrong)).collect()
}

/// A wrong value in place of this one. A scheme like `Bearer` stays: what is tested is the secret.
fn falsified(name: &str, value: &SecretString, wrong: &str) -> SecretString {
    match value.expose_secret().split_once(' ') {
        Some((scheme, _)) if name.to_ascii_lowercase().ends_with("authorization") => {
            SecretString::from(format!("{scheme} {wrong}"))
        }
        Some(_) | None => SecretString::from(wrong),
    }
}

/// What an answer to a trial shows.
pub(super) fn shown(wrong_header: Option<String>, answer: &Answer) -> Shown {
    let (status, milliseconds) = match answer {
        Answer::Status(status, time) => (Some(*status), Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))),
        Answer::None(_) => (None, None),
    };
    let told = match answer {
        Answer::Status(status, time) => format!("{status} after {} ms", time.as_millis()),
        Answer::None(why) => format!("no answer: {why}"),
    };
    let (ok, judgement) = match (&wrong_header, answer) {
        (None, answer) => declared(answer),
        (Some(name), answer) => falsely(name, answer),
    };
    let what = wrong_header
        .as_ref()
        .map_or_else(|| "With the declared headers".to_owned(), |name| format!("With a wrong value of {name}"));
    Shown { wrong_header, status, milliseconds, ok, message: format!("{what}: {told}. {judgement}") }
}

fn declared(answer: &Answer) -> (bool, String) {
    match answer {
        Answer::Status(200..=299, _) => (true, "Taken".into()),
        Answer::Status(300..=399, _) => {
            (false, "That is a redirect, which is not followed. Put the receiver's own address into spec.url".into())
        }
        Answer::Status(401 | 403, _) => (
            false,
            "The receiver does not take the declared secret. Give both the same one: the Secret that spec.headers names, and the receiver"
                .into(),
        ),
        Answer::Status(404 | 405, _) => {
            (false, "There is nothing at this address that takes a POST. Correct the path of spec.url".into())
        }
        Answer::Status(..) => (false, "Orion needs a 2xx. See the receiver's log".into()),
        Answer::None(_) => (false, "Is the receiver running, and can it be reached from here?".into()),
    }
}

fn falsely(name: &str, answer: &Answer) -> (bool, String) {
    match answer {
        Answer::Status(401 | 403, _) => (true, "Refused, as it should be".into()),
        Answer::Status(200..=299, _) => {
            (false, format!("Anybody can send it events. Let the receiver compare {name} and answer 401"))
        }
        Answer::Status(..) => (false, "It was not taken, but a refusal is a 401".into()),
        Answer::None(_) => (false, "It should be refused with a 401".into()),
    }
}

impl Outcome {
    /// What a test of this Webhook has shown.
    pub(super) fn new(webhook: String, spec: &WebhookSpec, deliveries: Vec<Shown>) -> Self {
        let ok = deliveries.iter().all(|delivery| delivery.ok);
        Self { webhook, host: url_host(&spec.url), ok, deliveries, sample: sample(spec) }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("A sample event for {} to {}: {}", self.webhook, self.host, self.sample)];
        let mark = |ok: bool| if ok { "ok  " } else { "FAIL" };
        lines.extend(self.deliveries.iter().map(|delivery| format!("{} {}", mark(delivery.ok), delivery.message)));
        if self.deliveries.len() == 1 && self.ok {
            lines.push(
                "note No header comes from a Secret, so the receiver cannot tell Orion from anybody else: see examples/headers.yaml"
                    .into(),
            );
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(headers: Value) -> WebhookSpec {
        let spec = json!({
            "url": "https://hooks.example.com/t0p/secret", "userId": "u", "presenceName": "p", "headers": headers,
        });
        serde_json::from_value(spec).unwrap()
    }

    fn from_secret(name: &str) -> Value {
        json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})
    }

    #[test]
    fn each_secret_is_falsified_once_and_alone() {
        let spec =
            spec(json!([from_secret("X-Secret"), {"name": "X-Team", "value": "data"}, from_secret("Authorization")]));
        let values = [("X-Secret", "s3cret"), ("X-Team", "data"), ("Authorization", "Bearer t0ken")];
        let values: Vec<_> = values.map(|(name, value)| (name.to_owned(), SecretString::from(value))).into();
        let all = trials(&spec, &values, "wrong");
        let of = |trial: &Trial| -> Vec<String> {
            trial.headers.iter().map(|(_, value)| value.expose_secret().to_owned()).collect()
        };
        assert_eq!(
            all.iter().map(|it| it.wrong.as_deref()).collect::<Vec<_>>(),
            [None, Some("X-Secret"), Some("Authorization")]
        );
        assert_eq!(of(&all[0]), ["s3cret", "data", "Bearer t0ken"]);
        assert_eq!(of(&all[1]), ["wrong", "data", "Bearer t0ken"]);
        assert_eq!(of(&all[2]), ["s3cret", "data", "Bearer wrong"]);
    }

    #[test]
    fn answers_are_judged() {
        let time = Duration::from_millis(7);
        for (status, right, wrong) in [
            (200, true, false),
            (202, true, false),
            (204, true, false),
            (301, false, false),
            (400, false, false),
            (401, false, true),
            (403, false, true),
            (404, false, false),
            (503, false, false),
        ] {
            let answer = Answer::Status(status, time);
            assert_eq!(shown(None, &answer).ok, right, "{status}");
            assert_eq!(shown(Some("X".into()), &answer).ok, wrong, "{status}");
        }
        let silent = shown(None, &Answer::None("not within 5 s"));
        assert!(!silent.ok && silent.message.starts_with("With the declared headers: no answer: not within 5 s."));
        assert!(!shown(Some("X".into()), &Answer::None("x")).ok, "silence is no refusal");
    }

    #[test]
    fn the_outcome_tells_no_more_of_the_url_than_its_host() {
        let taken = shown(None, &Answer::Status(202, Duration::ZERO));
        let outcome = Outcome::new("a/b".into(), &spec(json!([])), vec![taken]);
        let text = outcome.text() + &serde_json::to_string(&outcome).unwrap();
        assert!(text.contains("hooks.example.com") && !text.contains("t0p"), "{text}");
        assert!(text.contains("No header comes from a Secret") && text.contains("sample"), "{text}");
    }
}
