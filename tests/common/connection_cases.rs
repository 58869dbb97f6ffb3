//! Good and bad connections for every rule of their schemas, from both sides. `tests/schema.rs` runs them without a
//! cluster, `tests/e2e_schema.rs` against a real kube-apiserver: both must come to the same verdict.

use serde_json::{Value, json};

use super::namespace_cases::{allowed_namespaces, selectors};
use super::table::{Case, Table, UpdateCase, absent, changed, object, object_of};

fn least() -> Value {
    json!({"url": "https://acme.example.com", "auth": {"tokenSecretRef": {"name": "orion", "key": "token"}}})
}

/// The least `OrionConnection` there is, with `changes` on its spec.
pub(crate) fn connection(changes: Value) -> Value {
    object("OrionConnection", changed(least(), changes))
}

/// The least `ClusterOrionConnection` there is, with `changes` on its spec.
pub(crate) fn cluster_connection(changes: Value) -> Value {
    object("ClusterOrionConnection", changed(least(), changes))
}

/// Every field that both kinds have.
fn everything() -> Value {
    json!({
        "url": "https://acme.example.com:8443/",
        "pathPrefix": "/v1alpha",
        "auth": {"passwordSecretRef": {
            "name": "orion", "usernameKey": "username", "passwordKey": "password", "scopes": ["analyst"],
            "loginPath": "/v1alpha/auth/login",
        }},
        "caSecretRef": {"name": "orion-ca", "key": "ca.crt"},
        "timeout": "10s",
        "rateLimit": {"requestsPerSecond": 20, "burst": 40},
        "ownership": "Header",
    })
}

/// Every case of the creation of an `OrionConnection`.
pub(crate) fn cases() -> Vec<Case> {
    let mut table = Table::new(connection);
    common(&mut table);
    // These are fields of the other kind.
    table.add("adoption", json!({"adoption": "Allow"}), Some("spec.adoption"));
    table.add("allowedNamespaces", json!({"allowedNamespaces": [{"name": "a"}]}), Some("spec.allowedNamespaces"));
    table.cases
}

/// Every case of the creation of a `ClusterOrionConnection`.
pub(crate) fn cluster_cases() -> Vec<Case> {
    let mut table = Table::new(cluster_connection);
    common(&mut table);
    table.field(
        "adoption",
        "spec.adoption",
        &[json!("Deny"), json!("Allow"), Value::Null],
        &[json!(""), json!("allow"), json!("Unknown"), json!(true)],
    );
    allowed_namespaces(&mut table);
    selectors(&mut table);
    table.add("a namespace for Secrets", json!({"secretNamespace": "kube-system"}), Some("spec.secretNamespace"));
    table.cases
}

/// Every case of an update of an `OrionConnection`: nothing of it is immutable.
pub(crate) fn update_cases() -> Vec<UpdateCase> {
    updates(connection, json!({}))
}

/// Every case of an update of a `ClusterOrionConnection`, likewise.
pub(crate) fn cluster_update_cases() -> Vec<UpdateCase> {
    updates(cluster_connection, json!({"adoption": "Allow", "allowedNamespaces": [{"selector": {}}]}))
}

fn updates(build: fn(Value) -> Value, more: Value) -> Vec<UpdateCase> {
    let whole = || build(changed(everything(), more.clone()));
    let bad = || build(json!({"url": "https://acme.example.com/v1alpha"}));
    [
        ("everything may be added", build(json!({})), whole(), None),
        ("everything may be taken away", whole(), build(json!({})), None),
        ("an update is checked like a create", build(json!({})), bad(), Some("spec.url")),
    ]
    .into_iter()
    .map(|(name, old, new, refused_at)| UpdateCase { name, old, new, refused_at })
    .collect()
}

fn common(table: &mut Table) {
    table.add("the least", json!({}), None);
    table.add("everything", everything(), None);
    url(table);
    paths(table);
    auth(table);
    secrets(table);
    others(table);
    for field in ["pathPrefix", "caSecretRef", "timeout", "rateLimit", "ownership"] {
        table.add(format!("{field} null"), object_of([(field, Value::Null)]), None);
    }
    for (field, path) in [("url", "spec.url"), ("auth", "spec.auth")] {
        table.add(format!("{field} null"), object_of([(field, Value::Null)]), Some(path));
    }
}

