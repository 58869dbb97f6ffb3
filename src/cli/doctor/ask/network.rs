//! Name, port and certificate, one after the other, as the client of Orion would meet them.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use hyper_util::client::proxy::matcher::Matcher;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::{Host, Url};

use super::super::handshake::{self, Tls};
use super::super::line::{Check, Line, cause};
use super::super::names::Names;
use super::super::network::{self, Missed, Target};
use super::tls;
use crate::orion::{ConnectionConfig, Reach};

/// The longest time for each step.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Lines up to the first that fails, and the proxy in between.
pub(in super::super) async fn ask(config: &ConnectionConfig, names: &Names) -> (Vec<Line>, Option<String>) {
    let Some((url, host)) =
        Url::parse(config.endpoint.as_str()).ok().and_then(|url| Some((url.clone(), url.host()?.to_owned())))
    else {
        return (vec![Line::fail(Check::Connection, "the url has no host", format!("Correct {}", names.url))], None);
    };
    let proxy = proxy_of(config, &url);
    let name = proxy.as_ref().map(|proxy| format!("{}:{}", proxy.target.host, proxy.target.port));
    (way(config, &url, &host, proxy, names).await, name)
}

async fn way(config: &ConnectionConfig, url: &Url, host: &Host, proxy: Option<Proxy>, names: &Names) -> Vec<Line> {
    let own = Target { host: host.to_string(), port: url.port_or_known_default().unwrap_or(443), is_proxy: false };
    let is_proxied = proxy.is_some();
    let mut lines: Vec<Line> =
        proxy.iter().map(|proxy| network::proxy(&own.host, &proxy.target, proxy.is_socks)).collect();
    if cause(&lines).is_some() {
        return lines;
    }
    let (first, target) = match proxy {
        Some(Proxy { host, target, .. }) => (host, target),
        None => (host.clone(), own.clone()),
    };

    let addresses = resolved(&first, target.port).await;
    // Where a proxy looks names up, it is not known where they lead.
    lines.push(network::dns(&target, &addresses, config.reach, names));
    let (Ok(addresses), None) = (addresses, cause(&lines)) else { return lines };
    let connected = connect(&addresses, target.port).await;
    lines.push(network::tcp(&target, &connected.as_ref().map(|(address, _)| *address).map_err(Clone::clone), names));
    let Ok((_, stream)) = connected else { return lines };
    let found = match url.scheme() {
        "https" if is_proxied => Tls::ThroughProxy,
        "https" => tls::handshake(stream, host, config.ca_pem.as_deref()).await,
        _ => Tls::Plain,
    };
    lines.push(handshake::tls(&own.host, &found, config.ca_pem.is_some(), SystemTime::now(), names));
    lines
}

/// A proxy of the environment.
struct Proxy {
    host: Host,
    target: Target,
    is_socks: bool,
}

/// The proxy that the client takes.
fn proxy_of(config: &ConnectionConfig, url: &Url) -> Option<Proxy> {
    if !config.system_proxy || config.reach != Reach::Anywhere {
        return None;
    }
    let taken = Matcher::from_system().intercept(&url.as_str().parse().ok()?)?;
    let host = Host::parse(taken.uri().host()?).ok()?;
    let scheme = taken.uri().scheme_str().unwrap_or_default();
    let is_socks = scheme.starts_with("socks");
    let usual = match scheme {
        "https" => 443,
        _ if is_socks => 1080,
        _ => 80,
    };
    let port = taken.uri().port_u16().unwrap_or(usual);
    let target = Target { host: host.to_string(), port, is_proxy: true };
    Some(Proxy { host, target, is_socks })
}

async fn resolved(host: &Host, port: u16) -> Result<Vec<IpAddr>, Missed> {
    match host {
        Host::Ipv4(address) => Ok(vec![(*address).into()]),
        Host::Ipv6(address) => Ok(vec![(*address).into()]),
        Host::Domain(name) => match timeout(PATIENCE, lookup_host((name.as_str(), port))).await {
            Ok(Ok(found)) => {
                let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
                addresses.dedup();
                Ok(addresses)
            }
            Ok(Err(error)) => Err(Missed::Failed(told(&error))),
            Err(_) => Err(Missed::Timeout),
        },
    }
}

/// The first address that takes a connection.
async fn connect(addresses: &[IpAddr], port: u16) -> Result<(IpAddr, TcpStream), Missed> {
    let mut last = Missed::Timeout;
    for address in addresses {
        match timeout(PATIENCE, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => return Ok((*address, stream)),
            Ok(Err(error)) => last = Missed::Failed(told(&error)),
            Err(_) => last = Missed::Timeout,
        }
    }
    Err(last)
}

/// Without the number that the system has for it.
fn told(error: &io::Error) -> String {
    let kind = error.kind();
    let is_plain = matches!(
        kind,
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::TimedOut
    );
    if is_plain { kind.to_string() } else { error.to_string() }
}
