//! What a TLS handshake shows of Orion's certificate: from what was found to a line. Pure.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError as Certificate};

use super::line::{Check, Line};
use super::names::Names;

/// A certificate that ends sooner is worth a word.
pub(super) const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// What a TLS handshake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// The url is http.
    Plain,
    /// It is done with the proxy in between, by the first call.
    ThroughProxy,
    /// The certificate is trusted, and ends then, where that can be told.
    Trusted(Option<SystemTime>),
    /// It is not, or there was no handshake.
    Refused(Refusal),
}

/// Why there is no TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Expired(Option<SystemTime>),
    NotYetValid(Option<SystemTime>),
    UnknownIssuer,
    /// It is signed by a CA that has the name of a trusted one, and another key.
    OtherKey,
    /// It is for these names.
    OtherName(Vec<String>),
    /// It is for no name: a common name does not count.
    NoName,
    /// It is that of an authority itself.
    OfAnAuthority,
    Revoked,
    /// It is not for servers.
    OtherPurpose,
    /// It is signed, or has a key, as nobody should today.
    Outdated,
    /// A client must show a certificate too.
    ClientCertificate,
    /// What answers there broke it off, without saying why.
    Alert,
    NotTls,
    CutOff,
    Timeout,
    /// There is nothing to trust on this machine.
    NoRoots,
    /// The CA that is given is none.
    BadCa,
    Other(&'static str),
}

/// What an error of the handshake means.
#[expect(clippy::wildcard_enum_match_arm, reason = "only what a person can act on has words of its own")]
pub(super) fn refusal(error: &rustls::Error) -> Refusal {
    use rustls::Error;
    let at = |time: &rustls::pki_types::UnixTime| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs()));
    match error {
        Error::InvalidCertificate(Certificate::Expired) => Refusal::Expired(None),
        Error::InvalidCertificate(Certificate::ExpiredContext { not_after, .. }) => Refusal::Expired(at(not_after)),
        Error::InvalidCertificate(Certificate::NotValidYet) => Refusal::NotYetValid(None),
        Error::InvalidCertificate(Certificate::NotValidYetContext { not_before, .. }) => {
            Refusal::NotYetValid(at(not_before))
        }
        Error::InvalidCertificate(Certificate::UnknownIssuer) => Refusal::UnknownIssuer,
        Error::InvalidCertificate(Certificate::BadSignature) => Refusal::OtherKey,
        Error::InvalidCertificate(Certificate::NotValidForName) => Refusal::OtherName(Vec::new()),
        Error::InvalidCertificate(Certificate::NotValidForNameContext { presented, .. }) => {
            let names: Vec<String> = presented.iter().filter_map(|name| plain(name)).collect();
            if names.is_empty() { Refusal::NoName } else { Refusal::OtherName(names) }
        }
        Error::InvalidCertificate(Certificate::Revoked) => Refusal::Revoked,
        Error::InvalidCertificate(Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. }) => {
            Refusal::OtherPurpose
        }
        Error::InvalidCertificate(
            Certificate::UnsupportedSignatureAlgorithmContext { .. }
            | Certificate::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => Refusal::Outdated,
        Error::InvalidCertificate(Certificate::Other(rustls::OtherError(why))) => match why.downcast_ref() {
            Some(webpki::Error::CaUsedAsEndEntity) => Refusal::OfAnAuthority,
            // Version 1 has no names.
            Some(webpki::Error::UnsupportedCertVersion) => Refusal::NoName,
            Some(_) | None => Refusal::Other("its certificate is not valid"),
        },
        Error::InvalidCertificate(Certificate::BadEncoding) => Refusal::Other("its certificate cannot be read"),
        Error::InvalidCertificate(_) => Refusal::Other("its certificate is not valid"),
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::NoCertificate) => {
            Refusal::ClientCertificate
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            Refusal::Other("what answers there does not know this name")
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            Refusal::Other("what answers there speaks no TLS 1.2 or 1.3 that is safe")
        }
        Error::AlertReceived(_) => Refusal::Alert,
        Error::InvalidMessage(_) => Refusal::NotTls,
        _ => Refusal::Other("the handshake failed"),
    }
}