fn url(table: &mut Table) {
    let long = |length: usize| json!(format!("https://{}", "x".repeat(length - 8)));
    table.field(
        "url",
        "spec.url",
        &[
            json!("https://acme.example.com"),
            json!("https://acme.example.com/"),
            json!("http://orion.orion.svc"),
            json!("http://localhost:8000/"),
            json!("HTTPS://Acme.Example.COM:8443"),
            json!("https://10.0.0.1:443"),
            json!("https://[2001:db8::1]:8443/"),
            json!("https://acme.example.com:65535"),
            long(2048),
        ],
        &[
            absent(),
            json!(""),
            json!("acme.example.com"),
            json!("//acme.example.com"),
            json!("ftp://acme.example.com"),
            json!("https://"),
            json!("https:///"),
            json!("https://:443"),
            json!("https://acme.example.com/v1alpha"),
            json!("https://acme.example.com//"),
            json!("https://acme.example.com?"),
            json!("https://acme.example.com?a=b"),
            json!("https://acme.example.com/?a=b"),
            json!("https://acme.example.com#"),
            json!("https://acme.example.com/#a"),
            json!("https://user@acme.example.com"),
            json!("https://user:password@acme.example.com/"),
            json!("https://@acme.example.com"),
            json!("https://acme.example.com:port"),
            json!("https://acme.example.com:65536"),
            json!("https://acme.example.com:99999/"),
            json!("https://acme.example.com:-1"),
            json!("https://acme.example.com\\@evil.example"),
            json!("https://acme.example.com\\"),
            json!("https://acme.example.com /"),
            json!("https://acme.example.com\n"),
            json!("https://äcme.example.com"),
            json!("https://[::1"),
            long(2049),
            json!(7),
        ],
    );
}

fn paths(table: &mut Table) {
    let long = |length: usize| json!(format!("/{}", "x".repeat(length - 1)));
    let good = [
        json!("/v1alpha"),
        json!("/v1alpha/"),
        json!("/a"),
        json!("/a//b"),
        json!("/a.b/..c/d.."),
        json!("/%20:@!$&'()*+,;=~"),
        long(256),
    ];
    let bad = [
        json!(""),
        json!("/"),
        json!("v1alpha"),
        json!("//evil.example"),
        json!("///"),
        json!("/\\evil.example"),
        json!("/a\\b"),
        json!("/?a"),
        json!("/a?b"),
        json!("/#a"),
        json!("/a#b"),
        json!("https://evil.example/a"),
        json!("/\n/evil.example"),
        json!("/\t/evil.example"),
        json!("/a\n"),
        json!("/a b"),
        json!("/ä"),
        json!("/."),
        json!("/.."),
        json!("/a/../b"),
        json!("/a/."),
        json!("/%2e%2E/b"),
        json!("/.%2e"),
        long(257),
        json!(7),
    ];
    table.field("pathPrefix", "spec.pathPrefix", &good, &bad);
    let login = |path| password(json!({"loginPath": path}));
    table.values("loginPath", "spec.auth.passwordSecretRef.loginPath", &good, &bad, login);
}

/// A password's Secret, with `changes` on it.
fn password(changes: Value) -> Value {
    let reference = changed(json!({"name": "orion"}), changes);
    json!({"auth": {"passwordSecretRef": reference}})
}

