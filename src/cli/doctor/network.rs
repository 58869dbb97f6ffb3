//! The way to Orion, below HTTP: from what was found to lines. Pure.

use std::net::IpAddr;

use super::line::{Check, Line};
use super::names::Names;
use crate::orion::Reach;

/// What names a proxy.
const PROXIES: &str = "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY";

/// Where the first connection leads: to Orion's host, or to a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Name or address.
    pub(super) host: String,
    pub(super) port: u16,
    /// It is a proxy.
    pub(super) is_proxy: bool,
}

impl Target {
    fn setting<'a>(&self, names: &'a Names) -> &'a str {
        if self.is_proxy { PROXIES } else { names.url }
    }
}

/// Why nothing came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// Not in time.
    Timeout,
    /// The system says why.
    Failed(String),
}

/// What a look-up of the name came to.
pub(super) fn dns(target: &Target, found: &Result<Vec<IpAddr>, Missed>, reach: Reach, names: &Names) -> Line {
    let host = &target.host;
    let setting = target.setting(names);
    let why = match found {
        Ok(addresses) if addresses.iter().any(|address| !reach.admits(*address)) => {
            return Line::fail(
                Check::Dns,
                format!("{host} leads to an address that is not public, where an OrionConnection may not lead"),
                "Correct spec.url; or let an admin make it a ClusterOrionConnection, or run the operator with --allow-insecure-connections",
            );
        }
        Ok(addresses) if addresses.is_empty() => "it has no address".to_owned(),
        Ok(addresses) if host.parse::<IpAddr>().is_ok() || host.starts_with('[') => {
            return Line::ok(Check::Dns, format!("{host} is an address: there is no name to look up"));
        }
        Ok(addresses) => {
            let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            return Line::ok(Check::Dns, format!("{host} is {}", all.join(", ")));
        }
        Err(Missed::Timeout) => "no answer in time".to_owned(),
        Err(Missed::Failed(why)) => why.clone(),
    };
    Line::fail(
        Check::Dns,
        format!("the host name {host} does not resolve: {why}"),
        format!(
            "Correct the host in {setting}, or the DNS of where this runs. In a cluster a Service is NAME.NAMESPACE"
        ),
    )
}

/// What became of a connection to the port.
pub(super) fn tcp(target: &Target, found: &Result<IpAddr, Missed>, names: &Names) -> Line {
    let Target { host, port, .. } = target;
    let setting = target.setting(names);
    match found {
        Ok(address) => Line::ok(Check::Tcp, format!("port {port} at {address} takes connections")),
        Err(Missed::Timeout) => Line::fail(
            Check::Tcp,
            format!("port {port} of {host} does not answer"),
            format!("Let firewalls and NetworkPolicies pass it, or correct host and port in {setting}"),
        ),
        Err(Missed::Failed(why)) => Line::fail(
            Check::Tcp,
            format!("port {port} of {host} takes no connection: {why}"),
            format!("Correct the port in {setting}, or see that Orion runs there"),
        ),
    }
}

/// The proxy that the way leads through.
pub(super) fn proxy(host: &str, proxy: &Target, is_socks: bool) -> Line {
    let found =
        format!("calls to {host} go through {}:{}, as {PROXIES} of the environment says", proxy.host, proxy.port);
    if is_socks {
        let todo = format!("Put the address of an HTTP proxy there, or except {host} by NO_PROXY");
        return Line::fail(Check::Proxy, format!("{found}: a SOCKS proxy, which is not supported"), todo);
    }
    Line::ok(Check::Proxy, format!("{found}; NO_PROXY would except it"))
}

#[cfg(test)]
mod tests {
    use super::super::line::Status;
    use super::super::line::tests::says;
    use super::super::names::{FIELDS, FLAGS};
    use super::*;

    fn target(host: &str, is_proxy: bool) -> Target {
        Target { host: host.into(), port: 8443, is_proxy }
    }

    #[test]
    fn names_are_looked_up() {
        let addresses = |all: &[&str]| Ok(all.iter().map(|it| it.parse().unwrap()).collect());
        let failed = |why: &str| Err(Missed::Failed(why.into()));
        use Status::{Fail, Ok as Good};
        for (host, found, reach, status, words) in [
            (
                "acme.example.com",
                addresses(&["8.8.8.8", "8.8.4.4"]),
                Reach::PublicOnly,
                Good,
                &["8.8.8.8, 8.8.4.4"][..],
            ),
            ("127.0.0.1", addresses(&["127.0.0.1"]), Reach::Anywhere, Good, &["no name"]),
            (
                "acme.example.com",
                addresses(&["8.8.8.8", "10.0.0.1"]),
                Reach::PublicOnly,
                Fail,
                &["not public", "--allow-insecure"],
            ),
            ("acme.example.com", addresses(&[]), Reach::Anywhere, Fail, &["does not resolve"]),
            ("acme.example.com", Err(Missed::Timeout), Reach::Anywhere, Fail, &["in time", "--orion-url"]),
            ("acme.example.com", failed("Name or service not known"), Reach::Anywhere, Fail, &["not known"]),
        ] {
            says(&dns(&target(host, false), &found, reach, &FLAGS), status, words);
        }
        says(&dns(&target("p", true), &failed("x"), Reach::Anywhere, &FLAGS), Fail, &["HTTPS_PROXY"]);
        let inside = dns(&target("a.example", false), &addresses(&["10.0.0.7"]), Reach::PublicOnly, &FIELDS);
        assert!(!inside.found.contains("10.0.0.7"), "it would tell of the inside");
    }

    #[test]
    fn ports_are_tried() {
        use Status::{Fail, Ok as Good};
        for (found, status, words) in [
            (Ok("8.8.8.8".parse().unwrap()), Good, &["8443", "8.8.8.8"][..]),
            (Err(Missed::Timeout), Fail, &["does not answer", "NetworkPolicies", "spec.url"]),
            (Err(Missed::Failed("connection refused".into())), Fail, &["refused", "Correct the port in spec.url"]),
        ] {
            says(&tcp(&target("a.example", false), &found, &FIELDS), status, words);
        }
    }
}
