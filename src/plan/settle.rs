//! The end of a reconcile: the new status, and when to look again.

use std::time::Duration;

use super::decision::{self, Decision};
use super::facts::{ConnectionFacts, SecretProblem, Trouble, digest};
use super::snapshot::Boot;
use super::step::{Guard, Settlement, Step, Verdict};
use super::view::View;
use crate::api::{
    AppliedSecret, Failure, FailureClass, REQUESTED_AT, RESOLVE, Readiness, Reason, State, Support, WebhookStatus,
    conditions, ready_condition, shell_word,
};

/// The least wait after a failure.
const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
pub(super) const BACKOFF_CAP: Duration = Duration::from_secs(300);

/// Exponential back-off with full jitter: uniform between 1 s and 1 s · 2^`failures`, at most 5 min. `jitter` is in `[0, 1)`.
#[must_use]
pub fn backoff(failures: u32, jitter: f64) -> Duration {
    let ceiling = BACKOFF_BASE.saturating_mul(2_u32.saturating_pow(failures.saturating_add(1))).min(BACKOFF_CAP);
    BACKOFF_BASE + ceiling.saturating_sub(BACKOFF_BASE).mul_f64(jitter.clamp(0.0, 1.0))
}

/// A settlement that says `readiness` and changes nothing else. It answers `requestedAt`, and what was answered stays told
/// when the annotation goes, as Flux has it.
pub(super) fn settlement(view: &View<'_>, readiness: Readiness, wake: Option<Boot>) -> Settlement {
    let mut status = view.status();
    status.observed_generation = Some(view.generation());
    if let Some(requested) = view.annotation(REQUESTED_AT) {
        status.last_handled_reconcile_at = Some(requested.to_owned());
    }
    status.conditions = conditions(&status.conditions, &readiness, view.generation(), view.clock);
    Settlement {
        status,
        guard: Guard::ResourceVersion,
        readiness,
        inputs: view.inputs(),
        wake,
        failed: false,
        failures: view.memory.failures,
        synced: None,
        next_check: None,
        gone: None,
    }
}

/// A readiness for this Webhook, which says so where a person's annotation fits nothing.
pub(super) fn readiness(view: &View<'_>, reason: Reason, message: impl Into<String>) -> Readiness {
    let mut message = message.into();
    let is_blocked = view.is_deleting() && reason != Reason::Deleting;
    if is_blocked && !message.contains("=abandon") {
        let command = annotate_command(view, "abandon");
        message.push_str(&format!(". To let this object go and leave Orion as it is: {command}"));
    }
    let is_in_sync = reason == Reason::Synced;
    let fits =
        decision::fitting(view).is_some_and(|decision| !(is_in_sync && matches!(decision, Decision::Recreate(_))));
    if let Some(value) = view.annotation(RESOLVE).filter(|_| !fits) {
        let value: String = value.chars().filter(|c| c.is_ascii_graphic()).take(300).collect();
        message.push_str(&format!(". The annotation {RESOLVE}: {value} fits nothing here and was left alone"));
    }
    Readiness { reason, message, deleting: view.is_deleting() }
}

/// The command by which a person decides, ready to paste. Tokens and ids are what others have written.
pub(super) fn annotate_command(view: &View<'_>, value: &str) -> String {
    let value = if value == decision::ADOPT { value.to_owned() } else { shell_word(value) };
    format!(
        "kubectl annotate webhook -n {} {} {RESOLVE}={value} --overwrite",
        view.webhook.metadata.namespace.as_deref().unwrap_or("default"),
        view.webhook.metadata.name.as_deref().unwrap_or_default()
    )
}

/// An earlier verdict stands. What the status says of this generation already stands too, whoever wrote it: two operators
/// that came to different verdicts would else write over each other, each woken by the other's write.
pub(super) fn keep(view: &View<'_>, verdict: &Verdict) -> Step {
    let said = view.status();
    let is_said = said.observed_generation == Some(view.generation()) && ready_condition(&said.conditions).is_some();
    let mut settlement = settlement(view, verdict.readiness.clone(), verdict.wake);
    if is_said {
        settlement.status.conditions = said.conditions;
    }
    settlement.step()
}

/// A state that ends by a change of the inputs only.
pub(super) fn report(view: &View<'_>, reason: Reason, message: impl Into<String>) -> Step {
    settlement(view, readiness(view, reason, message), None).step()
}

