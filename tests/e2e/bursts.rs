//! kill -9 in bursts, at every moment around a create, while Webhooks come, change and go.
//!
//! `SEED=7 cargo test --test e2e bursts` tells the same story again, as far as a real clock lets it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use devkit::sim::{Action, Answered, Fault, Operation};
use fastrand::Rng;
use kube::ResourceExt;
use kube::api::ListParams;
use orion_operator::api::{CREATE_ATTEMPT, RESOLVE, Webhook, ready_condition};
use serde_json::json;

use super::operator::Operator;
use super::world::{World, id, run, spec, until, until_each};

const KILLS: usize = 110;
const BURST: usize = 10;
/// Often enough for a moment of 50 ms, the shortest POST here.
const SOON: Duration = Duration::from_millis(4);

/// When the operator is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// Some time after the first call to Orion.
    Later,
    /// An attempt was just recorded.
    Attempt,
    /// A POST has just come.
    Post,
    /// A POST has just taken effect.
    Effect,
    /// A list is being read.
    List,
    /// An update has just come.
    Put,
    /// A DELETE has just come.
    Delete,
}

struct Story<'a> {
    world: &'a World,
    chance: Rng,
    made: usize,
    edited: usize,
    /// Name to presence name and user id.
    living: BTreeMap<String, (String, String)>,
    deleted: BTreeSet<String>,
    /// What the processes that were killed had to tell, printed if the test fails.
    told: Vec<String>,
    kills: BTreeMap<Moment, usize>,
    killed_in_a_post: usize,
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the killed operators told\n{}\n---", self.told.join("\n"));
        }
    }
}

