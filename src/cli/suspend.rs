//! `suspend` and `resume`: stop and go on with what is changed at Orion.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Error;
use super::objects::{Cluster, Kind, Object, ObjectError, WhereArgs, WhichArgs, block_on, or_told, put_back_by};
use super::plugin::Program;
use super::waiting::{Asked, WaitArgs, wait};

/// Arguments of `suspend`.
#[derive(Args, Debug)]
pub struct SuspendArgs {
    /// Which Webhooks.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Which cluster, and where in it.
    #[command(flatten)]
    pub at: WhereArgs,
}

/// Arguments of `resume`.
#[derive(Args, Debug)]
pub struct ResumeArgs {
    /// Which Webhooks.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Which cluster, and where in it.
    #[command(flatten)]
    pub at: WhereArgs,
    /// Whether to wait.
    #[command(flatten)]
    pub waiting: WaitArgs,
}

/// Sets `spec.suspend`.
pub(super) fn suspend(args: &SuspendArgs, program: Program, out: &mut impl Write) -> Result<ExitCode, Error> {
    block_on(async {
        let cluster = Cluster::connect(&args.at).await.map_err(ObjectError::from)?;
        let (_, went_well) = set(&cluster, &args.which, true, program, out).await?;
        Ok(if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Takes it out, and waits where that is wanted.
pub(super) fn resume(args: &ResumeArgs, program: Program, out: &mut impl Write) -> Result<ExitCode, Error> {
    block_on(async {
        let cluster = Cluster::connect(&args.at).await.map_err(ObjectError::from)?;
        let (asked, mut went_well) = set(&cluster, &args.which, false, program, out).await?;
        let asked = if args.waiting.wait { asked } else { Vec::new() };
        went_well &= wait(&cluster, asked, &args.waiting, program, out).await?;
        Ok(if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Those that are as wanted now, and whether all are.
async fn set(
    cluster: &Cluster,
    which: &WhichArgs,
    suspend: bool,
    program: Program,
    out: &mut impl Write,
) -> Result<(Vec<(Object, Asked)>, bool), Error> {
    // Before anything is changed.
    if let Some(other) = which.names.iter().find(|named| named.kind != Kind::Webhook) {
        return Err(ObjectError::OnlyWebhooks(other.clone()).into());
    }
    let objects = cluster.those(which).await?;
    if objects.is_empty() {
        eprintln!("there are no such Webhooks, so nothing is changed");
    }
    let mut asked = Vec::with_capacity(objects.len());
    let mut went_well = true;
    for object in objects {
        let name = object.full_name();
        let word = if suspend { "suspended" } else { "resumed" };
        if object.is_suspended() == suspend {
            let already = if suspend { "is suspended already" } else { "is not suspended" };
            writeln!(out, "{name}: {already}")?;
            asked.push((object, Asked::Change));
            continue;
        }
        // Taken out rather than set to false: nothing of ours is left in the way of who applies the object.
        let wanted = if suspend { json!(true) } else { Value::Null };
        let patch = json!({"spec": {"suspend": wanted}});
        let Some(changed) = or_told(&object, cluster.merge(&object, patch, false).await)? else {
            went_well = false;
            continue;
        };
        let then = if suspend {
            format!(
                "nothing is changed at Orion any more, except by a deletion. To go on: {program} resume {}",
                changed.argument()
            )
        } else {
            "Orion is brought to what is declared".to_owned()
        };
        writeln!(out, "{name}: {word}; {then}")?;
        if let Some(who) = put_back_by(&changed) {
            eprintln!("{name}: {who}");
        }
        asked.push((changed, Asked::Change));
    }
    Ok((asked, went_well))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Method, Request, Response};
    use kube::Client;
    use kube::client::Body;

    use super::*;

    fn webhook(name: &str) -> Value {
        json!({
            "apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook",
            "metadata": {"name": name, "namespace": "team-a", "uid": name},
            "spec": {"url": "https://hooks.example.com/", "userId": "u", "presenceName": "p"},
        })
    }

    fn refusal(code: u16, details: Value) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "x", "message": "no", "code": code, "details": details})
    }

    /// A list of three: one is gone when it is changed, another one is another by then.
    #[tokio::test]
    async fn what_fails_for_one_does_not_stop_the_others() {
        let apiserver = tower::service_fn(async |request: Request<Body>| {
            let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let (code, answer) = match (request.method(), name.as_str()) {
                (&Method::PATCH, "gone") => (404, refusal(404, json!({"name": "gone"}))),
                (&Method::PATCH, "other") => (422, refusal(422, json!({"causes": [{"field": "metadata.uid"}]}))),
                (&Method::PATCH, name) => (200, webhook(name)),
                (_, _) => (
                    200,
                    json!({"apiVersion": "orion-operator.dev/v1alpha1", "kind": "WebhookList", "metadata": {},
                        "items": [webhook("gone"), webhook("other"), webhook("there")]}),
                ),
            };
            Ok::<_, Infallible>(
                Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap(),
            )
        });
        let cluster = Cluster { client: Client::new(apiserver, "default"), namespace: "elsewhere".into() };
        let which = WhichArgs { names: Vec::new(), all: true, selector: None, all_namespaces: true };
        let mut out = Vec::new();
        let (done, went_well) = set(&cluster, &which, true, Program::Plugin, &mut out).await.unwrap();
        let names: Vec<String> = done.iter().map(|(object, _)| object.full_name()).collect();
        assert_eq!((names.as_slice(), went_well), (&["team-a/there".to_owned()][..], false));
        assert!(String::from_utf8(out).unwrap().contains("team-a/there: suspended"));

        let mut errors = Vec::new();
        for object in cluster.those(&which).await.unwrap().iter().take(2) {
            errors.push(cluster.merge(object, json!({}), false).await.unwrap_err().to_string());
        }
        assert!(errors[0].contains("Webhook gone in the namespace team-a"), "{errors:?}");
        assert!(errors[1].contains("it changed meanwhile"), "{errors:?}");
    }
}