fn auth(table: &mut Table) {
    let (token, login) = (json!({"name": "orion", "key": "token"}), json!({"name": "orion"}));
    for (auth, refused_at) in [
        (absent(), Some("spec.auth")),
        (json!({}), Some("spec.auth")),
        (json!({"tokenSecretRef": null}), Some("spec.auth")),
        (json!({"tokenSecretRef": null, "passwordSecretRef": null}), Some("spec.auth")),
        (json!({"tokenSecretRef": token, "passwordSecretRef": login}), Some("spec.auth")),
        (json!({"tokenSecretRef": token, "passwordSecretRef": null}), None),
        (json!({"tokenSecretRef": null, "passwordSecretRef": login}), None),
        (json!({"tokenSecretRef": token}), None),
        (json!({"passwordSecretRef": login}), None),
        // Credentials themselves have no place here, and no other namespace can be named.
        (json!({"token": "t"}), Some("spec.auth.token")),
        (
            json!({"tokenSecretRef": {"name": "orion", "key": "token", "namespace": "kube-system"}}),
            Some("spec.auth.tokenSecretRef.namespace"),
        ),
        (
            json!({"passwordSecretRef": {"name": "orion", "namespace": "kube-system"}}),
            Some("spec.auth.passwordSecretRef.namespace"),
        ),
    ] {
        table.add(format!("auth {auth}"), object_of([("auth", auth)]), refused_at);
    }
    let scopes = |count: usize| json!(vec!["analyst"; count]);
    table.values(
        "scopes",
        "spec.auth.passwordSecretRef.scopes",
        &[
            json!([]),
            json!(["analyst", "webhooks:write"]),
            json!(["!#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~"]),
            scopes(32),
            json!(["x".repeat(256)]),
            Value::Null,
        ],
        &[
            json!([""]),
            json!(["a b"]),
            json!(["a\"b"]),
            json!(["a\\b"]),
            json!(["ä"]),
            json!(["a\n"]),
            scopes(33),
            json!("a"),
        ],
        |scopes| password(json!({ "scopes": scopes })),
    );
    for scope in [json!("x".repeat(257)), json!(7), Value::Null] {
        let (name, changes) = (format!("scope {scope:.20}"), password(json!({"scopes": [scope]})));
        table.add(name, changes, Some("spec.auth.passwordSecretRef.scopes[0]"));
    }
}

fn secrets(table: &mut Table) {
    let token = |name: Value, key: Value| {
        let reference = changed(json!({}), json!({"name": name, "key": key}));
        json!({"auth": {"tokenSecretRef": reference}})
    };
    let ca = |name: Value, key: Value| {
        let reference = changed(json!({}), json!({"name": name, "key": key}));
        json!({ "caSecretRef": reference })
    };
    table.names("token Secret", "spec.auth.tokenSecretRef.name", |name| token(json!(name), json!("k")));
    table.keys("token Secret", "spec.auth.tokenSecretRef.key", |key| token(json!("s"), json!(key)));
    table.names("CA Secret", "spec.caSecretRef.name", |name| ca(json!(name), json!("k")));
    table.keys("CA Secret", "spec.caSecretRef.key", |key| ca(json!("s"), json!(key)));
    table.names("password Secret", "spec.auth.passwordSecretRef.name", |name| password(json!({ "name": name })));
    table.keys("username", "spec.auth.passwordSecretRef.usernameKey", |key| password(json!({ "usernameKey": key })));
    table.keys("password", "spec.auth.passwordSecretRef.passwordKey", |key| password(json!({ "passwordKey": key })));
    table.add("keys null", password(json!({"usernameKey": null, "passwordKey": null, "loginPath": null})), None);
    for (what, changes, path) in [
        ("token Secret without a name", token(absent(), json!("k")), "spec.auth.tokenSecretRef.name"),
        ("token Secret without a key", token(json!("s"), absent()), "spec.auth.tokenSecretRef.key"),
        ("CA Secret without a name", ca(absent(), json!("k")), "spec.caSecretRef.name"),
        ("CA Secret without a key", ca(json!("s"), absent()), "spec.caSecretRef.key"),
        ("password Secret without a name", password(json!({"name": absent()})), "spec.auth.passwordSecretRef.name"),
    ] {
        table.add(what, changes, Some(path));
    }
}

