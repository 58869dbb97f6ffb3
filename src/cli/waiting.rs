//! Waits until the operator has done what was asked for, and tells on the standard error how it goes.

mod verdict;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, timeout_at};

pub(super) use self::verdict::Asked;
use self::verdict::{Verdict, given_up, verdict};
use super::Error;
use super::objects::{Cluster, Object};
use super::plugin::Program;
use crate::api::parse_duration;

/// Nobody waits longer, and no clock ends before.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether to wait, and how long.
#[derive(Args, Debug, Clone)]
pub struct WaitArgs {
    /// Wait until it is done and the object is Ready; else say why not, and exit with 1
    #[arg(long)]
    pub wait: bool,
    /// With --wait: the longest time for all of them together
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// Waits for each; what came of it goes to `out`. Whether all went well.
pub(super) async fn wait(
    cluster: &Cluster,
    asked: Vec<(Object, Asked)>,
    args: &WaitArgs,
    program: Program,
    out: &mut impl Write,
) -> Result<bool, Error> {
    let deadline = Instant::now() + args.timeout.min(LONGEST);
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    let mut went_well = true;
    let mut waiting = asked;
    // The apiserver's, since it last answered: then nothing is known of the operator.
    let mut trouble: Option<String> = None;
    loop {
        let mut left = Vec::new();
        for (object, asked) in waiting {
            let name = object.full_name();
            let begun = Instant::now();
            let found = match timeout_at(deadline, cluster.again(&object)).await {
                Ok(Ok(found)) => found,
                // The apiserver may be back in time.
                Ok(Err(error)) if error.may_pass() => {
                    tell(&mut said, &name, error.to_string());
                    trouble = Some(error.to_string());
                    left.push((object, asked));
                    continue;
                }
                Ok(Err(error)) => return Err(error.into()),
                // The time is over. Only a read of some length says something of the apiserver.
                Err(_) => {
                    if begun.elapsed() >= PAUSE {
                        trouble.get_or_insert_with(|| format!("the apiserver does not answer: read {name}"));
                    }
                    left.push((object, asked));
                    continue;
                }
            };
            trouble = None;
            match verdict(found.as_ref(), &asked, program) {
                Verdict::Done(why) => writeln!(out, "{name}: {why}")?,
                Verdict::Failed(why) => {
                    went_well = false;
                    writeln!(out, "{name}: {why}")?;
                }
                Verdict::Waiting(why) => {
                    tell(&mut said, &name, why);
                    left.push((found.unwrap_or(object), asked));
                }
            }
        }
        waiting = left;
        if waiting.is_empty() {
            return Ok(went_well);
        }
        if Instant::now() >= deadline {
            for (object, asked) in &waiting {
                let why = trouble.clone().unwrap_or_else(|| given_up(object, asked, program));
                writeln!(out, "{}: not within {} s: {why}", object.full_name(), args.timeout.as_secs())?;
            }
            return Ok(false);
        }
        tokio::time::sleep_until((Instant::now() + PAUSE).min(deadline)).await;
    }
}

/// Only what is new.
fn tell(said: &mut BTreeMap<String, String>, name: &str, why: String) {
    if said.get(name) != Some(&why) {
        eprintln!("{name}: {why}");
        said.insert(name.to_owned(), why);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use serde_json::json;

    use super::*;
    use crate::cli::objects::Kind;

    fn object() -> Object {
        let object = json!({
            "apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook",
            "metadata": {"name": "jobs", "namespace": "team-a", "uid": "1", "generation": 1},
            "spec": {"url": "https://hooks.example.com/", "userId": "u", "presenceName": "p"},
        });
        Object::new(Kind::Webhook, serde_json::from_value(object).unwrap())
    }

    async fn told(cluster: Cluster, timeout: Duration) -> (Option<bool>, String) {
        let mut out = Vec::new();
        let args = WaitArgs { wait: true, timeout };
        let waited = wait(&cluster, vec![(object(), Asked::Change)], &args, Program::Plugin, &mut out);
        let waited = tokio::time::timeout(Duration::from_secs(5), waited).await;
        (waited.ok().map(Result::unwrap), String::from_utf8(out).unwrap())
    }

    fn cluster<A: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static>(answer: fn() -> A) -> Cluster {
        let apiserver = tower::service_fn(move |_: Request<Body>| answer());
        Cluster { client: Client::new(apiserver, "default"), namespace: "elsewhere".into() }
    }

    #[tokio::test]
    async fn the_time_is_kept_and_the_cause_named() {
        let silent = || cluster(std::future::pending);
        let (went_well, text) = told(silent(), Duration::from_millis(700)).await;
        assert_eq!(went_well, Some(false));
        assert!(text.contains("the apiserver does not answer"), "{text}");
        let broken = cluster(|| std::future::ready(Ok(Response::builder().status(503).body(Body::empty()).unwrap())));
        let (went_well, text) = told(broken, Duration::from_millis(100)).await;
        assert_eq!(went_well, Some(false));
        assert!(text.contains("503"), "{text}");
        // As long as there can be: it waits, and does not panic.
        assert_eq!(told(silent(), Duration::MAX).await.0, None);
    }
}
