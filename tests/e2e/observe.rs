//! What the process tells of itself: the metrics page and the log.

use std::collections::BTreeMap;

use devkit::sim::{Action, Config, Fault, Operation};
use serde_json::{Value, json};

use super::world::{World, run, run_with, spec, until};

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The series of the page with their values.
async fn scrape(address: &str) -> BTreeMap<String, f64> {
    let page = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    let lines = page.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
    lines.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

/// The sum of the series with this beginning that hold all of these.
fn sum(page: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> f64 {
    let is_meant =
        |series: &&String| series.split('{').next() == Some(name) && labels.iter().all(|label| series.contains(label));
    page.keys().filter(is_meant).map(|series| page[series]).sum()
}

async fn shows(address: &str, name: &str, labels: &[&str], value: f64) {
    until(&format!("{name}{labels:?} is {value}"), async || {
        (sum(&scrape(address).await, name, labels) == value).then_some(())
    })
    .await;
}

#[test]
fn the_page_tells_what_happened_and_how_it_stands() {
    let config = Config { username: "u".into(), password: "p".into(), ..Config::default() };
    run_with(config, async |world| {
        let address = free_address();
        let (username, password) = (world.token_file.with_file_name("u"), world.token_file.with_file_name("p"));
        std::fs::write(&username, "u").unwrap();
        std::fs::write(&password, "p").unwrap();
        let _operator = world
            .operator(
                &[
                    ["--orion-username-file", username.to_str().unwrap()],
                    ["--orion-password-file", password.to_str().unwrap()],
                    ["--metrics-bind-address", &address],
                    ["--interval", "1s"],
                ]
                .concat(),
            )
            .await;
        for name in ["a", "b"] {
            world.create(name, spec(name)).await;
            world.synced(name).await;
        }
        world.sim.add_fault(Fault::on(Operation::Create, Action::status(422)).presence("refused"));
        world.create("refused", spec("refused")).await;
        world.ready("refused", "False", "Rejected").await;

        shows(&address, "orion_operator_webhooks", &["reason=\"Synced\"", "ready=\"True\""], 2.0).await;
        shows(&address, "orion_operator_webhooks", &["reason=\"Rejected\"", "ready=\"False\""], 1.0).await;
        shows(&address, "orion_operator_webhooks", &[], 3.0).await;
        shows(&address, "orion_operator_connections", &["kind=\"Default\"", "reason=\"Synced\""], 1.0).await;
        shows(&address, "orion_operator_connections", &[], 1.0).await;
        until("drift was looked for", async || {
            let lists = ["operation=\"list\"", "class=\"2xx\""];
            (sum(&scrape(&address).await, "orion_operator_orion_requests_total", &lists) >= 1.0).then_some(())
        })
        .await;
        let page = scrape(&address).await;
        let calls = |labels: &[&str]| sum(&page, "orion_operator_orion_requests_total", labels);
        assert_eq!(calls(&["operation=\"create\"", "class=\"2xx\""]), 2.0);
        assert_eq!(calls(&["operation=\"create\"", "class=\"Rejected\""]), 1.0);
        assert_eq!(calls(&["operation=\"login\"", "class=\"2xx\""]), 1.0);
        assert_eq!(sum(&page, "orion_operator_orion_request_duration_seconds_count", &["\"create\""]), 3.0);
        assert!(sum(&page, "orion_operator_oldest_login_token_age_seconds", &[]) > 0.0);
        // Two writes for each create at least, and all to one host.
        assert!(sum(&page, "rest_client_requests_total", &["code=\"200\"", "method=\"PATCH\""]) >= 4.0);
        let reconciles = sum(&page, "controller_runtime_reconcile_total", &["controller=\"webhook\""]);
        assert!(reconciles >= 3.0);
        assert_eq!(sum(&page, "controller_runtime_max_concurrent_reconciles", &[]), 16.0);
        assert!(sum(&page, "workqueue_adds_total", &[]) >= reconciles);
        assert!(sum(&page, "workqueue_queue_duration_seconds_count", &[]) >= reconciles);
        assert_eq!(sum(&page, "orion_operator_uncertain_creates", &[]), 0.0);
        assert_eq!(sum(&page, "leader_election_master_status", &[]), 0.0);
        let told = format!("{page:?}");
        for word in [&world.namespace, "refused", "hooks.example.com", "user-42"] {
            assert!(!told.contains(word), "{word} is on the page");
        }

        // An answer that is lost, and looks that fail.
        world.sim.add_fault(Fault::on(Operation::Create, Action::LostAnswer).presence("lost").once());
        world.sim.add_fault(Fault::on(Operation::List, Action::status(500)));
        world.sim.add_fault(Fault::on(Operation::Get, Action::status(500)));
        world.create("lost", spec("lost")).await;
        shows(&address, "orion_operator_uncertain_creates", &[], 1.0).await;
        until("drift checks are late", async || {
            (sum(&scrape(&address).await, "orion_operator_drift_check_late_seconds", &["Default"]) > 2.0).then_some(())
        })
        .await;
        world.sim.clear_faults();
        world.synced("lost").await;
        shows(&address, "orion_operator_uncertain_creates", &[], 0.0).await;
        until("drift checks are in time again", async || {
            (sum(&scrape(&address).await, "orion_operator_drift_check_late_seconds", &["Default"]) < 2.0).then_some(())
        })
        .await;

        let asked = reqwest::Client::new()
            .get(format!("http://{address}/metrics"))
            .header("Accept", "application/openmetrics-text;version=1.0.0")
            .send()
            .await
            .unwrap();
        assert!(asked.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
        assert!(asked.text().await.unwrap().ends_with("# EOF\n"));
    });
}

/// The lines of the log that are of reconciles of this Webhook.
fn lines(log: &str, world: &World, name: &str) -> Vec<Value> {
    let all = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.filter(|line| line["span"]["object"] == format!("{}/{name}", world.namespace)).collect()
}

#[test]
fn the_log_tells_of_a_reconcile_and_gets_finer_by_a_signal() {
    run(async |world| {
        let operator = world.operator(&["--log-level", "info"]).await;
        world.create("first", spec("first")).await;
        world.synced("first").await;
        let created = |line: &Value| line["message"] == "created at Orion";
        let first =
            until("it is told", async || lines(&operator.log(), &world, "first").into_iter().find(created)).await;
        assert_eq!((&first["span"]["kind"], &first["span"]["generation"]), (&json!("Webhook"), &json!(1)));
        assert_eq!((&first["span"]["step"], &first["level"]), (&json!("Post"), &json!("INFO")));
        assert!(!operator.log().contains("\"DEBUG\""));

        let told = || operator.log().matches("the log level is another one now").count();
        operator.signal("USR1");
        until("it says so", async || (told() == 1).then_some(())).await;
        world.create("second", spec("second")).await;
        world.synced("second").await;
        let ended = |line: &Value| line["message"] == "reconciled";
        let end = until("its end", async || lines(&operator.log(), &world, "second").into_iter().find(ended)).await;
        assert_eq!((&end["span"]["outcome"], &end["span"]["step"]), (&json!("requeue_after"), &json!("Settle")));
        assert!(end["span"]["milliseconds"].is_u64(), "{end}");

        operator.signal("USR1");
        until("it says so", async || (told() == 2).then_some(())).await;
        let before = operator.log().matches("\"DEBUG\"").count();
        world.create("third", spec("third")).await;
        world.synced("third").await;
        assert_eq!(operator.log().matches("\"DEBUG\"").count(), before);
    });
}

/// A certificate for 127.0.0.1 in a directory, as a Secret would be mounted; gives it to be trusted.
fn certificate(directory: &std::path::Path) -> reqwest::Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    std::fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("tls.crt"), made.cert.pem()).unwrap();
    reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
}

#[test]
fn the_page_is_for_those_who_may_read_it_and_a_new_certificate_needs_no_restart() {
    run(async |world| {
        let (address, directory) = (free_address(), tempfile::tempdir().unwrap());
        let trusted = certificate(directory.path());
        let namespace = &world.namespace;
        let role = "metrics-reader";
        world
            .plane
            .apply(&format!(
                "
{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: may, namespace: {namespace}}}}}
---
{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: may-not, namespace: {namespace}}}}}
---
{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: {role}}}, rules: [{{nonResourceURLs: [/metrics], verbs: [get]}}]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {role}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}
subjects: [{{kind: ServiceAccount, name: may, namespace: {namespace}}}]
"
            ))
            .await
            .unwrap();
        let token = async |name: &str| {
            world.plane.kubectl_ok(&["create", "token", name, "-n", namespace]).await.unwrap().trim().to_owned()
        };
        let (may, may_not) = (token("may").await, token("may-not").await);
        let path = directory.path().to_str().unwrap();
        let operator = world
            .operator(&["--metrics-bind-address", &address, "--metrics-secure", "--metrics-cert-path", path])
            .await;
        let status = async |trusted: &reqwest::Certificate, token: Option<&str>| {
            let client = reqwest::Client::builder().tls_certs_only([trusted.clone()]).build().unwrap();
            let request = client.get(format!("https://{address}/metrics"));
            let request = token
                .map_or_else(|| request.try_clone().unwrap(), |token| request.try_clone().unwrap().bearer_auth(token));
            request.send().await.map(|answer| answer.status().as_u16())
        };
        // The operator may not ask yet: nobody may read, and the log says why.
        assert_eq!(status(&trusted, Some(&may)).await.unwrap(), 503);
        assert!(operator.log().contains("may the ServiceAccount create tokenreviews"));
        let delegate = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: orion-operator-metrics}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:auth-delegator'}
subjects: [{kind: ServiceAccount, name: orion-operator, namespace: orion-system}]
";
        world.plane.apply(delegate).await.unwrap();
        until("who may reads", async || (status(&trusted, Some(&may)).await.unwrap() == 200).then_some(())).await;
        assert_eq!(status(&trusted, Some(&may_not)).await.unwrap(), 403);
        assert_eq!(status(&trusted, Some("no-token-of-anybody")).await.unwrap(), 401);
        assert_eq!(status(&trusted, None).await.unwrap(), 401);
        assert!(reqwest::get(format!("http://{address}/metrics")).await.is_err(), "not without TLS");
        // A client that says nothing holds nobody up.
        let _silent = tokio::net::TcpStream::connect(&address).await.unwrap();
        assert_eq!(status(&trusted, Some(&may)).await.unwrap(), 200);

        let new = certificate(directory.path());
        until("the new one is served", async || matches!(status(&new, Some(&may)).await, Ok(200)).then_some(())).await;
        assert!(status(&trusted, Some(&may)).await.is_err());
        for token in [&may, &may_not] {
            assert!(!operator.log().contains(token.as_str()), "a token is in the log");
        }
    });
}