/// A state that ends at a known time at the latest.
pub(super) fn wait(view: &View<'_>, reason: Reason, message: impl Into<String>, until: Boot) -> Step {
    settlement(view, readiness(view, reason, message), Some(until)).step()
}

/// A failure that will be tried again by itself after a back-off.
pub(super) fn retry(view: &View<'_>, reason: Reason, message: impl Into<String>) -> Step {
    failed(view, readiness(view, reason, message)).step()
}

/// A settlement after a failure.
pub(super) fn failed(view: &View<'_>, readiness: Readiness) -> Settlement {
    let wake = view.now + backoff(view.memory.failures, view.jitter);
    let mut settlement = settlement(view, readiness, Some(wake));
    settlement.failed = true;
    settlement
}

/// A failed call, by its class: tried again by itself, or left to a person.
pub(super) fn failure(view: &View<'_>, failure: &Failure) -> Settlement {
    let readiness = readiness(view, failure.reason(), explain(failure));
    match readiness.state() {
        State::Stalled => settlement(view, readiness, None),
        // A retry that Orion puts off is the connection's matter; the back-off is only the latest time to look.
        State::Ready | State::Unknown | State::Retrying | State::Suspended => failed(view, readiness),
    }
}

/// It may go better by itself.
pub(super) fn is_passing(failure: &Failure) -> bool {
    failure.reason().state() == State::Retrying
}

/// Header values cannot be had.
pub(super) fn secret_problem(view: &View<'_>, problem: &SecretProblem) -> Step {
    let readiness = readiness(view, problem.reason, problem.message.clone());
    match readiness.state() {
        State::Stalled => settlement(view, readiness, None).step(),
        State::Ready | State::Unknown | State::Retrying | State::Suspended => failed(view, readiness).step(),
    }
}

/// The connection cannot be used: tried again by itself, or left to a person.
pub(super) fn unusable(view: &View<'_>, reason: Reason, message: &str) -> Settlement {
    let readiness = readiness(view, reason, message);
    if reason.state() == State::Stalled { settlement(view, readiness, None) } else { failed(view, readiness) }
}

/// The connection is in trouble: one condition, no attempts, until it says that it is back.
pub(super) fn wait_for_connection(view: &View<'_>, trouble: &Trouble) -> Step {
    wait(view, trouble.reason, trouble.message.clone(), view.now + BACKOFF_CAP)
}

/// What keeps a webhook from being sent: the connection's trouble, or header values that are not read yet or cannot be had.
pub(super) fn not_yet(view: &View<'_>, connection: &ConnectionFacts) -> Option<Step> {
    match &connection.trouble {
        Some(trouble) => Some(wait_for_connection(view, trouble)),
        None => view.values().err(),
    }
}

/// `--dry-run`: says what would be done.
pub(super) fn dry_run(view: &View<'_>, what: &str) -> Step {
    dry_run_but(view, what, "")
}

/// The same, with what there is to know about it.
pub(super) fn dry_run_but(view: &View<'_>, what: &str, but: &str) -> Step {
    let host = url_host(&view.webhook.spec.url);
    wait(
        view,
        Reason::DryRun,
        format!(
            "Dry run: would {what} the webhook for {host} at Orion{but}. Start the operator without --dry-run to do it"
        ),
        view.now + view.interval(),
    )
}

/// When to look for drift next. Where a list shows all, those with the same interval look at the same times and the tenth of
/// it that follows, counted from the start of the process, whenever each was made: one list serves them all. Where each is read by itself they stay spread.
fn next_check(view: &View<'_>, connection: &ConnectionFacts) -> Boot {
    let interval = view.interval();
    let late = interval.mul_f64(view.jitter / 10.0);
    let since_last = match connection.capabilities.list {
        Support::Absent => Duration::ZERO,
        Support::Unknown | Support::Proven => {
            let passed = view.now.saturating_sub(connection.begun).as_nanos() % interval.as_nanos().max(1);
            Duration::from_nanos(u64::try_from(passed).unwrap_or_default())
        }
    };
    view.now + interval.saturating_sub(since_last) + late
}

