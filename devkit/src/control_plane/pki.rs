//! The control plane's own certificate authority, certificates and service-account keys.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// The group that Kubernetes lets do everything.
const ADMINISTRATORS: &str = "system:masters";

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Everything that the processes and their clients prove who they are with.
#[derive(Debug)]
pub(crate) struct Pki {
    pub(crate) ca: PathBuf,
    pub(crate) server: Identity,
    pub(crate) admin: Identity,
    pub(crate) controller_manager: Identity,
    pub(crate) service_account_key: PathBuf,
    pub(crate) service_account_public_key: PathBuf,
}

impl Pki {
    /// Creates all of it in `dir`, which must exist.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "orion-control-plane-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = Authority { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?, dir };

        let ca = dir.join("ca.crt");
        write_private(&ca, &authority.issuer.pem())?;
        let service_account = KeyPair::generate()?;
        let service_account_key = dir.join("service-account.key");
        write_private(&service_account_key, &service_account.serialize_pem())?;
        let service_account_public_key = dir.join("service-account.pub");
        write_private(&service_account_public_key, &service_account.public_key_pem())?;
        Ok(Self {
            ca,
            server: authority.server()?,
            admin: authority.administrator("admin")?,
            // A name of its own, so that its requests can be told apart in the audit log.
            controller_manager: authority.administrator("system:kube-controller-manager")?,
            service_account_key,
            service_account_public_key,
        })
    }
}

struct Authority<'d> {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: &'d Path,
}

impl Authority<'_> {
    fn server(&self) -> Result<Identity> {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue("apiserver", params)
    }

    fn administrator(&self, user: &str) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, ADMINISTRATORS);
        params.distinguished_name.push(DnType::CommonName, user);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(user.trim_start_matches("system:"), params)
    }

    fn issue(&self, file: &str, mut params: CertificateParams) -> Result<Identity> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let identity =
            Identity { certificate: self.dir.join(format!("{file}.crt")), key: self.dir.join(format!("{file}.key")) };
        write_private(&identity.certificate, &certificate.pem())?;
        write_private(&identity.key, &key.serialize_pem())?;
        Ok(identity)
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