/// A name as people write it: rustls gives `DnsName("a.example")` and `IpAddress(192.0.2.1)`. Nothing for what is neither.
fn plain(name: &str) -> Option<String> {
    let inner = name.strip_prefix("DnsName(").or_else(|| name.strip_prefix("IpAddress("))?.strip_suffix(')')?;
    Some(inner.trim_matches('"').to_owned())
}

/// What the handshake shows. `has_ca`: a CA is given.
pub(super) fn tls(host: &str, found: &Tls, has_ca: bool, now: SystemTime, names: &Names) -> Line {
    let check = Check::Tls;
    let Names { url, ca, .. } = names;
    let renew = "Let who runs Orion renew its certificate";
    match found {
        Tls::Plain => Line::warn(
            check,
            "none: the url is http, so everybody on the way can read the credentials",
            format!("Put https into {url}, where Orion has it"),
        ),
        Tls::ThroughProxy => Line::skipped(check, "through the proxy, so it is part of the first call"),
        Tls::Trusted(None) => Line::ok(check, "the certificate is trusted"),
        Tls::Trusted(Some(end)) if *end < now + SOON => {
            Line::warn(check, format!("the certificate is trusted, but ends soon: {}", told(*end)), renew)
        }
        Tls::Trusted(Some(end)) => Line::ok(check, format!("the certificate is trusted, until {}", told(*end))),
        Tls::Refused(why) => {
            let (found, todo) = refused(host, why, has_ca, url, ca);
            Line::fail(check, found, todo)
        }
    }
}

fn refused(host: &str, why: &Refusal, has_ca: bool, url: &str, ca: &str) -> (String, String) {
    let renew = "Let who runs Orion renew its certificate; if it is newer than that, set the clock of this machine";
    let since = |time: &Option<SystemTime>| time.map(|time| format!(": {}", told(time))).unwrap_or_default();
    match why {
        Refusal::Expired(end) => (format!("the certificate of {host} has expired{}", since(end)), renew.into()),
        Refusal::NotYetValid(begin) => (
            format!("the certificate of {host} is not valid yet{}", since(begin)),
            "Set the clock of this machine, or wait".into(),
        ),
        Refusal::UnknownIssuer if has_ca => (
            format!("the certificate of {host} is not signed by the CA in {ca}, nor by one that this machine trusts"),
            format!("Put the certificate of the CA that signs Orion's into {ca}"),
        ),
        Refusal::UnknownIssuer => (
            format!("the certificate of {host} is signed by a CA that nobody knows here: a private one"),
            format!("Give the certificate of that CA (PEM) by {ca}"),
        ),
        Refusal::OtherKey => (
            format!(
                "the certificate of {host} is not signed by the CA that is trusted here, but by one of the same name with another key"
            ),
            format!("If that CA was made anew, put its new certificate into {ca}"),
        ),
        Refusal::OtherName(names) => {
            let theirs = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
            (
                format!("the certificate of {host} is for another name{theirs}"),
                format!("Put a name that it is for into {url}, or let who runs Orion make one for {host}"),
            )
        }
        Refusal::NoName => (
            format!(
                "the certificate of {host} is for no name: it has no subjectAltName, and a common name does not count"
            ),
            format!("Let who runs Orion make one with the subjectAltName {host}"),
        ),
        Refusal::OfAnAuthority => (
            format!(
                "the certificate of {host} is that of a CA, as `openssl req -x509` makes it: it cannot be a server's too"
            ),
            format!(
                "Let who runs Orion make one for {host} that is none (basicConstraints CA:FALSE), signed by itself or by a CA, and give what signs it by {ca}"
            ),
        ),
        Refusal::Revoked => (format!("the certificate of {host} is revoked"), "Let who runs Orion renew it".into()),
        Refusal::OtherPurpose => (
            format!("the certificate of {host} is not for servers"),
            "Let who runs Orion make one with the extendedKeyUsage serverAuth".into(),
        ),
        Refusal::Outdated => (
            format!("the certificate of {host} is signed in a way that is not trusted any more"),
            "Let who runs Orion make one with SHA-256, and an RSA key of 2048 bits or an ECDSA key".into(),
        ),
        Refusal::ClientCertificate => (
            format!("{host} wants a certificate of who calls (mTLS), and the operator has none to show"),
            format!("Let who runs Orion give an address without that, and put it into {url}"),
        ),
        Refusal::Alert => (
            format!("{host} broke the handshake off"),
            format!("Correct host and port in {url}, or let who runs Orion look why: its log says so, as a rule"),
        ),
        Refusal::NotTls => (
            "what answers there does not speak TLS".into(),
            format!("Correct the port in {url}, or put http in place of https if it is meant to be without TLS"),
        ),
        Refusal::CutOff => (
            "the connection was closed in the middle of the handshake".into(),
            format!(
                "Correct the port in {url}; or does something on the way want a client certificate, or another name?"
            ),
        ),
        Refusal::Timeout => ("there was no answer to the handshake".into(), format!("Correct the port in {url}")),
        Refusal::NoRoots => (
            "this machine has no certificates to trust".into(),
            format!("Install the package ca-certificates, or give a CA by {ca}"),
        ),
        Refusal::BadCa => ("the CA holds no certificate in PEM".into(), format!("Put one into {ca}")),
        Refusal::Other(why) => (
            format!("no trusted TLS connection to {host}: {why}"),
            "Let who runs Orion look at its certificate and at its TLS".into(),
        ),
    }
}