/// Orion has the webhook as declared.
pub(super) fn synced(
    view: &View<'_>,
    connection: &ConnectionFacts,
    id: &str,
    versions: &[AppliedSecret],
) -> Settlement {
    let next_check = next_check(view, connection);
    let message = format!("Orion at {} has the webhook as declared", connection.endpoint.host());
    let mut settlement = settlement(view, readiness(view, Reason::Synced, message), Some(next_check));
    settlement.status.webhook_id = Some(id.to_owned());
    settlement.status.endpoint = Some(connection.endpoint.as_str().to_owned());
    settlement.status.applied_secrets = versions.to_vec();
    settlement.synced = Some(Some(digest(&view.webhook.spec, versions)));
    settlement.next_check = Some(next_check);
    settlement.failures = 0;
    settlement
}

/// The status to show while a step takes longer than 5 s, if none speaks of this generation yet.
#[must_use]
pub fn progressing(view: &View<'_>) -> Option<WebhookStatus> {
    let status = view.status();
    let ready = ready_condition(&status.conditions);
    let said = if view.is_deleting() {
        ready.is_some_and(|ready| ready.status == "False" && ready.reason != Reason::Suspended.as_str())
            && status.observed_generation == Some(view.generation())
    } else {
        ready.is_some() && status.observed_generation == Some(view.generation())
    };
    let readiness = if view.is_deleting() {
        readiness(view, Reason::Deleting, "Deleting the webhook at Orion")
    } else {
        readiness(view, Reason::Progressing, "Waiting for Orion to answer")
    };
    (!said).then(|| settlement(view, readiness, None).status)
}

const UNAVAILABLE: &str = "Trying again by itself; if it lasts, check the connection's URL and that Orion is up";
const SLOW: &str = "Trying again by itself; if it lasts, check the network or raise the connection's timeout";

/// What happened and what to do about it. Also the text of a connection's trouble, so that both read the same.
#[must_use]
pub fn explain(failure: &Failure) -> String {
    let advice = match failure.class {
        FailureClass::Unreachable | FailureClass::ServerError => UNAVAILABLE,
        FailureClass::Timeout => SLOW,
        FailureClass::Tls => "Trying again by itself; check Orion's certificate, or give its CA to the connection",
        FailureClass::RateLimited => "Trying again by itself when Orion allows",
        FailureClass::Protocol => {
            "Trying again by itself; check that the URL and path prefix lead to Orion and not to something in front of it"
        }
        FailureClass::Rejected if failure.reason() == Reason::Timeout => SLOW,
        FailureClass::Rejected if failure.reason() == Reason::OrionUnavailable => UNAVAILABLE,
        FailureClass::Rejected => "Correct the spec; it is sent again when it changes",
        FailureClass::Unauthorized => "Renew the connection's credentials; it is tried again when they change",
        FailureClass::Forbidden => {
            "Give the credentials the right to manage webhooks, then annotate the Webhook with reconcile.fluxcd.io/requestedAt"
        }
        FailureClass::NotFound | FailureClass::MethodNotAllowed => "Check the connection's URL and path prefix",
        FailureClass::NoLogin => "Trying again by itself, slowly",
        FailureClass::Insecure => "Give the connection a public address, with https",
        FailureClass::Redirect => "Redirects are never followed; give the connection the address it leads to",
        FailureClass::Conflict => {
            "Find the webhook that is in the way at Orion; remove it, or adopt it with spec.adopt.id"
        }
    };
    let message = failure.message.trim_end_matches('.');
    format!("{message}. {advice}")
}

/// The host of a webhook's url: all of it that a message may show.
#[must_use]
pub fn url_host(url: &str) -> String {
    url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| "its url".to_owned())
}

/// Nothing new is known: what was in sync stays so until `wake`, and of anything else no claim is made.
pub(super) fn unsure(view: &View<'_>, wake: Boot) -> Settlement {
    if view.is_synced() {
        return stay(view, wake);
    }
    settlement(
        view,
        readiness(view, Reason::Progressing, "Orion does not find the webhook; looking again before anything is done"),
        Some(wake),
    )
}

/// Ready stays True, in the words of before, until `wake`.
pub(super) fn stay(view: &View<'_>, wake: Boot) -> Settlement {
    let message = ready_condition(&view.status().conditions).map(|ready| ready.message.clone()).unwrap_or_default();
    settlement(view, Readiness::new(Reason::Synced, message), Some(wake))
}
