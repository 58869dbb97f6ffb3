//! `/metrics` over TLS (`--metrics-secure`), with a certificate that may change while it is served.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use secrecy::zeroize::Zeroizing;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The files are looked at so often: a rotation needs no restart.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A certificate and its key, from a directory with `tls.crt` and `tls.key` as a Secret of the type kubernetes.io/tls has
/// them.
pub struct Certificate {
    directory: PathBuf,
    served: Arc<Served>,
}

/// What is served at this moment.
#[derive(Debug)]
struct Served(RwLock<Arc<CertifiedKey>>);

impl Served {
    fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

async fn read(directory: &Path) -> io::Result<CertifiedKey> {
    let file = async |name: &str| {
        let path = directory.join(name);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        tokio::fs::read(&path).await.map_err(named)
    };
    // The words of who reads them could quote the files.
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", directory.display()));
    let (chain, key) = (file("tls.crt").await?, Zeroizing::new(file("tls.key").await?));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|_| wrong("tls.crt holds no certificate in PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| wrong("tls.key holds no private key in PEM"))?;
    let provider = CryptoProvider::get_default().ok_or_else(|| wrong("there is no TLS provider"))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|_| wrong("tls.crt and tls.key do not belong together"))
}

impl Certificate {
    /// Reads it.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub async fn read(directory: &Path) -> io::Result<Self> {
        let served = Arc::new(Served(RwLock::new(Arc::new(read(directory).await?))));
        Ok(Self { directory: directory.to_owned(), served })
    }

    fn acceptor(&self) -> TlsAcceptor {
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.served) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config).into()
    }

    /// Takes what changes. What cannot be read, or is half-way, is looked at again: the one of before is served on.
    async fn follow(self) {
        let mut is_told = false;
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            match read(&self.directory).await {
                Ok(found) => {
                    is_told = false;
                    if found.cert != self.served.get().cert {
                        *self.served.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
                        info!("the certificate of the metrics page is another one now");
                    }
                }
                Err(error) if !std::mem::replace(&mut is_told, true) => {
                    warn!(%error, "the certificate of the metrics page cannot be read: the one of before is served on");
                }
                Err(_) => {}
            }
        }
    }
}

/// Serves over TLS until stopped.
pub async fn serve(listener: TcpListener, certificate: Certificate, router: Router, stop: CancellationToken) {
    let listener = tls_listener::TlsListener::new(certificate.acceptor(), listener);
    tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()) => {
            if let Err(error) = served {
                error!(%error, "the server of the metrics page ended");
            }
        }
        () = certificate.follow() => {}
    }
}