/// A time, for people.
pub(super) fn told(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| "unknown".into(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{ServerName, UnixTime};

    use super::super::line::Status;
    use super::super::line::tests::says;
    use super::super::names::{FIELDS, FLAGS};
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn handshakes_are_told() {
        use Status::{Fail, Ok as Good, Skipped, Warn};
        let now = at(1_000_000_000);
        let refused = Tls::Refused;
        for (found, status, words) in [
            (Tls::Plain, Warn, &["http", "--orion-url"][..]),
            (Tls::ThroughProxy, Skipped, &["proxy"]),
            (Tls::Trusted(None), Good, &["trusted"]),
            (Tls::Trusted(Some(now + SOON)), Good, &["until 2001-09-23 01:46 UTC"]),
            (Tls::Trusted(Some(now + SOON - Duration::from_secs(1))), Warn, &["ends soon", "renew"]),
            (refused(Refusal::Expired(Some(at(0)))), Fail, &["has expired: 1970-01-01", "renew", "clock"]),
            (refused(Refusal::Expired(None)), Fail, &["has expired"]),
            (refused(Refusal::NotYetValid(Some(at(0)))), Fail, &["not valid yet: 1970", "clock"]),
            (refused(Refusal::UnknownIssuer), Fail, &["private", "--orion-ca-file"]),
            (refused(Refusal::OtherKey), Fail, &["another key", "--orion-ca-file"]),
            (refused(Refusal::OtherName(vec!["b.example".into()])), Fail, &["another name: b.example"]),
            (refused(Refusal::OtherName(vec![])), Fail, &["another name ->"]),
            (refused(Refusal::NotTls), Fail, &["does not speak TLS", "port"]),
            (refused(Refusal::CutOff), Fail, &["middle of the handshake"]),
            (refused(Refusal::Timeout), Fail, &["no answer to the handshake"]),
            (refused(Refusal::NoRoots), Fail, &["ca-certificates"]),
            (refused(Refusal::BadCa), Fail, &["no certificate in PEM", "--orion-ca-file"]),
            (refused(Refusal::NoName), Fail, &["no subjectAltName", "subjectAltName a.example"]),
            (refused(Refusal::OfAnAuthority), Fail, &["is that of a CA", "CA:FALSE", "--orion-ca-file"]),
            (refused(Refusal::Revoked), Fail, &["revoked"]),
            (refused(Refusal::OtherPurpose), Fail, &["serverAuth"]),
            (refused(Refusal::Outdated), Fail, &["SHA-256"]),
            (refused(Refusal::ClientCertificate), Fail, &["mTLS", "--orion-url"]),
            (refused(Refusal::Alert), Fail, &["broke the handshake off"]),
            (refused(Refusal::Other("odd")), Fail, &["odd"]),
        ] {
            says(&tls("a.example", &found, false, now, &FLAGS), status, words);
        }
        let other_ca = tls("a.example", &refused(Refusal::UnknownIssuer), true, now, &FIELDS);
        says(&other_ca, Fail, &["not signed by the CA in spec.caSecretRef"]);
    }

    #[test]
    fn errors_of_the_handshake_have_their_meaning() {
        use rustls::Error as E;
        let time = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expected = ServerName::try_from("a.example").unwrap();
        let other = |why| E::InvalidCertificate(Certificate::Other(rustls::OtherError(std::sync::Arc::new(why))));
        for (error, meaning) in [
            (E::InvalidCertificate(Certificate::Expired), Refusal::Expired(None)),
            (
                E::InvalidCertificate(Certificate::ExpiredContext { time: time(9), not_after: time(7) }),
                Refusal::Expired(Some(at(7))),
            ),
            (E::InvalidCertificate(Certificate::NotValidYet), Refusal::NotYetValid(None)),
            (
                E::InvalidCertificate(Certificate::NotValidYetContext { time: time(5), not_before: time(7) }),
                Refusal::NotYetValid(Some(at(7))),
            ),
            (E::InvalidCertificate(Certificate::UnknownIssuer), Refusal::UnknownIssuer),
            (E::InvalidCertificate(Certificate::BadSignature), Refusal::OtherKey),
            (E::InvalidCertificate(Certificate::NotValidForName), Refusal::OtherName(vec![])),
            (
                E::InvalidCertificate(Certificate::NotValidForNameContext {
                    expected: expected.clone(),
                    presented: vec![
                        r#"DnsName("b.example")"#.into(),
                        r#"UniformResourceIdentifier("spiffe://x")"#.into(),
                        "IpAddress(192.0.2.1)".into(),
                    ],
                }),
                Refusal::OtherName(vec!["b.example".into(), "192.0.2.1".into()]),
            ),
            (
                E::InvalidCertificate(Certificate::NotValidForNameContext { expected, presented: vec![] }),
                Refusal::NoName,
            ),
            (other(webpki::Error::CaUsedAsEndEntity), Refusal::OfAnAuthority),
            (other(webpki::Error::UnsupportedCertVersion), Refusal::NoName),
            (other(webpki::Error::PathLenConstraintViolated), Refusal::Other("its certificate is not valid")),
            (E::InvalidCertificate(Certificate::BadEncoding), Refusal::Other("its certificate cannot be read")),
            (E::InvalidCertificate(Certificate::Revoked), Refusal::Revoked),
            (E::InvalidCertificate(Certificate::InvalidPurpose), Refusal::OtherPurpose),
            (E::AlertReceived(AlertDescription::CertificateRequired), Refusal::ClientCertificate),
            (E::AlertReceived(AlertDescription::HandshakeFailure), Refusal::Alert),
            (E::InvalidMessage(rustls::InvalidMessage::InvalidContentType), Refusal::NotTls),
            (E::General("odd".into()), Refusal::Other("the handshake failed")),
        ] {
            assert_eq!(refusal(&error), meaning);
        }
    }
}
