//! One handshake, with the same trust as the client of Orion has: the system's, and the CA that is given.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Host;

use super::super::handshake::{Refusal, SOON, Tls, refusal};
use super::network::PATIENCE;

/// How long a server may take to say that it wants a certificate.
const A_MOMENT: Duration = Duration::from_secs(1);
/// A time that no certificate reaches: the last second of the year 9998.
const AT_LAST: Duration = Duration::from_secs(253_370_764_799);

/// Says what a handshake comes to. Nothing is sent afterwards.
pub(super) async fn handshake(stream: TcpStream, host: &Host, ca_pem: Option<&[u8]>) -> Tls {
    match tried(stream, host, ca_pem).await {
        Ok(end) => Tls::Trusted(end),
        Err(why) => Tls::Refused(why),
    }
}

async fn tried(stream: TcpStream, host: &Host, ca_pem: Option<&[u8]>) -> Result<Option<SystemTime>, Refusal> {
    let name = match host {
        Host::Domain(name) => ServerName::try_from(name.clone())
            .map_err(|_| Refusal::Other("no certificate can be for a name of this form"))?,
        Host::Ipv4(address) => ServerName::IpAddress(IpAddr::from(std::net::IpAddr::V4(*address))),
        Host::Ipv6(address) => ServerName::IpAddress(IpAddr::from(std::net::IpAddr::V6(*address))),
    };
    let roots: Vec<CertificateDer<'static>> = match ca_pem {
        None => Vec::new(),
        Some(pem) => CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| Refusal::BadCa)?,
    };
    if ca_pem.is_some() && roots.is_empty() {
        return Err(Refusal::BadCa);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let no_trust = if ca_pem.is_some() { Refusal::BadCa } else { Refusal::NoRoots };
    let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider)).map_err(|_| no_trust)?;
    let verifier = Arc::new(verifier);
    let asked = Arc::new(Asked::default());
    let config = config(provider, &verifier, &asked).map_err(|error| refusal(&error))?;
    let mut tls = match timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name.clone(), stream)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return Err(asked.or(why(&error))),
        Err(_) => return Err(Refusal::Timeout),
    };
    // With TLS 1.3 a server says after the handshake that it must have one.
    if asked.is_so()
        && let Ok(Err(error)) = timeout(A_MOMENT, tls.read(&mut [0])).await
    {
        return Err(asked.or(why(&error)));
    }
    let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(end(&*verifier, certificates, &name))
}

/// Has no certificate of a client, and knows whether one was asked for.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl Asked {
    fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Who asked for a certificate and then breaks it off must have one.
    fn or(&self, why: Refusal) -> Refusal {
        if self.is_so() && matches!(why, Refusal::Alert | Refusal::CutOff) { Refusal::ClientCertificate } else { why }
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

fn config(provider: Arc<CryptoProvider>, verifier: &Arc<Verifier>, asked: &Arc<Asked>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let verifier: Arc<dyn ServerCertVerifier> = Arc::<Verifier>::clone(verifier);
    let asked: Arc<dyn ResolvesClientCert> = Arc::<Asked>::clone(asked);
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_client_cert_resolver(asked);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn why(error: &std::io::Error) -> Refusal {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return refusal(error);
    }
    let is_cut_off =
        matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
    if is_cut_off { Refusal::CutOff } else { Refusal::Other("the connection failed in the handshake") }
}

/// When the trust ends: who verifies is asked how it would be then. In two weeks any certificate of the chain counts, at
/// the end of all days the host's own.
fn end(
    verifier: &dyn ServerCertVerifier,
    certificates: &[CertificateDer<'_>],
    name: &ServerName<'_>,
) -> Option<SystemTime> {
    let (own, others) = certificates.split_first()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    [now + SOON, AT_LAST].into_iter().find_map(|then| {
        match verifier.verify_server_cert(own, others, name, &[], UnixTime::since_unix_epoch(then)) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                Some(SystemTime::UNIX_EPOCH + Duration::from_secs(not_after.as_secs()))
            }
            Ok(_) | Err(_) => None,
        }
    })
}
