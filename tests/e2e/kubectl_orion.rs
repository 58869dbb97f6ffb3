//! `kubectl orion`, called by the real kubectl, with the real operator.

use std::os::unix::fs::symlink;
use std::process::Output;

use devkit::sim::{Action, Config, Fault, OpenApi, Operation, Sim};
use kube::api::DeleteParams;
use orion_operator::api::{CREATE_ATTEMPT, RESOLVE};
use serde_json::{Value, json};

use super::world::{TOKEN, World, id, message, post_only, run, run_with, spec, until};

/// A folder on the PATH with the plugin, in which kubectl finds it.
struct Kubectl {
    plugins: tempfile::TempDir,
}

impl Kubectl {
    fn new() -> Self {
        let plugins = tempfile::tempdir().unwrap();
        for name in ["kubectl-orion", "kubectl_complete-orion"] {
            symlink(env!("CARGO_BIN_EXE_orion-operator"), plugins.path().join(name)).unwrap();
        }
        Self { plugins }
    }

    /// `kubectl orion …`, as the administrator.
    async fn orion(&self, world: &World, args: &[&str]) -> Output {
        self.run(world, &[&["orion"], args].concat()).await
    }

    async fn run(&self, world: &World, args: &[&str]) -> Output {
        let mut path = self.plugins.path().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut command = world.plane.kubectl();
        command.env("PATH", path).args(args);
        command.output().await.unwrap()
    }

    /// The same in the world's namespace.
    async fn here(&self, world: &World, args: &[&str]) -> Output {
        self.orion(world, &[args, &["-n", &world.namespace]].concat()).await
    }

    /// What it writes to the standard output, if it exits with `code`.
    async fn told(&self, world: &World, args: &[&str], code: i32) -> String {
        let output = self.here(world, args).await;
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", both(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn both(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The row of a name, and the lines below it.
fn entry<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let is_row = |line: &&str| line.split_whitespace().nth(1) == Some(name) && !line.starts_with(' ');
    let from: Vec<&str> = table.lines().skip_while(|line| !is_row(line)).collect();
    let below = from.iter().skip(1).take_while(|line| line.starts_with(' ')).count();
    from.into_iter().take(1 + below).collect()
}

#[test]
fn status_tells_the_good_the_bad_and_the_unwatched() {
    run(async |world| {
        let kubectl = Kubectl::new();
        world.create("unwatched", spec("unwatched")).await;
        // Made a while ago, for all that this can tell: it is new for 15 s.
        until("it is no longer new", async || {
            let table = kubectl.told(&world, &["status"], 0).await;
            table.contains("none seems to watch here").then_some(())
        })
        .await;
        world.webhooks().delete("unwatched", &DeleteParams::default()).await.unwrap();

        let _operator = world.operator(&[]).await;
        world.create("good", spec("good")).await;
        world.synced("good").await;
        let mut secret = spec("bad");
        secret["headers"] = json!([{"name": "X-S", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "token"}}}]);
        secret["url"] = json!("https://hooks.example.com/s3cret-path");
        world.create("bad", secret).await;
        world.ready("bad", "False", "SecretNotFound").await;

        let table = kubectl.told(&world, &["status"], 0).await;
        let bad = entry(&table, "bad");
        assert!(bad[0].contains("False") && bad[0].contains("SecretNotFound"), "{table}");
        assert!(bad.iter().any(|line| line.contains("absent")), "{table}");
        assert!(bad.iter().any(|line| line.contains("To do: create the Secret")), "{table}");
        assert_eq!(entry(&table, "good").len(), 1, "{table}");
        assert!(table.find("bad").unwrap() < table.find("good").unwrap(), "trouble comes first: {table}");
        assert!(table.ends_with("2 Webhooks: 1 ready, 1 needs you\n"), "{table}");
        kubectl.told(&world, &["status", "--check"], 1).await;

        let all = kubectl.orion(&world, &["status"]).await;
        assert!(both(&all).contains(&format!("{} ", world.namespace)), "without -n, all: {}", both(&all));
        let json: Value = serde_json::from_str(&kubectl.told(&world, &["status", "-o", "json"], 0).await).unwrap();
        assert_eq!(json["summary"], json!({"total": 2, "ready": 1, "suspended": 0, "waiting": 0, "needsYou": 1}));
        assert_eq!(json["webhooks"][0]["standing"], "needsYou", "{json}");

        let full = kubectl.told(&world, &["status", "bad", "good"], 0).await;
        let good = id(&world.get("good").await);
        for words in ["SecretNotFound", "hooks.example.com", &good, "Conditions:", "the operator's default one"] {
            assert!(full.contains(words), "{words}: {full}");
        }
        assert!(!full.contains("s3cret-path"), "{full}");
        until("its Event is told", async || {
            kubectl.told(&world, &["status", "bad"], 0).await.contains("ago, SecretNotFound:").then_some(())
        })
        .await;
        kubectl.told(&world, &["status", "good", "--check"], 0).await;
    });
}

