//! Good and bad `Webhook` objects for every rule of the schema, from both sides. `tests/schema.rs` runs them without
//! a cluster, `tests/e2e_schema.rs` against a real kube-apiserver: both must come to the same verdict.

use serde_json::{Value, json};

use super::table::{Case, Table, absent, changed, object, object_of};

/// The least `Webhook` there is, with `changes` on its spec.
pub(crate) fn webhook(changes: Value) -> Value {
    let least = json!({"url": "https://hooks.example.com/orion", "userId": "user-42", "presenceName": "jobs"});
    object("Webhook", changed(least, changes))
}

/// A header with some value.
pub(crate) fn header(name: &str) -> Value {
    json!({"name": name, "value": "v"})
}

fn secret_header(name: &str, key: &str) -> Value {
    json!({"headers": [{"name": "X-A", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}]})
}

fn headers(count: usize) -> Value {
    json!({"headers": (0..count).map(|index| header(&format!("X-{index}"))).collect::<Vec<_>>()})
}

/// Every case of a creation.
pub(crate) fn cases() -> Vec<Case> {
    let mut table = Table::new(webhook);
    table.add("the least", json!({}), None);
    table.add(
        "everything",
        json!({
            "headers": [
                {"name": "X-Webhook-Secret", "valueFrom": {"secretKeyRef": {"name": "hook-secret", "key": "token"}}},
                {"name": "X-Team", "value": "data"},
            ],
            "connectionRef": {"kind": "ClusterOrionConnection", "name": "acme"},
            "deletionPolicy": "Orphan",
            "suspend": true,
            "interval": "10m",
            "adopt": {"id": "wh_123", "force": false},
        }),
        None,
    );
    url(&mut table);
    strings(&mut table);
    header_cases(&mut table);
    connection(&mut table);
    others(&mut table);
    nulls(&mut table);
    table.cases
}

fn url(table: &mut Table) {
    let long = |length: usize| json!(format!("{:x<length$}", "https://a.example/"));
    table.field(
        "url",
        "spec.url",
        &[
            json!("http://localhost"),
            json!("https://hooks.example.com:8443/a/b?c=d&e=%20#f"),
            json!("HTTPS://Hooks.Example.COM/"),
            json!("http://10.0.0.1:80"),
            json!("http://[2001:db8::1]:8080/x"),
            json!("http://[::ffff:10.0.0.1]/"),
            json!("https://a_b.example-1.com./"),
            json!("https://example.com/@user/a:b@c"),
            json!("https://example.com?to=a@example.com"),
            json!("https://example.com#a@b"),
            json!("https://example.com//double"),
            json!("https://example.com:65535/"),
            json!("https://example.com/{id}|\"^`<>"),
            long(2048),
        ],
        &[
            absent(),
            json!(""),
            json!("http:"),
            json!("http://"),
            json!("https:///x"),
            json!("https://?x"),
            json!("https://#x"),
            json!("https://:443/"),
            json!("https:/example.com"),
            json!("https:example.com"),
            json!("//example.com/"),
            json!("/orion"),
            json!("example.com"),
            json!("ftp://example.com/"),
            json!("httpss://example.com/"),
            json!("xhttps://example.com/"),
            json!(" https://example.com/"),
            json!("https://example.com/ "),
            json!("https://example.com/a b"),
            json!("https://exa mple.com/"),
            json!("https://example.com/a\tb"),
            json!("https://example.com/\n"),
            json!("https://example.com/\u{7f}"),
            json!("https://example.com/\u{0}"),
            json!("https://example.com/ä"),
            json!("https://exämple.com/"),
            json!("https:\\\\example.com\\"),
            json!("https://example.com\\@evil.example/"),
            json!("https://example.com/a\\b"),
            json!("https://user@example.com/"),
            json!("https://user:password@example.com/"),
            json!("https://:password@example.com/"),
            json!("https://@example.com/"),
            json!("https://a@b@example.com/"),
            json!("HTTP://user@example.com/"),
            json!("https://user@[::1]/"),
            json!("https://[::1/"),
            json!("https://::1/"),
            json!("https://[]/"),
            json!("https://[zz::1]/"),
            json!("https://example.com:port/"),
            json!("https://example.com:65536/"),
            json!("https://example.com:99999/"),
            json!("https://example.com:-1/"),
            json!("https://-/"),
            json!("https://./"),
            long(2049),
            json!(7),
        ],
    );
}

