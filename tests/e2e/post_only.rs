//! An Orion that can only create: an unknown result is left to a person, and each way out that a message names works.

use devkit::sim::{Action, Answered, Fault, OpenApi, Operation};
use kube::ResourceExt;
use orion_operator::api::{CREATE_ATTEMPT, FINALIZER, RESOLVE, Webhook};

use super::operator::Operator;
use super::world::{World, id, message, post_only, run_with, spec, until};

/// Creates `names` and kills `operator` while the POST of each is in flight.
async fn killed_in_posts(world: &World, operator: &mut Operator, names: &[&str]) {
    for name in names {
        world.create(name, spec(name)).await;
    }
    kill_in_posts(world, operator, names).await;
}

async fn kill_in_posts(world: &World, operator: &mut Operator, names: &[&str]) {
    world.in_flight(names).await;
    operator.kill();
}

fn token(webhook: &Webhook) -> String {
    webhook.annotations()[CREATE_ATTEMPT].split(' ').next().unwrap().to_owned()
}

/// Does what the message says, word for word: the command in it that holds `value`, with `id` in place of `<id>`.
async fn obey(world: &World, webhook: &Webhook, value: &str, id: &str) {
    let message = message(webhook);
    let command = message
        .split("kubectl ")
        .skip(1)
        .map(|command| command.split_once(" --overwrite").unwrap().0)
        .find(|command| command.ends_with(&format!("{RESOLVE}={value}")))
        .unwrap_or_else(|| panic!("no command for {value}: {message}"))
        .replace("<id>", id);
    let words: Vec<&str> = command.split(' ').chain(["--overwrite"]).collect();
    world.plane.kubectl_ok(&words).await.unwrap();
}

/// Waits until the status speaks of the attempt of now: that of a process before speaks of an older one.
async fn unresolved(world: &World, name: &str) -> Webhook {
    until("it says how to resolve the attempt", async || {
        let webhook = world.ready(name, "False", "CreateUnresolved").await;
        message(&webhook).contains(&format!("retry={}", token(&webhook))).then_some(webhook)
    })
    .await
}

async fn is_gone(world: &World, name: &str) {
    until("it is gone", async || world.webhooks().get_opt(name).await.unwrap().is_none().then_some(())).await;
}

#[test]
fn a_kill_in_a_post_is_left_to_a_person_and_every_way_out_works() {
    for openapi in [OpenApi::Off, OpenApi::Root] {
        run_with(post_only(openapi), async |world| {
            let names = ["adopted", "retried", "abandoned"];
            let mut operator = world.operator(&["--orion-timeout", "2s"]).await;
            world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyMs(1_000)).times(3));
            killed_in_posts(&world, &mut operator, &names).await;
            let _operator = world.operator(&[]).await;
            for name in names {
                unresolved(&world, name).await;
            }
            until("every POST has taken effect", async || (world.sim.webhooks().len() == 3).then_some(())).await;

            let made = world.at_orion("adopted")[0].id.clone();
            obey(&world, &world.get("adopted").await, "adopt=<id>", &made).await;
            assert_eq!(id(&world.synced("adopted").await), made);

            world.sim.remove(&world.at_orion("retried")[0].id);
            let retried = world.get("retried").await;
            obey(&world, &retried, &format!("retry={}", token(&retried)), "").await;
            assert_eq!(id(&world.synced("retried").await), world.at_orion("retried")[0].id);

            world.delete("abandoned").await;
            let webhook = until("the message says how to let go", async || {
                let webhook = world.get("abandoned").await;
                message(&webhook).contains(&format!("{RESOLVE}=abandon")).then_some(webhook)
            })
            .await;
            assert_eq!(webhook.finalizers(), [FINALIZER]);
            obey(&world, &webhook, "abandon", "").await;
            is_gone(&world, "abandoned").await;

            let times = names.map(|name| world.posts(name).len());
            assert_eq!((times, world.calls(Operation::Delete)), ([1, 2, 1], 0));
            for name in ["adopted", "retried"] {
                until("the decision is taken off", async || {
                    (!world.get(name).await.annotations().contains_key(RESOLVE)).then_some(())
                })
                .await;
            }
        });
    }
}

