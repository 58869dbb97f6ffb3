//! Several teams in one cluster: who may use which connection, and that nobody finds out about another's.

use devkit::sim::{Config, Operation, Sim, StoredWebhook};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use orion_operator::api::{ClusterOrionConnection, OrionConnection, Webhook, ready_condition};
use serde_json::{Value, json};

use super::operator::Operator;
use super::world::{TOKEN, World, forms, is, message, object, run_cluster, spec, through, until};

const SHARED: &str = "ClusterOrionConnection";
const OWN: &str = "OrionConnection";
const EVERYWHERE: [&str; 5] = ["--watch-namespaces", "", "--orion-url", "", "--allow-insecure-connections"];

/// An operator of the whole cluster, with no default connection.
async fn everywhere(world: &World) -> Operator {
    world.operator(&EVERYWHERE).await
}

/// A namespace of a team, with these labels.
async fn team(world: &World, name: &str, labels: Value) -> String {
    let name = format!("{name}-{}", world.namespace);
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    name
}

fn hooks(world: &World, namespace: &str) -> Api<Webhook> {
    Api::namespaced(world.client.clone(), namespace)
}

async fn create(world: &World, namespace: &str, name: &str, spec: Value) {
    let webhook = serde_json::from_value(object(name, spec)).unwrap();
    hooks(world, namespace).create(&PostParams::default(), &webhook).await.unwrap();
}

async fn hook_is(world: &World, namespace: &str, name: &str, status: &str, reason: &str) -> String {
    let status_of = |webhook: &Webhook| {
        let status = webhook.status.clone().unwrap_or_default();
        Some(orion_operator::api::ConnectionStatus {
            observed_generation: status.observed_generation,
            conditions: status.conditions,
            ..Default::default()
        })
    };
    is(&hooks(world, namespace), status_of, name, status, reason).await
}

fn shared(world: &World) -> (String, Api<ClusterOrionConnection>) {
    (format!("shared-{}", world.namespace), Api::all(world.client.clone()))
}

/// A shared connection with these rules, Ready.
async fn share(world: &World, more: Value) -> String {
    let (name, api) = shared(world);
    world.secret_in("orion-system", &name, json!({"token": TOKEN})).await;
    let mut spec = json!({
        "url": world.sim.url(), "timeout": "1s", "rateLimit": {"requestsPerSecond": 1000, "burst": 1000},
        "auth": {"tokenSecretRef": {"name": name, "key": "token"}},
    });
    super::world::merge(&mut spec, more);
    let object = json!({
        "apiVersion": "orion-operator.dev/v1alpha1", "kind": SHARED, "metadata": {"name": name}, "spec": spec,
    });
    world.plane.apply(&object.to_string()).await.unwrap();
    is(&api, |it| it.status.clone(), &name, "True", "Synced").await;
    name
}

