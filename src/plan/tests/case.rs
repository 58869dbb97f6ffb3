//! One moment, from which a decision is made.

use super::*;

/// One moment, from which a decision is made.
pub(super) struct Case {
    pub webhook: Webhook,
    pub fresh: bool,
    pub now: Boot,
    pub jitter: f64,
    pub settings: Settings,
    pub connection: Connection,
    pub secrets: BTreeMap<String, Option<String>>,
    pub holders: BTreeMap<String, String>,
    pub memory: Memory,
    pub round: Round,
}

impl Case {
    /// A Webhook that was just applied, on a connection that can do everything.
    pub(super) fn new() -> Self {
        Self {
            webhook: webhook(),
            fresh: false,
            now: START,
            jitter: 0.5,
            settings: settings(),
            connection: Connection::Usable(Box::new(facts())),
            secrets: BTreeMap::new(),
            holders: BTreeMap::new(),
            memory: Memory::default(),
            round: Round::default(),
        }
    }

    /// A Webhook whose id is stored and whose status says that it is in sync.
    pub(super) fn stored(id: &str) -> Self {
        let text = format!("Orion at {} has the webhook as declared", facts().endpoint.host());
        Self::new().held().status(|status| {
            status.observed_generation = Some(1);
            status.webhook_id = Some(id.into());
            status.endpoint = Some(ENDPOINT.into());
            status.conditions = conditions(&[], &Readiness::new(Reason::Synced, text), 1, Timestamp::UNIX_EPOCH);
        })
    }

    /// An attempt of this installation whose result is not known, first seen at the start.
    pub(super) fn open(token: &str) -> Self {
        Self::new().held().attempt(token).doubt(token, START)
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn spec(self, change: impl FnOnce(&mut WebhookSpec)) -> Self {
        self.with(|case| change(&mut case.webhook.spec))
    }

    pub(super) fn status(self, change: impl FnOnce(&mut WebhookStatus)) -> Self {
        self.with(|case| change(case.webhook.status.get_or_insert_default()))
    }

    pub(super) fn facts(self, change: impl FnOnce(&mut ConnectionFacts)) -> Self {
        self.with(|case| change(case.usable()))
    }

    pub(super) fn capabilities(self, change: impl FnOnce(&mut Capabilities)) -> Self {
        self.facts(|facts| change(&mut facts.capabilities))
    }

    pub(super) fn usable(&mut self) -> &mut ConnectionFacts {
        let Connection::Usable(facts) = &mut self.connection else { panic!("no usable connection") };
        facts
    }

    pub(super) fn annotate(self, key: &str, value: &str) -> Self {
        self.with(|case| {
            case.webhook.metadata.annotations.get_or_insert_default().insert(key.into(), value.into());
        })
    }

    pub(super) fn attempt(self, token: &str) -> Self {
        let text = format!("{token} 2026-11-25T00:00:00Z {}", settings().instance.prefix());
        self.annotate(CREATE_ATTEMPT, &text)
    }

    pub(super) fn held(self) -> Self {
        self.with(|case| case.webhook.metadata.finalizers = Some(vec![FINALIZER.into()]))
    }

    pub(super) fn deleting(self) -> Self {
        self.with(|case| case.webhook.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH)))
    }

    pub(super) fn doubt(self, token: &str, since: Boot) -> Self {
        self.with(|case| case.memory.doubt = Some(Box::new(Doubt::new(token.into(), since))))
    }

    pub(super) fn carrying(self, token: &str, confirmed: Boot) -> Self {
        self.held().attempt(token).with(|case| {
            let carrying = Carrying { token: token.into(), begun: confirmed, confirmed, sent: false };
            case.memory.carrying = Some(Box::new(carrying));
        })
    }

    /// A header from a Secret, which the cache has at `version`.
    pub(super) fn secret(self, version: &str) -> Self {
        self.spec(|spec| spec.headers.push(secret_header())).with(|case| {
            case.secrets.insert(SECRET.into(), Some(version.into()));
        })
    }

    pub(super) fn at(self, now: Boot) -> Self {
        self.with(|case| case.now = now)
    }

    pub(super) fn after(self, seconds: u64) -> Self {
        self.at(START + secs(seconds))
    }

    /// The header values were read, with Secrets at version 1.
    pub(super) fn read(self) -> Self {
        self.with(|case| case.round.secrets = Some(Ok(values(&case.webhook.spec, "1"))))
    }

    pub(super) fn prepared(self) -> Self {
        self.read().with(|case| case.round.prepared = Some(Ok(())))
    }

    pub(super) fn got(self, id: &str, result: Result<RemoteWebhook, Failure>) -> Self {
        self.with(|case| case.round.remote = Some((id.into(), result)))
    }

    pub(super) fn listed(self, result: Result<Arc<Snapshot>, Failure>) -> Self {
        self.with(|case| case.round.list = Some(result))
    }

    pub(super) fn called(self, kind: CallKind, result: Result<&str, Failure>) -> Self {
        self.with(|case| case.round.call = Some(Call { kind, result: result.map(str::to_owned) }))
    }

    /// What Orion is known to have is what is declared now.
    pub(super) fn synced(self) -> Self {
        self.with(|case| {
            let applied = case.webhook.status.clone().unwrap_or_default().applied_secrets;
            case.memory.synced = Some(digest(&case.webhook.spec, &applied));
            case.memory.next_check = Some(case.now + secs(600));
        })
    }

    pub(super) fn view<T>(&self, use_it: impl FnOnce(&View<'_>) -> T) -> T {
        use_it(&View {
            webhook: &self.webhook,
            fresh: self.fresh,
            now: self.now,
            clock: wall(self.now),
            jitter: self.jitter,
            token: TOKEN,
            settings: &self.settings,
            connection: &self.connection,
            secret_versions: &self.secrets,
            held_by: &|id| self.holders.get(id).cloned(),
            memory: &self.memory,
            round: &self.round,
        })
    }

    pub(super) fn step(&self) -> Step {
        self.view(plan)
    }

    /// The step in short, as in [`short`].
    pub(super) fn short(&self) -> String {
        short(&self.step())
    }

    /// The settlement that the step must be.
    pub(super) fn settles(&self) -> Settlement {
        settled(self.step())
    }
}
