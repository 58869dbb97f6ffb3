//! `orion-operator doctor` names the cause, at a simulated Orion and without a cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cli_doctor {
    pub(crate) mod support;
    mod write;
}

use devkit::sim::{Action, Config, Fault, HeaderValues, OpenApi, Operation, Sim, StoredWebhook};
use orion_operator::api::{InstanceId, OWNER_HEADER};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::rustls;

use cli_doctor::support::{
    Found, Place, answering, certificate, certificate_below, in_front_of, self_signed, sim, wanting_one,
};

fn reads_only(sim: &Sim) {
    let changes: Vec<_> = sim.requests().into_iter().filter(|request| request.method != "GET").collect();
    assert!(changes.iter().all(|request| request.operation == Operation::Login), "{changes:?}");
}

fn webhook() -> StoredWebhook {
    StoredWebhook::new("https://hooks.example.com/t0p-path", "user-42", "jobs")
}

#[tokio::test]
async fn a_good_orion_passes() {
    let (place, sim) = (Place::new(), sim(|_| {}).await);
    let marker = InstanceId::new("another").owner("a", "b");
    sim.insert(webhook().header("X-Team", "data").header(OWNER_HEADER, marker.as_str()));
    let found = place.look(&sim.url(), &[]).await;
    found.passes();
    for (check, status, words) in [
        ("dns", "ok", "is an address"),
        ("tcp", "ok", "takes connections"),
        ("tls", "warn", "http"),
        ("http", "ok", "openapi.json"),
        ("clock", "ok", "within 30 s"),
        ("login", "ok", "accepts the token"),
        ("api", "ok", "1 webhook at http://127.0.0.1"),
        ("list", "ok", "openapi.json"),
        ("get", "ok", ""),
        ("update", "ok", "PUT"),
        ("delete", "ok", "DELETE"),
        ("rate-limit", "ok", "no header"),
        ("headers", "ok", "shown"),
        ("marker", "ok", "1 of 1"),
        ("cluster", "skipped", "no kubeconfig"),
    ] {
        found.says(check, status, &[words]);
    }
    assert!(!found.all.to_string().contains("t0p-path"));
    reads_only(&sim);

    let text = place.run(&["--orion-url", &sim.url(), "--orion-token-file", &place.path("token")], &[]).await;
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("\nok      login      Orion accepts the token\n"), "{text}");
    assert!(text.ends_with("Nothing failed, 1 warning\n") && !text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn a_wrong_host_or_port_is_named() {
    let place = Place::new();
    let found = place.look("https://orion.nowhere.invalid", &[]).await;
    found.fails("dns", &["orion.nowhere.invalid does not resolve", "--orion-url"]);
    found.says("tcp", "skipped", &["needs dns"]).says("login", "skipped", &["needs dns"]);

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let found = place.look(&format!("http://{free}"), &[]).await;
    found.fails("tcp", &["connection refused", "Correct the port in --orion-url"]);
    found.says("api", "skipped", &["needs tcp"]);

    // Something else listens there.
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = other.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = other.accept().await {
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"220 mail.example.com ESMTP\r\n").await;
            });
        }
    });
    place.look(&format!("https://{at}"), &[]).await.fails("tls", &["does not speak TLS", "port"]);
    place.look(&format!("http://{at}"), &[]).await.fails("http", &["is not HTTP", "port"]);
}

#[tokio::test]
async fn a_wrong_path_is_named() {
    let (place, sim) = (Place::new(), sim(|_| {}).await);
    let found = place.look(&sim.url(), &["--orion-path-prefix", "/v2"]).await;
    found.fails("api", &["/v2/webhooks/ (404)", "Put /v1alpha into --orion-path-prefix"]);
    sim.config(|config| config.openapi = OpenApi::Off);
    let found = place.look(&sim.url(), &["--orion-path-prefix", "/v2"]).await;
    found.passes().says(
        "api",
        "warn",
        &["/v2/webhooks/ (404)", "or this Orion cannot list webhooks", "Correct --orion-path-prefix"],
    );
    let (user, password) = (place.path("user"), place.path("password"));
    let files = ["--orion-username-file", user.as_str(), "--orion-password-file", password.as_str()];
    let login = [&files[..], &["--orion-login-path", "/v1alpha/login"]];
    place.look_with(&sim.url(), &login.concat()).await.fails("login", &["no login at this path", "--orion-login-path"]);
    sim.add_fault(Fault::everywhere(Action::redirect("https://elsewhere.example.com/")));
    place.look(&sim.url(), &[]).await.fails("api", &["redirect"]);
}

