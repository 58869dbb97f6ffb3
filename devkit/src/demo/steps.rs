//! The steps, one after the other.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use receiver::Receiver;
use serde_json::{Value, json};

use super::example::Example;
use super::operator::Operator;
use super::screen::Screen;
use super::{HTTP_WITHIN, Options, Stage, try_next};
use crate::control_plane::{self, ControlPlane, install_crypto_provider, write_private};
use crate::sim::{Config, Sim};

/// The ports that the documentation names; others are taken if they are not free.
const SIM_PORT: u16 = 8000;
const RECEIVER_PORT: u16 = 9000;
/// A demo may be left running for days.
const TOKEN_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a delivery may take.
const DELIVERED_WITHIN: Duration = Duration::from_secs(20);
const CONDITIONS: &str = r#"jsonpath={range .status.conditions[*]}{.type}={.status}  {.reason}: {.message}{"\n"}{end}"#;

pub(super) async fn all(options: &Options, screen: &mut Screen, stage: &mut Stage) -> Result<()> {
    install_crypto_provider();
    let http = reqwest::Client::builder().no_proxy().timeout(HTTP_WITHIN).build()?;
    screen.heading("orion-operator: a Webhook from `kubectl apply` to a delivered event, all on this machine");
    ensure!(options.operator.is_file(), "there is no {}: `make demo` builds it", options.operator.display());

    screen.step("Start a Kubernetes control plane: etcd, kube-apiserver, kube-controller-manager");
    let quiet = control_plane::Options { quiet: true, audit: false, ..control_plane::Options::default() };
    let plane = stage.plane.insert(ControlPlane::start(quiet).await?);
    screen.say(&format!(
        "{}, in {}. Your own kubeconfig is not touched.",
        plane.server_url(),
        plane.data_dir().display()
    ));

    screen.step("Start a simulated Orion, and a receiver for its events");
    let sim = stage.sim.insert(start_sim().await?);
    screen.say(&format!("Orion:    {}/  (a page that shows what it knows and sends)", sim.url()));
    let example = Example::read()?;
    let secret = random_secret();
    let receiver = stage.receiver.insert(start_receiver(&secret).await?);
    screen.say(&format!("receiver: {}  (a page that shows what it got)", receiver.url()));

    screen.step("Install the custom resource and the operator's permissions");
    install(screen, plane).await?;

    screen.step("Log in at Orion and start the operator under its own ServiceAccount");
    let token = plane.data_dir().join("orion-token");
    write_private(&token, &log_in(&http, &sim.endpoint()).await?)?;
    let kubeconfig = plane.service_account_kubeconfig("orion-system", "orion-operator").await?;
    screen.command(&format!(
        "orion-operator run --kubeconfig … --operator-namespace orion-system --orion-url {} --orion-token-file …",
        sim.url()
    ));
    let operator = Operator::start(&options.operator, plane.data_dir(), &kubeconfig, &sim.url(), &token)?;
    let operator = stage.operator.insert(operator);
    operator.ready(&http).await?;
    screen.good("It is watching.");

    screen.step("Apply examples/webhook.yaml");
    let (name, presence, secret_ref) =
        (example.name.clone(), example.presence_name.clone(), (example.secret.clone(), example.key.clone()));
    let hook_url = format!("{}orion", receiver.url());
    screen.say(&format!(
        "with two values put in: the url of the receiver here ({hook_url}), and a random secret\nin place of the one that everybody can read in the example."
    ));
    screen.command("kubectl apply -f examples/webhook.yaml");
    plane.apply(&example.with(&hook_url, &secret)?).await?;

    screen.step("Wait until Orion has it");
    let webhook = format!("webhook/{name}");
    operator.alive_while(becomes_ready(screen, plane, &webhook)).await??;
    let found = sim.webhooks().into_iter().find(|it| it.presence_name == presence);
    let id = found.context("the Webhook is Ready, but Orion does not have it")?.id;

    screen.step("Let something happen in Orion, and see that the receiver hears of it");
    let event = json!({"event": "job.completed", "job_id": "job_demo_1", "state": "completed"});
    deliver(screen, sim, receiver, &presence, &event).await?;
    refuses_strangers(screen, &http, &hook_url, &event).await?;

    if options.stay {
        try_next::show(
            screen,
            &try_next::Facts {
                plane,
                sim,
                receiver,
                operator,
                name: &name,
                presence: &presence,
                secret: (&secret_ref.0, &secret_ref.1),
            },
        );
        return Ok(());
    }
    screen.step("Delete the Webhook");
    let delete = ["delete", &webhook, "--timeout=50s"];
    operator.alive_while(shown(screen, plane, &delete)).await??;
    ensure!(sim.webhook(&id).is_none(), "the Webhook is deleted, but Orion still has {id}");
    screen.good(&format!("Orion has no {id} any more."));
    Ok(())
}