async fn reshare(world: &World, spec: Value) {
    let (name, api) = shared(world);
    api.patch(&name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.unwrap();
}

#[test]
fn nobody_uses_a_shared_connection_unless_a_rule_says_so() {
    run_cluster(Config::default(), async |world| {
        let _operator = everywhere(&world).await;
        let (named, labelled, other) = (
            team(&world, "named", json!({})).await,
            team(&world, "labelled", json!({"orion": "allowed"})).await,
            team(&world, "other", json!({})).await,
        );
        let name = share(&world, json!({})).await;
        for namespace in [&named, &labelled, &other] {
            create(&world, namespace, "hook", through(namespace, SHARED, &name)).await;
        }
        for namespace in [&named, &labelled, &other] {
            hook_is(&world, namespace, "hook", "False", "NotAllowed").await;
        }
        assert_eq!(world.calls(Operation::Create), 0, "deny by default");
        reshare(
            &world,
            json!({"allowedNamespaces": [
                {"name": named, "userIds": ["user-42"]},
                {"selector": {"matchLabels": {"orion": "allowed"}}},
            ]}),
        )
        .await;
        hook_is(&world, &named, "hook", "True", "Synced").await;
        hook_is(&world, &labelled, "hook", "True", "Synced").await;
        let said = hook_is(&world, &other, "hook", "False", "NotAllowed").await;
        assert!(said.contains(&other) && !said.contains(&named) && !said.contains("user-42"), "{said}");

        let mut stranger = through("stranger", SHARED, &name);
        stranger["userId"] = json!("somebody-else");
        create(&world, &named, "stranger", stranger).await;
        let said = hook_is(&world, &named, "stranger", "False", "NotAllowed").await;
        assert!(said.contains("userId") && !said.contains("user-42"), "{said}");

        // A label that comes, a label that goes.
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        let label = async |namespace: &str, value: Value| {
            let patch = Patch::Merge(json!({"metadata": {"labels": {"orion": value}}}));
            namespaces.patch(namespace, &PatchParams::default(), &patch).await.unwrap();
        };
        label(&other, json!("allowed")).await;
        hook_is(&world, &other, "hook", "True", "Synced").await;
        label(&labelled, Value::Null).await;
        hook_is(&world, &labelled, "hook", "False", "NotAllowed").await;

        // What is not served any more changes nothing at Orion, but what it has there is cleaned up.
        let before = world.at_orion(&labelled);
        let patch = Patch::Merge(json!({"spec": {"url": "https://hooks.example.com/edited"}}));
        hooks(&world, &labelled).patch("hook", &PatchParams::default(), &patch).await.unwrap();
        hook_is(&world, &labelled, "hook", "False", "NotAllowed").await;
        assert_eq!(world.at_orion(&labelled)[0].url, before[0].url);
        hooks(&world, &labelled).delete("hook", &DeleteParams::default()).await.unwrap();
        until("it is gone", async || hooks(&world, &labelled).get_opt("hook").await.unwrap().is_none().then_some(()))
            .await;
        assert!(world.at_orion(&labelled).is_empty());
    });
}

#[test]
fn adoption_on_a_shared_connection_is_denied_unless_it_is_allowed() {
    run_cluster(Config::default(), async |world| {
        let _operator = everywhere(&world).await;
        let team = team(&world, "team", json!({})).await;
        let id = world.sim.insert(StoredWebhook::new("https://hooks.example.com/orion", "user-42", "theirs"));
        let name = share(&world, json!({"allowedNamespaces": [{"name": team}]})).await;
        let mut adopting = through("theirs", SHARED, &name);
        adopting["adopt"] = json!({"id": id});
        create(&world, &team, "hook", adopting).await;
        hook_is(&world, &team, "hook", "False", "NotAllowed").await;
        reshare(&world, json!({"adoption": "Allow"})).await;
        hook_is(&world, &team, "hook", "True", "Synced").await;
        assert_eq!(world.at_orion("theirs").len(), 1);
    });
}

/// What a tenant tries, with rights of its own on everything in its namespace, and what comes of it.
#[test]
fn a_tenant_neither_uses_nor_reads_nor_infers_what_is_anothers() {
    const THEIRS: &str = "token-of-the-other-team";
    run_cluster(Config::default(), async |world| {
        let operator = everywhere(&world).await;
        let (mine, theirs) = (team(&world, "mine", json!({})).await, team(&world, "theirs", json!({})).await);
        let other = Sim::start(Config { static_tokens: vec![THEIRS.into()], ..Config::default() }).await.unwrap();
        world.secret_in(&theirs, "orion-theirs", json!({"token": THEIRS})).await;
        world.secret_in("orion-system", "orion-system-secret", json!({"token": THEIRS})).await;
        let connection = |namespace: &str, name: &str, url: &str, secret: &str| {
            json!({
                "apiVersion": "orion-operator.dev/v1alpha1", "kind": OWN,
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"url": url, "auth": {"tokenSecretRef": {"name": secret, "key": "token"}}},
            })
        };
        world.plane.apply(&connection(&theirs, "theirs", &other.url(), "orion-theirs").to_string()).await.unwrap();
        let of = |namespace: &str| Api::<OrionConnection>::namespaced(world.client.clone(), namespace);
        is(&of(&theirs), |it| it.status.clone(), "theirs", "True", "Synced").await;
        create(&world, &theirs, "hook", through("theirs", OWN, "theirs")).await;
        hook_is(&world, &theirs, "hook", "True", "Synced").await;

        // The tenant's own rights: everything of its namespace, nothing else.
        world.plane.apply(&rights(&mine)).await.unwrap();
        let kubeconfig = world.plane.service_account_kubeconfig(&mine, "tenant").await.unwrap();
        let config = Kubeconfig::read_from(kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        let tenant = Client::try_from(config).unwrap();
        for path in [
            format!("/api/v1/namespaces/{theirs}/secrets/orion-theirs"),
            format!("/apis/orion-operator.dev/v1alpha1/namespaces/{theirs}/orionconnections"),
            format!("/apis/orion-operator.dev/v1alpha1/namespaces/{theirs}/webhooks"),
            "/apis/orion-operator.dev/v1alpha1/clusterorionconnections".to_owned(),
            "/api/v1/namespaces/orion-system/secrets".to_owned(),
        ] {
            let request = http::Request::get(&path).body(Vec::new()).unwrap();
            let error = tenant.request::<Value>(request).await.unwrap_err();
            assert!(matches!(error, kube::Error::Api(status) if status.code == 403), "{path}");
        }

        // A connection of its own that names the other's Secret: looked for in its own namespace only.
        let apply = async |value: Value| {
            let plural = format!("{}s", value["kind"].as_str().unwrap().to_ascii_lowercase());
            let path = format!("/apis/orion-operator.dev/v1alpha1/namespaces/{mine}/{plural}?fieldValidation=Strict");
            let body = serde_json::to_vec(&value).unwrap();
            let request = http::Request::post(path).header("content-type", "application/json").body(body).unwrap();
            tenant.request::<Value>(request).await
        };
        for (name, secret) in [("a", "orion-theirs"), ("b", "orion-system-secret")] {
            apply(connection(&mine, name, &other.url(), secret)).await.unwrap();
            let said = is(&of(&mine), |it| it.status.clone(), name, "False", "SecretNotFound").await;
            assert!(said.contains(&mine) && !said.contains(&theirs), "{said}");
        }
        // No field leads elsewhere.
        for (kind, field, value) in [
            (OWN, "/spec/auth/tokenSecretRef/namespace", json!(theirs)),
            (OWN, "/spec/auth/tokenSecretRef/name", json!(format!("../{theirs}/orion-theirs"))),
            (OWN, "/spec/auth/tokenSecretRef/name", json!(format!("{theirs}/orion-theirs"))),
            (OWN, "/spec/auth/tokenSecretRef/key", json!("../token")),
            (OWN, "/spec/allowedNamespaces", json!([{"name": mine}])),
            (OWN, "/spec/pathPrefix", json!("//evil.example/v1alpha")),
            (OWN, "/spec/url", json!(format!("{}@evil.example", other.url()))),
            ("Webhook", "/spec/connectionRef/namespace", json!(theirs)),
            ("Webhook", "/spec/connectionRef/name", json!(format!("{theirs}/theirs"))),
            (
                "Webhook",
                "/spec/headers",
                json!([{"name": "X-A", "valueFrom": {"secretKeyRef": {"name": "orion-theirs", "namespace": theirs, "key": "token"}}}]),
            ),
        ] {
            let mut tried = match kind {
                OWN => connection(&mine, "tried", &other.url(), "own"),
                _ => object("tried", through("tried", OWN, "own")),
            };
            set(&mut tried, field, value);
            let error = apply(tried.clone()).await.unwrap_err();
            assert!(matches!(&error, kube::Error::Api(status) if matches!(status.code, 400 | 422)), "{field}: {error}");
        }
        // Webhooks that name what is not there, and what is there elsewhere: the same words for both.
        let mut said = Vec::new();
        for (name, reference) in [("theirs", "theirs"), ("nothing", "nothing")] {
            apply(object(name, through(name, OWN, reference))).await.unwrap();
            said.push(hook_is(&world, &mine, name, "False", "ConnectionNotFound").await.replace(reference, "_"));
        }
        assert_eq!(said[0], said[1]);
        let mut header = spec("header");
        header["connectionRef"] = json!({"name": "own"});
        header["headers"] =
            json!([{"name": "X-A", "valueFrom": {"secretKeyRef": {"name": "orion-theirs", "key": "token"}}}]);
        world.secret_in(&mine, "own", json!({"token": TOKEN})).await;
        apply(connection(&mine, "own", &world.sim.url(), "own")).await.unwrap();
        apply(object("header", header)).await.unwrap();
        hook_is(&world, &mine, "header", "False", "SecretNotFound").await;
        // The other's webhook, by its id, through a connection of its own.
        let id = other.webhooks()[0].id.clone();
        let mut adopting = through("adopting", OWN, "own");
        adopting["adopt"] = json!({"id": id, "force": true});
        apply(object("adopting", adopting)).await.unwrap();
        let refused = until("it is refused", async || {
            let webhook = hooks(&world, &mine).get("adopting").await.unwrap();
            let status = webhook.status.clone().unwrap_or_default();
            ready_condition(&status.conditions).is_some_and(|ready| ready.status == "False").then_some(webhook)
        })
        .await;
        assert!(!message(&refused).contains(&theirs), "{}", message(&refused));
        // Nothing happened at the other's Orion, and nobody saw its token.
        assert_eq!((other.count(Operation::Create), other.count(Operation::Delete), other.webhooks().len()), (1, 0, 1));
        let everything = format!(
            "{}{}",
            operator.log(),
            serde_json::to_string(&hooks(&world, &mine).list(&Default::default()).await.unwrap().items).unwrap()
        );
        for form in forms(THEIRS) {
            assert!(!everything.contains(&form), "{form}");
        }
    });
}

fn rights(namespace: &str) -> String {
    let name = json!({"name": "tenant", "namespace": namespace});
    [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": name,
            "rules": [{"apiGroups": ["", "orion-operator.dev"], "resources": ["*"], "verbs": ["*"]}],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": name,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"},
            "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": namespace}],
        }),
    ]
    .map(|object| object.to_string())
    .join("\n---\n")
}

/// Puts `value` at `path`, whose last step need not be there.
fn set(object: &mut Value, path: &str, value: Value) {
    let (parent, field) = path.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[field] = value;
}