#[test]
fn a_persons_retry_is_one_post_even_when_it_is_killed_too() {
    run_with(post_only(OpenApi::Off), async |world| {
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyAfterEffectMs(800)));
        let mut operator = world.operator(&["--orion-timeout", "2s"]).await;
        killed_in_posts(&world, &mut operator, &["hook"]).await;
        let mut tokens = Vec::new();
        for times in 1..=3 {
            let mut operator = world.operator(&["--orion-timeout", "2s"]).await;
            let webhook = unresolved(&world, "hook").await;
            assert_eq!(world.posts("hook").len(), times, "a retry counts for one POST");
            let token = token(&webhook);
            assert!(!tokens.contains(&token), "each POST has an attempt of its own");
            obey(&world, &webhook, &format!("retry={token}"), "").await;
            tokens.push(token);
            kill_in_posts(&world, &mut operator, &["hook"]).await;
        }
        let _operator = world.operator(&[]).await;
        let webhook = unresolved(&world, "hook").await;
        // The decision that was acted on before does not fit any more, and says so.
        world.annotate("hook", RESOLVE, &format!("retry={}", tokens[0])).await;
        until("it is named", async || message(&world.get("hook").await).contains("fits nothing").then_some(())).await;
        let last = world.at_orion("hook").pop().unwrap().id;
        obey(&world, &webhook, "adopt=<id>", &last).await;
        assert_eq!(id(&world.synced("hook").await), last);
        assert_eq!(world.posts("hook").len(), 4);
    });
}

#[test]
fn kills_and_lost_answers_never_lead_to_a_second_post_by_themselves() {
    run_with(post_only(OpenApi::Off), async |world| {
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyMs(300)));
        let mut unknown = Vec::new();
        for n in 0..20 {
            let name = format!("hook-{n}");
            let fault = match n % 4 {
                0 => Some(Action::LostAnswer),
                1 => Some(Action::status_after_effect(502)),
                _ => None,
            };
            let is_lost = fault.is_some();
            if let Some(action) = fault {
                world.sim.add_fault(Fault::on(Operation::Create, action).presence(&name));
            }
            let mut operator = world.operator(&[]).await;
            killed_in_posts(&world, &mut operator, &[&name]).await;
            // On a machine that is busy the answer may have been faster than the kill.
            if is_lost || world.posts(&name)[0].status == Answered::Pending {
                unknown.push(name);
            }
        }
        assert!(unknown.len() > 10, "only {unknown:?} were killed in their POST");
        world.sim.clear_faults();
        let _operator = world.operator(&[]).await;
        for name in &unknown {
            let webhook = unresolved(&world, name).await;
            assert_eq!((world.posts(name).len(), world.at_orion(name).len()), (1, 1), "{}", message(&webhook));
        }
        // They stay as they are: one that is certain goes its way meanwhile, and its Ready comes after theirs.
        world.create("other", spec("other")).await;
        world.synced("other").await;
        for name in &unknown {
            let webhook = unresolved(&world, name).await;
            obey(&world, &webhook, "adopt=<id>", &world.at_orion(name)[0].id).await;
        }
        for n in 0..20 {
            let name = format!("hook-{n}");
            assert_eq!(id(&world.synced(&name).await), world.at_orion(&name)[0].id);
            assert_eq!((world.posts(&name).len(), world.at_orion(&name).len()), (1, 1));
        }
    });
}

#[test]
fn two_operators_at_once_post_each_once() {
    run_with(post_only(OpenApi::Root), async |world| {
        world.sim.add_fault(Fault::on(Operation::Create, Action::LatencyAfterEffectMs(300)));
        let names: Vec<String> = (0..12).map(|n| format!("hook-{n}")).collect();
        for name in names.iter().step_by(3) {
            world.sim.add_fault(Fault::on(Operation::Create, Action::LostAnswer).presence(name));
        }
        let _operators = (world.operator(&[]).await, world.operator(&[]).await);
        for name in &names {
            world.create(name, spec(name)).await;
        }
        for (n, name) in names.iter().enumerate() {
            let made = || world.at_orion(name)[0].id.clone();
            if n % 3 == 0 {
                let webhook = unresolved(&world, name).await;
                obey(&world, &webhook, "adopt=<id>", &made()).await;
            }
            assert_eq!(id(&world.synced(name).await), made());
            assert_eq!((world.posts(name).len(), world.at_orion(name).len()), (1, 1));
        }
    });
}