fn strings(table: &mut Table) {
    for (field, path) in [("userId", "spec.userId"), ("presenceName", "spec.presenceName")] {
        let good = [json!("x"), json!("x".repeat(256)), json!("ä".repeat(256)), json!("with spaces / and more")];
        table.field(field, path, &good, &[absent(), json!(""), json!("x".repeat(257)), json!(7)]);
    }
}

fn header_cases(table: &mut Table) {
    table.add("no headers", json!({"headers": []}), None);
    table.add("32 headers", headers(32), None);
    table.add("33 headers", headers(33), Some("spec.headers"));
    table.add(
        "headers of the longest names and values",
        {
            let header = |index| json!({"name": format!("{index:x>256}"), "value": "v".repeat(4096)});
            json!({"headers": (0..32).map(header).collect::<Vec<_>>()})
        },
        None,
    );
    let longest = "X".repeat(256);
    for name in ["X", "x-a", "X_a.b", "!#$%&'*+-.^_`|~09azAZ", longest.as_str(), "Content-Type", "Hosts", "X-Host"] {
        table.add(format!("header name {name}"), json!({"headers": [header(name)]}), None);
    }
    let too_long = "X".repeat(257);
    for name in [
        "",
        "X A",
        " X",
        "X ",
        "X:",
        "X\n",
        "X\tA",
        "Ü",
        "X(",
        "X)",
        "X,",
        "X/",
        "X;",
        "X<",
        "X=",
        "X>",
        "X?",
        "X@",
        "X[",
        "X\\",
        "X]",
        "X{",
        "X}",
        "\"X\"",
        too_long.as_str(),
        "Host",
        "hOST",
        "Content-Length",
        "content-length",
        "Transfer-Encoding",
        "TRANSFER-ENCODING",
        "Connection",
        "connection",
        "X-Orion-Operator-Owner",
        "x-orion-operator-owner",
    ] {
        table.add(format!("header name {name:?}"), json!({"headers": [header(name)]}), Some("spec.headers[0].name"));
    }
    table.add("a header without a name", json!({"headers": [{"value": "v"}]}), Some("spec.headers[0].name"));
    table.add("two headers", json!({"headers": [header("X-A"), header("X-B")]}), None);
    table.add("the same header twice", json!({"headers": [header("X-A"), header("X-A")]}), Some("spec.headers[1]"));
    table.add("names equal but for case", json!({"headers": [header("X-A"), header("x-a")]}), Some("spec.headers"));
    for value in ["", "v", " spaced out ", "a\tb", "!\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~", &"v".repeat(4096)] {
        table.add(format!("header value {:.20}", value), json!({"headers": [{"name": "X-A", "value": value}]}), None);
    }
    for value in ["a\nb", "a\r\nX-B: c", "a\n", "\u{0}", "\u{7f}", "\u{80}", "ä", "\u{1f512}", &"v".repeat(4097)] {
        let shown: String = value.chars().take(20).collect();
        table.add(
            format!("header value {shown:?}"),
            json!({"headers": [{"name": "X-A", "value": value}]}),
            Some("spec.headers[0].value"),
        );
    }
    let both = json!({"name": "X-A", "value": "", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    table.add("value and valueFrom", json!({"headers": [both]}), Some("spec.headers[0]"));
    table.add("neither value nor valueFrom", json!({"headers": [{"name": "X-A"}]}), Some("spec.headers[0]"));
    let from = |from: Value| json!({"headers": [{"name": "X-A", "valueFrom": from}]});
    table.add("empty valueFrom", from(json!({})), Some("spec.headers[0].valueFrom.secretKeyRef"));
    table.add(
        "no Secret name",
        from(json!({"secretKeyRef": {"key": "k"}})),
        Some("spec.headers[0].valueFrom.secretKeyRef.name"),
    );
    table.add(
        "no Secret key",
        from(json!({"secretKeyRef": {"name": "s"}})),
        Some("spec.headers[0].valueFrom.secretKeyRef.key"),
    );
    table.names("Secret", "spec.headers[0].valueFrom.secretKeyRef.name", |name| secret_header(name, "k"));
    table.keys("Secret", "spec.headers[0].valueFrom.secretKeyRef.key", |key| secret_header("s", key));
}

fn connection(table: &mut Table) {
    table.names("connection", "spec.connectionRef.name", |name| json!({"connectionRef": {"name": name}}));
    for kind in ["OrionConnection", "ClusterOrionConnection"] {
        table.add(format!("connection kind {kind}"), json!({"connectionRef": {"kind": kind, "name": "acme"}}), None);
    }
    for kind in ["", "Secret", "orionconnection", "Unknown"] {
        let spec = json!({"connectionRef": {"kind": kind, "name": "acme"}});
        table.add(format!("connection kind {kind:?}"), spec, Some("spec.connectionRef.kind"));
    }
    table.add("connection without a name", json!({"connectionRef": {}}), Some("spec.connectionRef.name"));
}

fn others(table: &mut Table) {
    table.field(
        "deletionPolicy",
        "spec.deletionPolicy",
        &[json!("Delete"), json!("Orphan")],
        &[json!(""), json!("delete"), json!("Retain"), json!("Unknown")],
    );
    table.field("suspend", "spec.suspend", &[json!(true), json!(false)], &[json!("true"), json!(1)]);
    table.field(
        "interval",
        "spec.interval",
        &[
            json!("30s"),
            json!("10m"),
            json!("1h30m"),
            json!("1.5h"),
            json!("250ms"),
            json!("0h1m"),
            json!("0.000001ms"),
            json!("999999999h"),
            json!("100s"),
        ],
        &[
            json!(""),
            json!("0s"),
            json!("0h0m"),
            json!("0.0s"),
            json!("0"),
            json!("10"),
            json!("m"),
            json!("1d"),
            json!("5us"),
            json!("-1s"),
            json!("+1s"),
            json!("1.s"),
            json!(".5s"),
            json!("1..5s"),
            json!("1 h"),
            json!(" 1s"),
            json!("1s\n"),
            json!("1S"),
            json!("0.0000001ms"),
            json!("1000000000h"),
            json!("1s".repeat(40)),
            json!(600),
        ],
    );
    let adopt = |id: &str| json!({"id": id});
    let id = |length: usize| adopt(&"a".repeat(length));
    let good = ["wh_123", "7", "_", "~", "-", "a.b", "a..", "5f0c1d2e-0000-4000-8000-000000000000"].map(adopt);
    table.field("adopt", "spec.adopt.id", &[&good[..], &[id(256), json!({"id": "a", "force": true})]].concat(), &[]);
    let bad = ["", ".", "..", ".a", "a/b", "a%2fb", "a b", "a?b", "a#b", "a\n", "ä"].map(adopt);
    table.field("adopt", "spec.adopt.id", &[], &[&bad[..], &[id(257), json!({}), json!({"force": true})]].concat());
    table.field("adopt", "spec.adopt.force", &[], &[json!({"id": "a", "force": "yes"})]);
    table.add("an unknown field", json!({"urll": "x"}), Some("spec.urll"));
    table.add(
        "an unknown field of a header",
        json!({"headers": [{"name": "X-A", "value": "", "x": 1}]}),
        Some("spec.headers[0].x"),
    );
    table.cases.push(Case {
        name: "no spec".into(),
        object: json!({"apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook", "metadata": {"name": "case"}}),
        refused_at: Some("spec"),
    });
}

/// A `null` means the same as an absent field, wherever it stands.
fn nulls(table: &mut Table) {
    for field in ["headers", "connectionRef", "deletionPolicy", "suspend", "interval", "adopt"] {
        table.add(format!("{field} null"), object_of([(field, Value::Null)]), None);
    }
    for (field, path) in [("url", "spec.url"), ("userId", "spec.userId"), ("presenceName", "spec.presenceName")] {
        table.add(format!("{field} null"), object_of([(field, Value::Null)]), Some(path));
    }
    table.add("kind null", json!({"connectionRef": {"kind": null, "name": "acme"}}), None);
    table.add("force null", json!({"adopt": {"id": "a", "force": null}}), None);
    table.add("valueFrom null", json!({"headers": [{"name": "X-A", "value": "v", "valueFrom": null}]}), None);
    let value_null = json!({"name": "X-A", "value": null, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    table.add("value null", json!({"headers": [value_null]}), None);
    table.add(
        "both null",
        json!({"headers": [{"name": "X-A", "value": null, "valueFrom": null}]}),
        Some("spec.headers[0]"),
    );
    table.add("a header null", json!({"headers": [null]}), Some("spec.headers[0]"));
}