impl Story<'_> {
    /// A Webhook under a new name, or that of one which is gone, whose POST is slow and may go wrong once.
    async fn create(&mut self) {
        let there = self.there().await;
        let gone = self.deleted.iter().find(|name| !there.iter().any(|webhook| webhook.name_any() == **name)).cloned();
        let number = self.made;
        self.made += 1;
        let name = gone.filter(|_| self.chance.u8(..4) == 0).unwrap_or_else(|| format!("hook-{number}"));
        self.deleted.remove(&name);
        let presence = format!("burst-{number}");
        let on_post = |action| Fault::on(Operation::Create, action).presence(&presence);
        let latency = self.chance.u64(50..=300);
        let is_late = self.chance.bool();
        let latency = if is_late { Action::LatencyAfterEffectMs(latency) } else { Action::LatencyMs(latency) };
        self.world.sim.add_fault(on_post(latency));
        let action = match self.chance.u8(..10) {
            0 | 1 => Some(Action::LostAnswer),
            2 | 3 => Some(Action::status_after_effect(502)),
            4 => Some(Action::Truncated),
            // The only one without effect: `check` counts on that.
            5 => Some(Action::status(503)),
            _ => None,
        };
        if let Some(action) = action {
            self.world.sim.add_fault(on_post(action).once());
        }
        self.world.create(&name, spec(&presence)).await;
        self.living.insert(name, (presence, "user-42".into()));
    }

    /// Edits one of `names`.
    async fn update(&mut self, names: &[String]) {
        let Some(name) = self.chance.choice(names) else { return };
        let (presence, user) = self.living.get_mut(name).unwrap();
        self.edited += 1;
        *user = format!("user-{}", self.edited);
        if self.chance.u8(..3) == 0 {
            self.world.sim.add_fault(Fault::on(Operation::Put, Action::LostAnswer).presence(presence.as_str()).once());
        }
        self.world.merge(name, json!({"spec": {"userId": user}})).await;
    }

    /// Deletes one of `names`.
    async fn delete(&mut self, names: &[String]) {
        let Some(name) = self.chance.choice(names) else { return };
        let (presence, _) = self.living.remove(name).unwrap();
        if self.chance.u8(..3) == 0 {
            let lost = Action::status_after_effect(500);
            self.world.sim.add_fault(Fault::on(Operation::Delete, lost).presence(presence).once());
        }
        self.world.delete(name).await;
        self.deleted.insert(name.clone());
    }

    async fn there(&self) -> Vec<Webhook> {
        self.world.webhooks().list(&ListParams::default()).await.unwrap().items
    }

    /// The living ones that are Ready as they stand.
    async fn ready(&self) -> Vec<String> {
        let is_ready = |webhook: &&Webhook| {
            self.living.contains_key(&webhook.name_any())
                && webhook.status.as_ref().is_some_and(|status| {
                    status.observed_generation == webhook.metadata.generation
                        && ready_condition(&status.conditions).is_some_and(|ready| ready.status == "True")
                })
        };
        self.there().await.iter().filter(is_ready).map(ResourceExt::name_any).collect()
    }

    /// One process from its start to its kill.
    async fn life(&mut self) {
        let world = self.world;
        let ready = self.ready().await;
        let moment = match self.chance.u8(..20) {
            0..=5 => Moment::Post,
            6..=8 => Moment::Effect,
            9..=11 => Moment::Attempt,
            12 => Moment::List,
            13 | 14 if ready.len() > 1 => Moment::Put,
            15 | 16 if ready.len() > 1 => Moment::Delete,
            _ => Moment::Later,
        };
        let attempts = self.attempts().await;
        let count = |operation| world.calls(operation);
        let before =
            (count(Operation::Create), count(Operation::List), count(Operation::Put), count(Operation::Delete));
        let (calls, at_orion) = (world.sim.counts(), world.sim.webhooks());
        let old: Vec<String> = self.living.keys().cloned().collect();
        // Half of the changes come while nobody is there, half while somebody works.
        let mut operator = None;
        if self.chance.bool() {
            operator = Some(Operator::start(world, &[]).await);
        }
        match moment {
            Moment::Put => self.update(&ready).await,
            Moment::Delete => self.delete(&ready).await,
            Moment::Later | Moment::Attempt | Moment::Post | Moment::Effect | Moment::List => self.create().await,
        }
        // Not what the moment itself is waited for.
        let others: Vec<String> = old.into_iter().filter(|name| self.living.contains_key(name)).collect();
        match self.chance.u8(..6) {
            0 => self.create().await,
            1 => self.update(&others).await,
            2 | 3 if moment != Moment::Put && moment != Moment::Effect => self.delete(&others).await,
            _ => {}
        }
        let mut operator = operator.unwrap_or_else(|| Operator::spawn(world, &world.sim.url(), &[]));
        let what = format!("the moment to kill: {moment:?}");
        until_each(SOON, &what, async || {
            let is_now = match moment {
                Moment::Later => world.sim.counts() != calls,
                Moment::Attempt => self.attempts().await.iter().any(|attempt| !attempts.contains(attempt)),
                Moment::Post => count(Operation::Create) > before.0,
                Moment::Effect => world.sim.webhooks().iter().any(|webhook| !at_orion.contains(webhook)),
                Moment::List => count(Operation::List) > before.1,
                Moment::Put => count(Operation::Put) > before.2,
                Moment::Delete => count(Operation::Delete) > before.3,
            };
            is_now.then_some(())
        })
        .await;
        if moment == Moment::Later {
            // The moment itself is left to chance.
            tokio::time::sleep(Duration::from_millis(self.chance.u64(20..=600))).await;
        }
        operator.kill();
        *self.kills.entry(moment).or_default() += 1;
        let is_in_flight = |record: &devkit::sim::RequestRecord| {
            record.operation == Operation::Create && record.status == Answered::Pending
        };
        self.killed_in_a_post += usize::from(world.sim.requests().iter().any(is_in_flight));
        self.listen(&operator);
        self.check().await;
    }

    /// One process that is left in peace until it has found out about a create, and is killed then.
    async fn calm(&mut self) {
        let doubtful = async |story: &Self| -> BTreeSet<String> {
            let there = story.there().await;
            let is_open = |webhook: &&Webhook| webhook.status.as_ref().is_none_or(|status| status.webhook_id.is_none());
            there.iter().filter(is_open).map(ResourceExt::name_any).collect()
        };
        let before = doubtful(self).await;
        let mut operator = Operator::spawn(self.world, &self.world.sim.url(), &[]);
        until("a create is found out about", async || {
            let now = doubtful(self).await;
            (before.is_empty() || before.iter().any(|name| !now.contains(name))).then_some(())
        })
        .await;
        operator.kill();
        self.listen(&operator);
        self.check().await;
    }

    async fn attempts(&self) -> BTreeSet<String> {
        self.there().await.iter().filter_map(|webhook| webhook.annotations().get(CREATE_ATTEMPT).cloned()).collect()
    }

    fn listen(&mut self, operator: &Operator) {
        self.told.push("-- a process".into());
        let log = operator.log();
        let lines = log.lines().filter(|line| !line.contains("\"TRACE\"") && !line.contains("\"DEBUG\""));
        self.told.extend(lines.map(str::to_owned));
    }

    /// What must hold at any time: nothing twice at Orion, nothing sent twice, nobody asked for help.
    async fn check(&self) {
        let mut seen = BTreeSet::new();
        for webhook in self.world.sim.webhooks() {
            assert!(seen.insert(webhook.presence_name.clone()), "twice at Orion: {}", webhook.presence_name);
        }
        for webhook in self.there().await {
            let stalled = webhook.status.iter().flat_map(|status| &status.conditions).find(|it| it.type_ == "Stalled");
            assert!(stalled.is_none(), "{}: {stalled:?}", webhook.name_any());
            assert!(!webhook.annotations().contains_key(RESOLVE));
        }
        let (mut tokens, mut with_effect) = (BTreeSet::new(), BTreeMap::new());
        for post in self.world.sim.requests().into_iter().filter(|it| it.operation == Operation::Create) {
            let presence = post.body.as_ref().unwrap()["presence_name"].as_str().unwrap().to_owned();
            assert!(tokens.insert(post.headers["idempotency-key"].clone()), "two POSTs of one attempt: {presence}");
            if post.status != Answered::Status(503) {
                let times = with_effect.entry(presence.clone()).or_insert(0);
                *times += 1;
                // One that is pending may yet turn out to be without effect.
                let is_over = post.status != Answered::Pending;
                assert!(*times == 1 || !is_over, "created twice: {presence}");
            }
        }
    }

    /// The end that was declared: every living one once, as declared, under its recorded id, and nothing else.
    async fn end(&self) {
        until("all that live are Ready and all that were deleted are gone", async || {
            let is_ready = self.ready().await.len() == self.living.len();
            (is_ready && self.there().await.len() == self.living.len()).then_some(())
        })
        .await;
        self.check().await;
        let at_orion = self.world.sim.webhooks().into_iter().map(|it| (it.id, (it.presence_name, it.user_id)));
        let declared = self.there().await.into_iter().map(|it| (id(&it), self.living[&it.name_any()].clone()));
        assert_eq!(at_orion.collect::<BTreeMap<_, _>>(), declared.collect::<BTreeMap<_, _>>());
    }
}