#[test]
fn connections_in_trouble_are_told_with_the_webhooks() {
    run(async |world| {
        let kubectl = Kubectl::new();
        let _operator = world.operator(&["--allow-insecure-connections"]).await;
        let auth = |secret: &str| json!({"auth": {"tokenSecretRef": {"name": secret, "key": "token"}}});
        world.connection("acme", auth("absent")).await;
        world.connection_is("acme", "False", "SecretNotFound").await;
        let mut through = spec("through");
        through["connectionRef"] = json!({"name": "acme"});
        world.create("through", through).await;
        world.ready("through", "False", "ConnectionNotReady").await;

        let table = kubectl.told(&world, &["status"], 0).await;
        let (_, connections) = table.split_once("Connections that are not ready:").unwrap();
        assert!(entry(connections, "oconn/acme")[0].contains("SecretNotFound"), "{table}");
        for name in ["oconn/acme", "through"] {
            let full = kubectl.told(&world, &["status", name], 0).await;
            assert!(full.contains("OrionConnection") && full.contains("SecretNotFound"), "{full}");
        }
        world.secret("absent", json!({"token": TOKEN})).await;
        world.connection_is("acme", "True", "Synced").await;
        let told = kubectl.told(&world, &["reconcile", "oconn/acme", "--wait"], 0).await;
        assert!(told.contains("/acme: Ready"), "{told}");
    });
}