async fn start_sim() -> Result<Sim> {
    let lifetime = u64::try_from(TOKEN_LIFETIME.as_millis())?;
    let config = || Config { token_lifetime_ms: lifetime, ..Config::default() };
    match Sim::start_on(local(SIM_PORT), config()).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Sim::start(config()).await,
        result => result,
    }
    .context("cannot start the Orion simulator")
}

async fn start_receiver(secret: &str) -> Result<Receiver> {
    let on = |port| receiver::Config { listen: local(port), ..receiver::Config::new(secret) };
    match Receiver::start(on(RECEIVER_PORT)).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Receiver::start(on(0)).await,
        result => result,
    }
    .context("cannot start the receiver")
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn random_secret() -> String {
    data_encoding::HEXLOWER.encode(&rand::random::<[u8; 24]>())
}

/// A file of this repository, wherever the demo is started from.
fn in_repository(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

async fn install(screen: &Screen, plane: &ControlPlane) -> Result<()> {
    screen.command("kubectl apply -f crds");
    plane.install_crds(&in_repository("crds")).await?;
    screen.command("kubectl apply -f examples/install/rbac.yaml");
    plane.kubectl_ok(&["apply", "-f", &in_repository("examples/install/rbac.yaml").to_string_lossy()]).await?;
    Ok(())
}

/// As Orion's documentation says: OAuth2's password flow.
async fn log_in(http: &reqwest::Client, endpoint: &str) -> Result<String> {
    let Config { username, password, .. } = Config::default();
    let form = [("username", username), ("password", password)];
    let answer = http.post(format!("{endpoint}/auth/login")).form(&form).send().await?.error_for_status()?;
    let body: Value = answer.json().await?;
    let token = body.get("access_token").and_then(Value::as_str);
    Ok(token.context("the answer to the login has no access_token")?.to_owned())
}

async fn becomes_ready(screen: &Screen, plane: &ControlPlane, webhook: &str) -> Result<()> {
    let waited = shown(screen, plane, &["wait", "--for=condition=Ready", "--timeout=50s", webhook]).await;
    // Shown in either case: where it is not Ready, the conditions say why.
    shown(screen, plane, &["get", "webhooks"]).await?;
    let conditions = plane.kubectl_ok(&["get", webhook, "-o", CONDITIONS]).await?;
    screen.say("Its conditions:");
    screen.good(conditions.trim_end());
    waited.with_context(|| format!("{webhook} is not Ready; its conditions are above"))
}

/// Runs kubectl and shows both the command and what it says.
async fn shown(screen: &Screen, plane: &ControlPlane, args: &[&str]) -> Result<()> {
    screen.command(&format!("kubectl {}", args.join(" ")));
    screen.say(&plane.kubectl_ok(args).await?);
    Ok(())
}

async fn deliver(screen: &Screen, sim: &Sim, receiver: &Receiver, presence: &str, event: &Value) -> Result<()> {
    screen.say(&format!("Orion sends an event for \"{presence}\":"));
    let tries = tokio::time::timeout(DELIVERED_WITHIN, sim.send_event(presence, event.clone())).await;
    let tries = tries.context("the event was not delivered in time")?;
    let last = tries.last().context("Orion knows no webhook for this presence name")?;
    let Some(status) = last.status.filter(|_| last.succeeded()) else {
        let why = last.error.clone().or(last.status.map(|status| format!("status {status}")));
        bail!("the receiver did not take the event: {}", why.unwrap_or_default());
    };
    let deadline = Instant::now() + DELIVERED_WITHIN;
    let received = loop {
        if let Some(received) = receiver.events().into_iter().find(|it| it.payload == *event) {
            break received;
        }
        ensure!(Instant::now() < deadline, "the receiver answered {status}, but does not show the event");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    screen.good(&format!("received: {}", received.payload));
    screen.say(&format!(
        "The header X-Webhook-Secret was right: the receiver answered {status} in {} ms.",
        last.latency_ms
    ));
    Ok(())
}

/// Else "the secret was right" would say nothing.
async fn refuses_strangers(screen: &Screen, http: &reqwest::Client, url: &str, event: &Value) -> Result<()> {
    let answer = http.post(url).header("X-Webhook-Secret", "a guess").json(event).send().await?;
    ensure!(answer.status() == 401, "the receiver took an event with a wrong secret: {}", answer.status());
    screen.say("The same event with a guessed secret: 401, refused.");
    Ok(())
}