#[test]
fn a_hundred_kills_at_any_moment_lose_nothing_and_double_nothing() {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    run(async |world| {
        world.sim.add_fault(Fault::on(Operation::List, Action::LatencyMs(50)));
        world.sim.add_fault(Fault::on(Operation::Put, Action::LatencyAfterEffectMs(50)));
        world.sim.add_fault(Fault::on(Operation::Delete, Action::LatencyAfterEffectMs(50)));
        let mut story = Story {
            world: &world,
            chance: Rng::with_seed(seed),
            made: 0,
            edited: 0,
            living: BTreeMap::new(),
            deleted: BTreeSet::new(),
            told: Vec::new(),
            kills: BTreeMap::new(),
            killed_in_a_post: 0,
        };
        let begun = Instant::now();
        for kill in 0..KILLS {
            if kill % (2 * BURST) == BURST {
                story.calm().await;
            }
            story.life().await;
        }
        let _operator = world.operator(&[]).await;
        story.end().await;
        println!(
            "{:?} kills, {} of them in a POST; {} Webhooks made, {} left; calls {:?}; {} s",
            story.kills,
            story.killed_in_a_post,
            story.made,
            story.living.len(),
            world.sim.counts(),
            begun.elapsed().as_secs()
        );
        assert!(story.killed_in_a_post >= KILLS / 10, "only {} kills came in a POST", story.killed_in_a_post);
    });
}