fn others(table: &mut Table) {
    table.field(
        "timeout",
        "spec.timeout",
        &[json!("1s"), json!("30s"), json!("1000ms"), json!("1.5s"), json!("0.5m"), json!("0m10s"), json!("10s500ms")],
        &[
            json!(""),
            json!("0s"),
            json!("999ms"),
            json!("0.999999s"),
            json!("30.000001s"),
            json!("31s"),
            json!("1m"),
            json!("999999999h"),
            json!("10"),
            json!("s"),
            json!("-10s"),
            json!("1d"),
            json!("10000000us"),
            json!(" 10s"),
            json!("10s\n"),
            json!("0s".repeat(30) + "10s00"),
            json!(10),
        ],
    );
    table.add("a timeout too long to read", json!({"timeout": "0s".repeat(31) + "10s"}), Some("spec.timeout"));
    let limit = |rate: Value, burst: Value| {
        let limit = changed(json!({}), json!({"requestsPerSecond": rate, "burst": burst}));
        json!({ "rateLimit": limit })
    };
    let good = [json!(1), json!(10_000)];
    let bad = [json!(0), json!(-1), json!(10_001), json!(0.5), json!("20"), absent(), Value::Null];
    let rate = |value| limit(value, json!(40));
    table.values("requestsPerSecond", "spec.rateLimit.requestsPerSecond", &good, &bad, rate);
    table.values("burst", "spec.rateLimit.burst", &good, &bad, |value| limit(json!(20), value));
    table.field(
        "ownership",
        "spec.ownership",
        &[json!("Header"), json!("None")],
        &[json!(""), json!("header"), json!("Unknown"), json!(false)],
    );
    table.add("an unknown field", json!({"urll": "x"}), Some("spec.urll"));
    let mut no_spec = connection(json!({}));
    no_spec["kind"] = table_kind(table);
    no_spec.as_object_mut().unwrap().remove("spec");
    table.cases.push(Case { name: "no spec".into(), object: no_spec, refused_at: Some("spec") });
}

fn table_kind(table: &Table) -> Value {
    table.cases[0].object["kind"].clone()
}

/// Connections, each with the one complaint about it as a person reads it.
pub(crate) fn complaints() -> Vec<(Value, &'static str, &'static str)> {
    let rule = |rule: Value| json!({ "allowedNamespaces": [rule] });
    let requirement = |requirement: Value| rule(json!({"selector": {"matchExpressions": [requirement]}}));
    [
        (
            json!({"url": "acme.example.com"}),
            "spec.url",
            "must be an absolute http or https URL with a host, like https://acme.example.com",
        ),
        (
            json!({"url": "https://user:password@acme.example.com"}),
            "spec.url",
            "must not hold a user or password; put credentials into the Secret that auth names",
        ),
        (
            json!({"url": "https://acme.example.com/v1alpha"}),
            "spec.url",
            "must be scheme, host and port only, like https://acme.example.com; a path belongs into pathPrefix",
        ),
        (
            json!({"pathPrefix": "//evil.example"}),
            "spec.pathPrefix",
            "must be a path that starts with one slash and holds no ?, # or backslash",
        ),
        (
            json!({"pathPrefix": "/a/../b"}),
            "spec.pathPrefix",
            "must not hold spaces, control characters or characters outside ASCII (percent-encode them), nor the \
             segments . and ..",
        ),
        (json!({"auth": {}}), "spec.auth", "must have exactly one of tokenSecretRef and passwordSecretRef"),
        (json!({"timeout": "31s"}), "spec.timeout", "must be between 1s and 30s"),
        (
            json!({"timeout": "ten seconds"}),
            "spec.timeout",
            "must be a duration like 30s, 10m or 1h30m: numbers of at most 9 digits with the units ms, s, m and h",
        ),
        (
            password(json!({"scopes": ["a b"]})),
            "spec.auth.passwordSecretRef.scopes",
            "must be scopes: printable ASCII without spaces, double quotes and backslashes",
        ),
        (rule(json!({})), "spec.allowedNamespaces[0]", "must have exactly one of name and selector"),
        (
            rule(json!({"name": "team-*"})),
            "spec.allowedNamespaces[0].name",
            "must be the name of a namespace: lower-case letters, digits and - only, with a letter or digit at both ends",
        ),
        (
            requirement(json!({"key": "a", "operator": "NotIn"})),
            "spec.allowedNamespaces[0].selector.matchExpressions[0]",
            "must have values where the operator is In or NotIn, and none where it is Exists or DoesNotExist",
        ),
        (
            requirement(json!({"key": "-a", "operator": "Exists"})),
            "spec.allowedNamespaces[0].selector.matchExpressions[0].key",
            "must be the key of a label, like team or example.com/team",
        ),
    ]
    .map(|(changes, field, words)| (cluster_connection(changes), field, words))
    .into()
}