#[tokio::test]
async fn wrong_credentials_are_named() {
    let (place, sim) = (Place::new(), sim(|_| {}).await);
    let found = place.look_with(&sim.url(), &["--orion-token-file", &place.path("wrong")]).await;
    found.fails("login", &["does not accept the credentials", "401", "--orion-token-file"]);
    found.says("api", "skipped", &["needs login"]);
    place.look_with(&sim.url(), &[]).await.fails("login", &["none are given", "--orion-token-file"]);
    let gone = place.path("gone");
    place.look_with(&sim.url(), &["--orion-token-file", &gone]).await.fails("login", &["does not exist"]);

    let (user, good, wrong) = (place.path("user"), place.path("password"), place.path("wrong"));
    let files = |password| ["--orion-username-file", user.as_str(), "--orion-password-file", password];
    let found = place.look_with(&sim.url(), &files(wrong.as_str())).await;
    found.fails("login", &["does not accept the username and password", "--orion-password-file"]);
    found.says("http", "ok", &[]);
    place.look_with(&sim.url(), &files(good.as_str())).await.passes().says("login", "ok", &["username and password"]);

    sim.add_fault(Fault::on(Operation::List, Action::status(403)));
    place.look(&sim.url(), &[]).await.fails("api", &["does not allow", "right"]).says("login", "ok", &["accepts"]);
    sim.clear_faults();
    sim.add_fault(Fault::on(Operation::List, Action::status(500)));
    place.look(&sim.url(), &[]).await.fails("api", &["500", "who runs Orion"]);
    sim.clear_faults();
    sim.add_fault(Fault::everywhere(Action::status(503)));
    place.look(&sim.url(), &[]).await.fails("http", &["503"]);
}