#[test]
fn a_reconcile_is_answered_or_says_why_not() {
    run(async |world| {
        let kubectl = Kubectl::new();
        let mut operator = world.operator(&[]).await;
        world.create("hook", spec("hook")).await;
        world.synced("hook").await;
        // Somebody changes it at Orion: only a look there puts it right.
        let found = id(&world.get("hook").await);
        world.sim.edit(&found, |webhook| webhook.presence_name = "changed".into());
        let output = kubectl.here(&world, &["reconcile", "hook", "--wait"]).await;
        assert_eq!(output.status.code(), Some(0), "{}", both(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains("hook: Ready: Orion at"), "{}", both(&output));
        assert_eq!(world.at_orion("hook").len(), 1, "it was looked at");
        let managers = world.get("hook").await.metadata.managed_fields.unwrap();
        assert!(managers.iter().any(|entry| entry.manager.as_deref() == Some("kubectl-orion")));

        let told = kubectl.told(&world, &["reconcile", "--all"], 0).await;
        assert!(told.contains("hook: asked for; what came of it: kubectl orion status hook -n test-"), "{told}");

        // Refused until a person does something: it is not waited for any longer.
        world.sim.add_fault(Fault::on(Operation::Create, Action::status(422)));
        world.create("refused", spec("refused")).await;
        world.ready("refused", "False", "Rejected").await;
        let told = kubectl.told(&world, &["reconcile", "refused", "hook", "--wait", "--timeout", "50s"], 1).await;
        assert!(told.contains("refused: Rejected:") && told.contains("To do: correct the spec"), "{told}");
        assert!(told.contains("hook: Ready"), "one does not keep the others: {told}");
        world.sim.clear_faults();
        kubectl.told(&world, &["reconcile", "refused", "--wait"], 0).await;

        operator.kill();
        let told = kubectl.told(&world, &["reconcile", "hook", "--wait", "--timeout", "2s"], 1).await;
        assert!(told.contains("hook: not within 2 s: no operator has answered. Look whether"), "{told}");
    });
}

#[test]
fn a_webhook_is_suspended_and_resumed() {
    run(async |world| {
        let kubectl = Kubectl::new();
        let _operator = world.operator(&[]).await;
        world
            .create_labelled("hook", spec("hook"), json!({"kustomize.toolkit.fluxcd.io/name": "apps", "team": "a"}))
            .await;
        world.synced("hook").await;
        let output = kubectl.here(&world, &["suspend", "hook"]).await;
        assert_eq!(output.status.code(), Some(0), "{}", both(&output));
        assert!(both(&output).contains("hook: suspended; nothing is changed at Orion any more"), "{}", both(&output));
        assert!(both(&output).contains("flux suspend kustomization apps"), "{}", both(&output));
        assert_eq!(world.get("hook").await.spec.suspend, Some(true));
        assert!(kubectl.told(&world, &["suspend", "-l", "team=a"], 0).await.contains("hook: is suspended already"));

        world.merge("hook", json!({"spec": {"userId": "user-43"}})).await;
        world.ready("hook", "False", "Suspended").await;
        let table = kubectl.told(&world, &["status"], 0).await;
        assert!(table.contains(&format!("To do: kubectl orion resume hook -n {}", world.namespace)), "{table}");
        let told = kubectl.told(&world, &["reconcile", "hook", "--wait"], 1).await;
        assert!(told.contains("hook: Suspended:") && told.contains("orion resume hook"), "{told}");

        let told = kubectl.told(&world, &["resume", "hook", "--wait"], 0).await;
        assert!(told.contains("hook: resumed") && told.contains("hook: Ready"), "{told}");
        assert_eq!(world.at_orion("hook")[0].user_id, "user-43");
        assert_eq!(world.get("hook").await.spec.suspend, None);
        assert!(kubectl.told(&world, &["resume", "--all"], 0).await.contains("hook: is not suspended"));
    });
}

#[test]
fn a_person_decides() {
    run_with(post_only(OpenApi::Off), async |world| {
        let kubectl = Kubectl::new();
        let _operator = world.operator(&[]).await;
        world.create("plain", spec("plain")).await;
        world.synced("plain").await;
        assert!(kubectl.told(&world, &["resolve", "plain"], 0).await.contains("Nothing is to be decided"));

        world.sim.add_fault(Fault::on(Operation::Create, Action::LostAnswer).times(2));
        world.create("adopted", spec("adopted")).await;
        world.create("retried", spec("retried")).await;
        world.ready("adopted", "False", "CreateUnresolved").await;
        let retried = world.ready("retried", "False", "CreateUnresolved").await;

        // Each way is one that the operator's own message has.
        let ways = kubectl.told(&world, &["resolve", "retried"], 0).await;
        let token = retried.metadata.annotations.as_ref().unwrap()[CREATE_ATTEMPT].split(' ').next().unwrap();
        let retry = format!("retry={token}");
        for value in ["adopt=<id>", &retry] {
            assert!(ways.contains(&format!("resolve retried -n {} '{value}'", world.namespace)), "{ways}");
            assert!(message(&retried).contains(&format!("{RESOLVE}={value}")), "{}", message(&retried));
        }

        // What does not fit, and what nobody has confirmed, is not done.
        for (args, words) in [
            (&["resolve", "retried", "retry=wrong", "--yes"][..], retry.as_str()),
            (&["resolve", "retried", "abandon", "--yes"], "does not fit"),
            (&["resolve", "retried", &retry], "give --yes"),
            (&["resolve", "oconn/retried", "abandon"], "only a Webhook can"),
        ] {
            let output = kubectl.here(&world, args).await;
            assert!(!output.status.success() && both(&output).contains(words), "{args:?}: {}", both(&output));
        }
        assert!(!world.get("retried").await.metadata.annotations.unwrap().contains_key(RESOLVE));

        let told = kubectl.told(&world, &["resolve", "retried", &retry, "--yes", "--wait"], 0).await;
        assert!(told.contains("retried: Ready"), "{told}");
        let found = world.at_orion("adopted")[0].id.clone();
        let adopt = format!("adopt={found}");
        kubectl.told(&world, &["resolve", "adopted", &adopt, "--yes", "--wait"], 0).await;
        assert_eq!(id(&world.get("adopted").await), found);
        assert_eq!(world.calls(Operation::Create), 4, "three creates and one retry");

        // A deletion that this Orion cannot do.
        world.delete("plain").await;
        world.ready("plain", "False", "DeleteUnsupported").await;
        let full = kubectl.told(&world, &["status", "plain"], 0).await;
        assert!(full.contains("Held by orion-operator.dev/webhook") && full.contains("resolve plain"), "{full}");
        let told = kubectl.told(&world, &["resolve", "plain", "abandon", "--yes", "--wait"], 0).await;
        assert!(told.contains("plain: gone"), "{told}");
    });
}

#[test]
fn a_person_gives_up_what_is_at_another_endpoint() {
    run(async |mut world| {
        let kubectl = Kubectl::new();
        let mut operator = world.operator(&[]).await;
        world.create("hook", spec("moved")).await;
        let first = id(&world.synced("hook").await);
        operator.stop().await;
        world.sim = Sim::start(Config { static_tokens: vec![TOKEN.into()], ..Config::default() }).await.unwrap();
        let _operator = world.operator(&[]).await;
        world.ready("hook", "False", "EndpointChanged").await;
        let table = kubectl.told(&world, &["status"], 0).await;
        let command = format!("kubectl orion resolve hook -n {}", world.namespace);
        assert!(table.contains(&format!("To do: decide: {command}")), "{table}");
        let recreate = format!("recreate={first}");
        let ways = kubectl.told(&world, &["resolve", "hook"], 0).await;
        assert!(ways.contains(&format!("{command} '{recreate}'")), "{ways}");
        let told = kubectl.told(&world, &["resolve", "hook", &recreate, "--yes", "--wait"], 0).await;
        assert!(told.contains("hook: Ready"), "{told}");
        assert_eq!(world.at_orion("moved").len(), 1);
    });
}

#[test]
fn kubectl_completes_it() {
    run(async |world| {
        let kubectl = Kubectl::new();
        world.create("one-hook", spec("hook")).await;
        world.create("another", spec("hook")).await;
        let namespace = world.namespace.as_str();
        for (line, expected) in [
            (&["res"][..], &["resolve", "resume"][..]),
            (&["reconcile", "-n", namespace, ""], &["another", "one-hook"]),
            (&["status", "-n", namespace, "one"], &["one-hook"]),
            (&["status", "--che"], &["--check"]),
            (&["status", "--context", "none", ""], &[]),
        ] {
            let output = kubectl.run(&world, &[&["__complete", "orion"], line].concat()).await;
            let told = String::from_utf8(output.stdout).unwrap();
            let mut words: Vec<&str> = told.lines().filter(|line| !line.starts_with(':')).collect();
            words.sort_unstable();
            assert_eq!(words, expected, "{line:?}: {told}");
        }
    });
}

#[test]
fn what_cannot_be_done_says_what_to_do() {
    run(async |world| {
        let kubectl = Kubectl::new();
        let absent = kubectl.here(&world, &["status", "absent"]).await;
        assert_eq!(absent.status.code(), Some(1));
        let words = format!("kubectl orion: there is no Webhook absent in the namespace {}", world.namespace);
        assert!(both(&absent).contains(&words), "{}", both(&absent));
        for (args, code, words) in [
            (&["reconcile"][..], 2, "say which"),
            (&["reconcile", "-A"], 2, "say which"),
            (&["reconcile", "team-a/jobs"], 2, "jobs -n team-a"),
            (&["suspend", "oconn/x"], 2, "only a Webhook can"),
            (&["run"], 2, "run"),
            (&["status", "--context", "none"], 1, "context"),
        ] {
            let output = kubectl.orion(&world, args).await;
            assert_eq!(output.status.code(), Some(code), "{args:?}: {}", both(&output));
            assert!(both(&output).contains(words), "{args:?}: {}", both(&output));
        }
        let help = kubectl.orion(&world, &["--help"]).await;
        assert!(both(&help).contains("Usage: kubectl orion <COMMAND>"), "{}", both(&help));
        assert!(!both(&help).contains("\n  run ") && both(&help).contains("\n  validate "), "{}", both(&help));

        // Somebody with no rights at all.
        let nobody = world.plane.service_account_kubeconfig(&world.namespace, "default").await.unwrap();
        for args in [&["status"][..], &["status", "-A"], &["reconcile", "x"]] {
            let output = kubectl.orion(&world, &[args, &["--kubeconfig", nobody.to_str().unwrap()]].concat()).await;
            assert_eq!(output.status.code(), Some(1));
            assert!(
                both(&output).contains("you may not ") && both(&output).contains("Ask who runs"),
                "{}",
                both(&output)
            );
        }
        // Somebody who may read these Webhooks, and nothing else: without --namespace it is that of the context.
        let rights = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
             "metadata": {"name": "reader", "namespace": world.namespace},
             "rules": [{"apiGroups": ["orion-operator.dev"], "resources": ["webhooks"], "verbs": ["get", "list"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
             "metadata": {"name": "reader", "namespace": world.namespace},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
             "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": world.namespace}]},
        ]});
        world.plane.apply(&rights.to_string()).await.unwrap();
        let file = nobody.to_str().unwrap();
        let set = ["config", "set-context", "--current", "--namespace", &world.namespace, "--kubeconfig", file];
        world.plane.kubectl_ok(&set).await.unwrap();
        world.create("mine", spec("mine")).await;
        let output = kubectl.orion(&world, &["status", "--kubeconfig", file]).await;
        assert_eq!(output.status.code(), Some(0), "{}", both(&output));
        for words in [" mine ", "you may not list the Webhooks of all namespaces", "orionconnections are not looked at"]
        {
            assert!(both(&output).contains(words), "{words}: {}", both(&output));
        }
        let output = kubectl.orion(&world, &["status", "mine", "--kubeconfig", file]).await;
        assert!(both(&output).contains("Events:        not shown: you may not list Events"), "{}", both(&output));
        for args in [&["status", "-A"][..], &["suspend", "mine"]] {
            let output = kubectl.orion(&world, &[args, &["--kubeconfig", file]].concat()).await;
            assert_eq!(output.status.code(), Some(1));
            assert!(both(&output).contains("you may not "), "{}", both(&output));
        }
        world.deleted("mine").await;

        // The other name has the same commands.
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"))
            .args(["status", "-n", &world.namespace, "--kubeconfig", world.plane.admin_kubeconfig().to_str().unwrap()])
            .output()
            .await
            .unwrap();
        assert!(both(&output).contains("There are no Webhooks in the namespace"), "{}", both(&output));
    });
}
