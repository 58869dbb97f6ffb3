//! Name, port and certificate, one after the other, as the client of Orion would meet them.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use hyper_util::client::proxy::matcher::Matcher;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::{Host, Url};

use super::super::line::{Check, Line, cause};
use super::super::names::Names;
use super::super::network::{self, Missed, Target, Tls};
use super::tls;
use crate::orion::{ConnectionConfig, Reach};

/// The longest time for each step.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Lines up to the first that fails.
pub(in super::super) async fn ask(config: &ConnectionConfig, names: &Names) -> Vec<Line> {
    let Some((url, host)) =
        Url::parse(config.endpoint.as_str()).ok().and_then(|url| Some((url.clone(), url.host()?.to_owned())))
    else {
        return vec![Line::fail(Check::Connection, "the url has no host", format!("Correct {}", names.url))];
    };
    let own = Target { host: host.to_string(), port: url.port_or_known_default().unwrap_or(443), is_proxy: false };
    let proxy = proxy_of(config, &url);
    let mut lines: Vec<Line> =
        proxy.iter().map(|(_, proxy)| network::proxy(&own.host, &format!("{}:{}", proxy.host, proxy.port))).collect();
    let (first, target) = proxy.clone().unwrap_or((host.clone(), own.clone()));

    let addresses = resolved(&first, target.port).await;
    // Where a proxy looks names up, it is not known where they lead.
    lines.push(network::dns(&target, &addresses, config.reach, names));
    let (Ok(addresses), None) = (addresses, cause(&lines)) else { return lines };
    let connected = connect(&addresses, target.port).await;
    lines.push(network::tcp(&target, &connected.as_ref().map(|(address, _)| *address).map_err(Clone::clone), names));
    let Ok((_, stream)) = connected else { return lines };
    let found = match (url.scheme(), &proxy) {
        ("https", None) => tls::handshake(stream, &host, config.ca_pem.as_deref()).await,
        ("https", Some(_)) => Tls::ThroughProxy,
        _ => Tls::Plain,
    };
    lines.push(network::tls(&own.host, &found, config.ca_pem.is_some(), SystemTime::now(), names));
    lines
}

/// The proxy that the client takes.
fn proxy_of(config: &ConnectionConfig, url: &Url) -> Option<(Host, Target)> {
    if !config.system_proxy || config.reach != Reach::Anywhere {
        return None;
    }
    let taken = Matcher::from_system().intercept(&url.as_str().parse().ok()?)?;
    let host = Host::parse(taken.uri().host()?).ok()?;
    let usual = match taken.uri().scheme_str() {
        Some("https") => 443,
        Some(scheme) if scheme.starts_with("socks") => 1080,
        Some(_) | None => 80,
    };
    let port = taken.uri().port_u16().unwrap_or(usual);
    Some((host.clone(), Target { host: host.to_string(), port, is_proxy: true }))
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
pub(super) fn told(error: &io::Error) -> String {
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