/// A refusal in the form of a gateway is not Orion's word about the credentials.
#[tokio::test]
async fn what_is_in_front_of_orion_is_not_taken_for_it() {
    let (place, sim) = (Place::new(), sim(|_| {}).await);
    let answers = |operation, status, body: &str| {
        let content_type = if body.starts_with('{') { "application/json" } else { "text/html" }.to_owned();
        sim.clear_faults();
        sim.add_fault(Fault::on(operation, Action::Answer { status, content_type, body: body.into(), effect: false }));
    };
    let (json, html) = (r#"{"detail":"no"}"#, "<html>no</html>");
    answers(Operation::List, 403, json);
    place.look(&sim.url(), &[]).await.fails("api", &["the right to list"]).says("login", "ok", &["accepts the token"]);
    place.look_with(&sim.url(), &[]).await.fails("login", &["none are given (403)", "Give --orion-token-file"]);
    answers(Operation::List, 403, html);
    let found = place.look(&sim.url(), &[]).await;
    found.fails("api", &["something in front of Orion refuses"]).says("login", "skipped", &["not shown"]);
    answers(Operation::List, 401, html);
    place.look(&sim.url(), &[]).await.fails("login", &["something in front of it", "gateway"]);
    let (user, password) = (place.path("user"), place.path("password"));
    let files = ["--orion-username-file", user.as_str(), "--orion-password-file", password.as_str()];
    for (body, is_in_front) in [(json, false), (html, true)] {
        answers(Operation::Login, 401, body);
        let found = place.look_with(&sim.url(), &files).await;
        found.fails("login", &["does not accept the username and password"]);
        let told = found.all.to_string();
        assert_eq!(told.contains("something in front of it"), is_in_front, "{told}");
    }
}

#[tokio::test]
async fn a_post_only_api_is_named() {
    for openapi in [OpenApi::Root, OpenApi::Off] {
        let place = Place::new();
        let lacking = |config: &mut Config| {
            (config.list, config.get, config.put, config.patch, config.delete) = (false, false, false, false, false);
            config.openapi = openapi;
        };
        let sim = sim(lacking).await;
        let found = place.look(&sim.url(), &["--write"]).await;
        found.passes().says("list", "warn", &["POST-only API", "CreateUnresolved"]);
        found.says("api", "ok", &["cannot be listed"]).says("write", "skipped", &["might stay"]);
        if openapi == OpenApi::Root {
            found.says("delete", "warn", &["DeleteUnsupported"]).says("update", "warn", &["UpdateUnsupported"]);
        }
        reads_only(&sim);
    }
}

#[tokio::test]
async fn masked_headers_are_named() {
    let (place, sim) = (Place::new(), sim(|config| config.header_values = HeaderValues::Masked).await);
    place.look(&sim.url(), &[]).await.passes().says("headers", "skipped", &["--write"]);
    sim.insert(webhook().header("X-Webhook-Secret", "s3cret-of-a-webhook"));
    let found = place.look(&sim.url(), &[]).await;
    found.passes().says("headers", "warn", &["masks the values"]).says("marker", "skipped", &["--write"]);
    assert!(!found.all.to_string().contains("s3cret"));
    let written = place.look(&sim.url(), &["--write"]).await;
    written.passes().says("marker", "warn", &["masks the owner marker", "CreateUnresolved"]);
    written.says("write", "ok", &["read back, changed"]).says("cleanup", "ok", &["is gone"]);
    assert_eq!(sim.webhooks().len(), 1);
}

#[tokio::test]
async fn without_a_document_only_what_was_seen_is_said() {
    let (place, sim) = (Place::new(), sim(|config| config.openapi = OpenApi::Off).await);
    sim.insert(webhook());
    let found = place.look(&sim.url(), &[]).await;
    found.passes().says("list", "ok", &["it has shown"]).says("get", "ok", &["it has shown"]);
    found.says("update", "skipped", &["not tried"]).says("delete", "skipped", &["not tried"]);
    let refused = place.look(&sim.url(), &["--write"]).await;
    refused.passes().says("write", "skipped", &["might stay", "--even-if-it-stays"]);
    reads_only(&sim);
    let written = place.look(&sim.url(), &["--write", "--even-if-it-stays"]).await;
    written.passes().says("update", "ok", &["it has shown"]).says("delete", "ok", &["it has shown"]);
    reads_only_but_for_one(&sim);
    // What stays is not to be deleted by a DELETE that is not there.
    sim.config(|config| config.delete = false);
    let stays = place.look(&sim.url(), &["--write", "--even-if-it-stays"]).await;
    stays.fails("cleanup", &["is left at Orion", "405", "presence name orion-operator-doctor-"]);
    assert!(!stays.all.to_string().contains("curl"), "{:#?}", stays.lines());
}

fn reads_only_but_for_one(sim: &Sim) {
    assert_eq!((sim.count(Operation::Create), sim.count(Operation::Delete), sim.webhooks().len()), (1, 1, 1));
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_named() {
    let (place, sim) = (Place::new(), sim(|_| {}).await);
    for (name, days, given, check) in [
        ("localhost", (-10, 100), true, None),
        ("localhost", (-10, 5), true, Some(("warn", "ends soon"))),
        (
            "localhost",
            (-10, 100),
            false,
            Some(("fail", "private one -> Give the certificate of that CA (PEM) by --orion-ca-file")),
        ),
        ("localhost", (-10, -3), true, Some(("fail", "has expired: 20"))),
        ("localhost", (3, 100), true, Some(("fail", "not valid yet: 20"))),
        ("orion.example.com", (-10, 100), true, Some(("fail", "for another name: orion.example.com ->"))),
    ] {
        let (config, ca) = certificate(name, days);
        let (url, ca_file) = (in_front_of(&sim, config).await, place.file("ca", &ca));
        let more: &[&str] = if given { &["--orion-ca-file", &ca_file] } else { &[] };
        let found = place.look(&url, more).await;
        match check {
            None => drop(found.passes().says("tls", "ok", &["trusted, until"])),
            Some(("warn", words)) => drop(found.passes().says("tls", "warn", &[words, "renew"])),
            Some((_, words)) => drop(found.fails("tls", &[words]).says("http", "skipped", &["needs tls"])),
        }
    }
    let (config, ca) = certificate_below("localhost", 5);
    let (url, ca_file) = (in_front_of(&sim, config).await, place.file("ca", &ca));
    place.look(&url, &["--orion-ca-file", &ca_file]).await.passes().says("tls", "warn", &["ends soon"]);
    let (config, _) = certificate("localhost", (-10, 100));
    let url = in_front_of(&sim, config).await;
    let (_, renewed) = certificate("localhost", (-10, 100));
    let mut other = rcgen::CertificateParams::new(Vec::new()).unwrap();
    other.distinguished_name.push(rcgen::DnType::CommonName, "another CA");
    let other = other.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
    for (content, words) in [
        (renewed.as_str(), "one of the same name with another key"),
        (other.as_str(), "not signed by the CA in --orion-ca-file"),
        ("no certificate", "no certificate in PEM"),
    ] {
        let file = place.file("other", content);
        place.look(&url, &["--orion-ca-file", &file]).await.fails("tls", &[words]);
    }
    let gone = place.path("gone");
    place.look(&url, &["--orion-ca-file", &gone]).await.fails("connection", &["--orion-ca-file"]);
    // None where there is TLS, in two kinds of answer.
    let (config, _) = certificate("localhost", (-10, 100));
    let url = in_front_of(&sim, config).await.replace("https:", "http:");
    place.look(&url, &[]).await.fails("http", &["may speak TLS: put https into --orion-url"]);
    sim.add_fault(Fault::everywhere(Action::Answer {
        status: 400,
        content_type: "text/html".into(),
        body: "The plain HTTP request was sent to HTTPS port".into(),
        effect: false,
    }));
    place.look(&sim.url(), &[]).await.fails("api", &["may speak TLS: put https into --orion-url"]);
    sim.clear_faults();
    // TLS where there is none.
    let found = place.look(&sim.url().replace("http:", "https:"), &[]).await;
    found.fails("tls", &["port"]);
}

#[tokio::test]
async fn certificates_of_beginners_are_named() {
    let (place, sim) = (Place::new(), sim(|_| {}).await);
    for (names, is_authority, words) in [
        (&["localhost"][..], true, Some("is that of a CA, as `openssl req -x509` makes it")),
        (&[], false, Some("it has no subjectAltName")),
        // As the advice says.
        (&["localhost"], false, None),
    ] {
        let (config, own) = self_signed(names, is_authority);
        let (url, ca_file) = (in_front_of(&sim, config).await, place.file("ca", &own));
        let found = place.look(&url, &["--orion-ca-file", &ca_file]).await;
        match words {
            Some(words) => drop(found.fails("tls", &[words])),
            None => drop(found.passes()),
        }
    }
    for version in rustls::ALL_VERSIONS {
        let (config, ca) = wanting_one(version);
        let (url, ca_file) = (in_front_of(&sim, config).await, place.file("ca", &ca));
        place.look(&url, &["--orion-ca-file", &ca_file]).await.fails("tls", &["wants a certificate of who calls"]);
    }
}

#[tokio::test]
async fn clocks_and_limits_are_told() {
    let place = Place::new();
    let date = |seconds: i64| {
        let time = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    for (seconds, status, words) in [(-120, "warn", "behind"), (120, "warn", "ahead of"), (5, "ok", "within 30 s")] {
        let url =
            answering(format!("date: {}\r\nX-RateLimit-Limit: 100\r\nratelimit-policy: 7;w=1\r\n", date(seconds)))
                .await;
        let found = place.look(&url, &[]).await;
        found.passes().says("clock", status, &[words]);
        found.says("rate-limit", "ok", &["x-ratelimit-limit: 100", "ratelimit-policy: 7;w=1"]);
    }
    let url = answering(String::new()).await;
    place.look(&url, &[]).await.passes().says("clock", "skipped", &["no Date"]).says(
        "rate-limit",
        "ok",
        &["no header"],
    );
}

#[tokio::test]
async fn a_proxy_is_told() {
    let place = Place::new();
    let (url, token) = (answering(String::new()).await, place.path("token"));
    let args = ["--orion-url", "http://orion.nowhere.invalid", "--orion-token-file", &token, "--output", "json"];
    let found = Found::new(&place.run(&args, &[("HTTP_PROXY", &url)]).await);
    found.passes().says("proxy", "ok", &["go through 127.0.0.1:"]).says("dns", "ok", &["127.0.0.1"]);
    let found = Found::new(&place.run(&args, &[("HTTP_PROXY", "http://127.0.0.1:9")]).await);
    found.fails("tcp", &["port 9", "ALL_PROXY"]);
    let found = Found::new(&place.run(&args, &[("ALL_PROXY", "socks5h://127.0.0.1:9")]).await);
    found.fails("proxy", &["127.0.0.1:9", "SOCKS", "not supported", "NO_PROXY"]).says(
        "dns",
        "skipped",
        &["needs proxy"],
    );
    // A proxy that lets nothing pass.
    let args = ["--orion-url", "https://orion.nowhere.invalid", "--orion-token-file", &token, "--output", "json"];
    let refusing = sim(|_| {}).await;
    refusing.add_fault(Fault::everywhere(Action::status(403)));
    let found = Found::new(&place.run(&args, &[("HTTPS_PROXY", &refusing.url())]).await);
    found.fails("http", &["the proxy 127.0.0.1:", "NO_PROXY"]);
}

#[tokio::test]
async fn wrong_usage_and_a_cluster_that_is_not_there_are_told() {
    let place = Place::new();
    let code = async |args: &[&str]| place.run(args, &[]).await.status.code();
    for args in [
        &["--orion-token-file", "x"][..],
        &["--orion-url", "ftp://x"],
        &["--connection", "a/b/c"],
        &["--service-account", "x"],
        &["--user-id", "x"],
        &["--orion-url", "http://127.0.0.1:9", "--orion-username-file", "x"],
    ] {
        assert_eq!(code(args).await, Some(2), "{args:?}");
    }
    let found = Found::new(&place.run(&["--output", "json"], &[]).await);
    found.passes().says("connection", "skipped", &["--orion-url"]).says("cluster", "skipped", &["no kubeconfig"]);
    let gone = place.path("gone");
    for more in [&["--kubeconfig", gone.as_str()][..], &["--service-account", "a/b"]] {
        let found = Found::new(&place.run(&[&["--output", "json"][..], more].concat(), &[]).await);
        found.fails("cluster", &["--kubeconfig"]);
    }
    // One that is named and cannot be used is not one that is not there.
    let broken = place.file("broken", "clusters: [");
    for (file, words) in [(&gone, "No such file"), (&broken, "parse")] {
        let found = Found::new(&place.run(&["--output", "json"], &[("KUBECONFIG", file)]).await);
        found.passes().says("cluster", "warn", &[words, "$KUBECONFIG"]);
        let asked = ["--output", "json", "--connection", "acme"];
        Found::new(&place.run(&asked, &[("KUBECONFIG", file)]).await).fails("cluster", &[words]);
    }
    // One that is found by the usual rules may be of yesterday: that fails only what asks for it.
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}], "users": [{"name": "a", "user": {}}],
        "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:9"}}],
    });
    let (file, asked) = (place.file("kubeconfig", &kubeconfig.to_string()), ["--output", "json"]);
    let found = Found::new(&place.run(&asked, &[("KUBECONFIG", &file)]).await);
    found.passes().says("cluster", "warn", &["cannot be reached", "$KUBECONFIG"]);
    let found = Found::new(&place.run(&asked, &[("ORION_OPERATOR_KUBECONFIG", &file)]).await);
    found.fails("cluster", &["cannot be reached", "--kubeconfig"]);
    let found = Found::new(&place.run(&["--output", "json", "--connection", "team-a/acme"], &[]).await);
    found.fails("cluster", &["no cluster"]);
    found.says("connection", "skipped", &["needs cluster"]).says("login", "skipped", &["needs cluster"]);
}

