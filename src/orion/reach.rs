//! Which addresses a connection may reach.
//!
//! Who may write an OrionConnection says where the operator sends its requests, from inside of the cluster. Such a
//! connection must lead out to the public internet: not to the cloud's metadata, not to the cluster, not to the operator
//! itself. What counts is the address that is connected to, so the check is in the resolver; a name that leads elsewhere
//! the next time it is looked up does not get around it. A host that is an address is never looked up, and is checked
//! when the client is made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::transport::ConfigError;
use crate::api::Endpoint;

/// Where a connection may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere, with http as well as https: for the admin's own connection.
    Anywhere,
    /// To public addresses only, with https only, and past every proxy of the environment.
    PublicOnly,
}

impl Reach {
    /// This address may be connected to.
    #[must_use]
    pub fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::PublicOnly => is_public(address),
        }
    }

    /// What can be told of an endpoint without looking its name up.
    ///
    /// # Errors
    /// It is not https, or its host is an address that is not public.
    pub(super) fn check(self, endpoint: &Endpoint) -> Result<(), ConfigError> {
        match self {
            Self::Anywhere => Ok(()),
            Self::PublicOnly => {
                let url = Url::parse(endpoint.as_str()).map_err(|_| ConfigError::Endpoint)?;
                if url.scheme() != "https" {
                    return Err(ConfigError::NotHttps);
                }
                // The parser has read every spelling that a connector would read (`0x7f.1`, `2130706433`).
                let public = match url.host() {
                    Some(Host::Ipv4(address)) => is_public(address.into()),
                    Some(Host::Ipv6(address)) => is_public(address.into()),
                    Some(Host::Domain(_)) => true,
                    None => false,
                };
                if public { Ok(()) } else { Err(ConfigError::NotPublic) }
            }
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(a: u16, b: u16, c: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), bits)
}

/// IPv4 that is not public: what the registry of special purposes does not call globally reachable
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>), multicast, and what is public by number only.
const NOT_PUBLIC_V4: &[Ipv4Net] = &[
    v4(0, 0, 0, 0, 8),        // this network, and unspecified: RFC 791
    v4(10, 0, 0, 0, 8),       // private: RFC 1918
    v4(100, 64, 0, 0, 10),    // shared, of carriers and clouds: RFC 6598
    v4(127, 0, 0, 0, 8),      // loopback: RFC 1122
    v4(168, 63, 129, 16, 32), // Azure's platform, reached from every machine there; a public number
    v4(169, 254, 0, 0, 16),   // link-local, with the metadata of most clouds: RFC 3927
    v4(172, 16, 0, 0, 12),    // private: RFC 1918
    v4(192, 0, 0, 0, 24),     // protocol assignments: RFC 6890
    v4(192, 0, 2, 0, 24),     // documentation: RFC 5737
    v4(192, 88, 99, 0, 24),   // relays of 6to4, given up: RFC 7526
    v4(192, 168, 0, 0, 16),   // private: RFC 1918
    v4(198, 18, 0, 0, 15),    // benchmarks: RFC 2544
    v4(198, 51, 100, 0, 24),  // documentation: RFC 5737
    v4(203, 0, 113, 0, 24),   // documentation: RFC 5737
    v4(224, 0, 0, 0, 4),      // multicast: RFC 5771
    v4(240, 0, 0, 0, 4),      // reserved, and broadcast: RFC 1112, RFC 919
];

/// All of IPv6 that is given out for public use (RFC 4291). What is outside of it is not public: loopback, unspecified,
/// `::ffff:0:0/96` and `::/96` with an IPv4 inside, `64:ff9b::/96` and `64:ff9b:1::/48` (NAT64: RFC 6052, RFC 8215),
/// `100::/64` (discard: RFC 6666), `5f00::/16` (RFC 9602), `fc00::/7` (RFC 4193), `fe80::/10`, `fec0::/10`, `ff00::/8`.
/// NAT64 is refused even where the IPv4 inside is public: what the translator does with it is known to it alone.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// What is not public inside of [`GLOBAL_V6`] (<https://www.iana.org/assignments/iana-ipv6-special-registry>).
const NOT_PUBLIC_V6: &[Ipv6Net] = &[
    v6(0x2001, 0, 0, 23), // protocol assignments: RFC 2928; in it Teredo, with an IPv4 inside: RFC 4380
    v6(0x2001, 0xdb8, 0, 32), // documentation: RFC 3849
    v6(0x2002, 0, 0, 16), // 6to4, with an IPv4 inside, given up: RFC 3056, RFC 7526
    v6(0x3fff, 0, 0, 20), // documentation: RFC 9637
];

/// Everybody on the internet can be expected to find the same machine there.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => GLOBAL_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address)),
    }
}

/// A name leads to an address that is not public. Which one is not said: it would tell of the inside.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to an address that is not public")]
pub(super) struct NotPublic;

/// Looks names up, and refuses those that lead to an address that is not public.
///
/// One such address among public ones is enough: nobody has a reason to publish both, and which one is connected to
/// would be chance.
pub(super) struct PublicResolver(pub(super) Arc<dyn Resolve>);

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.0.resolve(name);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = found.await?.collect();
            if addresses.iter().any(|address| !is_public(address.ip())) {
                return Err(NotPublic.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The resolver of the system.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is that of the url, whatever is said here.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect::<Vec<_>>();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_public_or_not() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:4860:4860::8888",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "3ffe:ffff::",
            "3fff:1000::",
            "3fff:ffff::",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.96.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.0.0.53",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.0.0",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.0",
            "172.17.0.1",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.9",
            "192.0.0.170",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.255",
            "224.0.0.0",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.254",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::7f00:1",
            "::808:808",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "100:0:0:1::1",
            "1fff:ffff::",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:0:808:808::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff:ffff::",
            "2001:db8::1",
            "2001:db8:ffff::",
            "2002::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff:ffff::",
            "4000::",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_host_that_is_an_address_is_checked_however_it_is_spelled() {
        let check = |url: &str| Reach::PublicOnly.check(&Endpoint::new(url, "/v1alpha").unwrap());
        for url in [
            "https://127.0.0.1",
            "https://127.0.0.1.",
            "https://127.1",
            "https://0x7f.1",
            "https://0177.0.0.1",
            "https://2130706433",
            "https://0x7f000001",
            "https://0",
            "https://0.0.0.0:8443",
            "https://127.0.0.1:6443",
            "https://%31%32%37.0.0.1",
            "https://\u{ff11}27.0.0.1",
            "https://169.254.169.254",
            "https://10.1",
            "https://[::1]",
            "https://[::]",
            "https://[::ffff:127.0.0.1]",
            "https://[::ffff:8.8.8.8]",
            "https://[0:0:0:0:0:ffff:a9fe:a9fe]",
            "https://[64:ff9b::10.0.0.1]",
            "https://[fd00:ec2::254]",
            "https://[fe80::1]",
            "https://[2002:7f00:1::]",
        ] {
            assert!(matches!(check(url), Err(ConfigError::NotPublic)), "{url}");
        }
        for url in
            ["https://acme.example.com", "https://8.8.8.8", "https://[2606:4700:4700::1111]:8443", "https://localhost"]
        {
            check(url).unwrap();
        }
        for url in ["http://acme.example.com", "http://8.8.8.8", "http://127.0.0.1"] {
            assert!(matches!(check(url), Err(ConfigError::NotHttps)), "{url}");
            Reach::Anywhere.check(&Endpoint::new(url, "").unwrap()).unwrap();
        }
    }
}