/// The example of the page is what comes out, but for names, addresses and ports.
#[tokio::test]
async fn the_page_shows_what_is_printed() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).unwrap();
    let example = page.split("$ orion-operator doctor").nth(1).unwrap().split_once('\n').unwrap().1;
    let example = example.split("```").next().unwrap();
    let (place, sim) = (Place::new(), sim(|_| {}).await);
    let (config, _) = certificate("localhost", (-10, 100));
    let url = in_front_of(&sim, config).await;
    let output = place.run(&["--orion-url", &url, "--orion-token-file", &place.path("token")], &[]).await;
    let told = String::from_utf8(output.stdout).unwrap().replace("localhost", "acme.example.com");
    let without_addresses = |text: &str| -> Vec<String> {
        let has_some = |line: &str| ["ok      dns", "ok      tcp"].iter().any(|check| line.starts_with(check));
        let word = |line: &str| if has_some(line) { line.chars().take(12).collect() } else { line.to_owned() };
        text.lines().map(word).collect()
    };
    assert_eq!(without_addresses(&told), without_addresses(example));
}

/// `script` gives the program a terminal.
#[tokio::test]
async fn colours_are_for_terminals_that_want_them() {
    let place = Place::new();
    let doctor = format!("'{}' doctor", env!("CARGO_BIN_EXE_orion-operator"));
    let on_a_terminal = |no_color: Option<&str>| {
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &doctor, "/dev/null"]).env("HOME", place.0.path()).env("TERM", "xterm-256color");
        script.env_remove("KUBECONFIG").env_remove("CI").env_remove("NO_COLOR");
        script.envs(no_color.map(|value| ("NO_COLOR", value))).output()
    };
    let Ok(coloured) = on_a_terminal(None) else {
        println!("skipped: colours_are_for_terminals_that_want_them: there is no script(1)");
        return;
    };
    assert!(coloured.stdout.contains(&0x1b), "{}", String::from_utf8_lossy(&coloured.stdout));
    let plain = on_a_terminal(Some("1")).unwrap();
    let text = String::from_utf8_lossy(&plain.stdout);
    assert!(text.contains("Nothing failed") && !plain.stdout.contains(&0x1b), "{text}");
}
