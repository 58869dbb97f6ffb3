//! What the tests share: a place with files, what was found, certificates and odd servers.

use std::process::Output;
use std::sync::Arc;

use devkit::sim::{Config, Sim};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, ServerConfig};

pub(crate) const TOKEN: &str = "t0ken-of-the-tests-5d1e";
pub(crate) const PASSWORD: &str = "pass-w0rd-of-the-tests-77b0";

/// A place with the files that flags name, and no kubeconfig.
pub(crate) struct Place(pub(crate) tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (name, content) in [("token", TOKEN), ("wrong", "another-t0ken"), ("user", "ada"), ("password", PASSWORD)] {
            place.file(name, content);
        }
        place
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        if !content.is_empty() {
            std::fs::write(&path, content).unwrap();
        }
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.file(name, "")
    }

    pub(crate) async fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        self.command(args).envs(env.iter().copied()).output().await.unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"));
        command.arg("doctor").args(args).env("HOME", self.0.path());
        for name in ["KUBECONFIG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_ascii_lowercase());
        }
        command
    }

    /// At this Orion with a good token.
    pub(crate) async fn look(&self, url: &str, more: &[&str]) -> Found {
        let token = self.path("token");
        self.look_with(url, &[&["--orion-token-file", &token][..], more].concat()).await
    }

    pub(crate) async fn look_with(&self, url: &str, more: &[&str]) -> Found {
        let args = [&["--orion-url", url, "--orion-rate-limit", "0", "--output", "json"][..], more].concat();
        Found::new(&self.run(&args, &[]).await)
    }
}

/// What was found.
pub(crate) struct Found {
    pub(crate) code: Option<i32>,
    pub(crate) all: Value,
}

impl Found {
    pub(crate) fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (told, errors) = (text(&output.stdout), text(&output.stderr));
        for secret in [TOKEN, PASSWORD, "another-t0ken"] {
            assert!(!told.contains(secret) && !errors.contains(secret), "{secret} is told: {told}{errors}");
        }
        let all = serde_json::from_str(&told).unwrap_or_else(|_| panic!("no JSON: {told}{errors}"));
        Self { code: output.status.code(), all }
    }

    pub(crate) fn lines(&self) -> Vec<(String, String, String)> {
        let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let line = |line: &Value| {
            (text(line, "check"), text(line, "status"), format!("{} -> {}", text(line, "found"), text(line, "todo")))
        };
        self.all["checks"].as_array().unwrap().iter().map(line).collect()
    }

    #[track_caller]
    pub(crate) fn says(&self, check: &str, status: &str, words: &[&str]) -> &Self {
        let all = self.lines();
        let is_it = |line: &&(String, String, String)| {
            line.0 == check && line.1 == status && words.iter().all(|word| line.2.contains(word))
        };
        assert!(all.iter().any(|line| is_it(&line)), "no {check} {status} {words:?}: {all:#?}");
        self
    }

    /// The first failure is this one, and says what to do.
    #[track_caller]
    pub(crate) fn fails(&self, check: &str, words: &[&str]) -> &Self {
        let all = self.lines();
        let first = all.iter().find(|line| line.1 == "fail").unwrap_or_else(|| panic!("nothing fails: {all:#?}"));
        assert_eq!(first.0, check, "{all:#?}");
        assert!(!first.2.ends_with("-> "), "it says what to do: {first:?}");
        self.says(check, "fail", words);
        assert_eq!((self.code, &self.all["ok"]), (Some(1), &json!(false)), "{all:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn passes(&self) -> &Self {
        assert_eq!((self.code, &self.all["ok"]), (Some(0), &json!(true)), "{:#?}", self.lines());
        self
    }
}

pub(crate) async fn sim(change: impl FnOnce(&mut Config)) -> Sim {
    let mut config = Config {
        static_tokens: vec![TOKEN.into()],
        username: "ada".into(),
        password: PASSWORD.into(),
        ..Config::default()
    };
    change(&mut config);
    Sim::start(config).await.unwrap()
}

/// A certificate for `name`, valid between these days from now, of a CA; and the CA.
pub(crate) fn certificate(name: &str, days: (i64, i64)) -> (ServerConfig, String) {
    let (root, ca) = authority("a root", None, 1000);
    served(name, days, &root, Vec::new(), ca)
}

/// The same with an authority in between, which ends in so many days.
pub(crate) fn certificate_below(name: &str, between: i64) -> (ServerConfig, String) {
    let (root, ca) = authority("a root", None, 1000);
    let (issuer, pem) = authority("in between", Some(&root), between);
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    served(name, (-10, 1000), &issuer, vec![der], ca)
}

type Authority = rcgen::Issuer<'static, rcgen::KeyPair>;

/// An authority and its certificate, signed by another one or by itself.
fn authority(name: &str, by: Option<&Authority>, days: i64) -> (Authority, String) {
    let mut own = rcgen::CertificateParams::new(Vec::new()).unwrap();
    own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    own.distinguished_name.push(rcgen::DnType::CommonName, name);
    between(&mut own, -20, days);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = match by {
        Some(by) => own.signed_by(&key, by),
        None => own.self_signed(&key),
    };
    let pem = certificate.unwrap().pem();
    (rcgen::Issuer::new(own, key), pem)
}

fn served(
    name: &str,
    days: (i64, i64),
    issuer: &Authority,
    above: Vec<CertificateDer<'static>>,
    ca: String,
) -> (ServerConfig, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut own = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    between(&mut own, days.0, days.1);
    let chain = [vec![own.signed_by(&key, issuer).unwrap().der().clone()], above].concat();
    (with_certificate(server(), chain, &key), ca)
}

/// A certificate that signs itself, that of an authority or not, with these names.
pub(crate) fn self_signed(names: &[&str], is_authority: bool) -> (ServerConfig, String) {
    let mut own =
        rcgen::CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    own.is_ca =
        if is_authority { rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained) } else { rcgen::IsCa::ExplicitNoCa };
    between(&mut own, -10, 100);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = own.self_signed(&key).unwrap();
    let pem = certificate.pem();
    (with_certificate(server(), vec![certificate.der().clone()], &key), pem)
}

/// A server that wants a certificate of who calls, with this version of TLS.
pub(crate) fn wanting_one(version: &'static rustls::SupportedProtocolVersion) -> (ServerConfig, String) {
    let (root, ca) = authority("a root", None, 1000);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    between(&mut own, -10, 100);
    let chain = vec![own.signed_by(&key, &root).unwrap().der().clone()];
    (with_certificate(builder.with_client_cert_verifier(clients.unwrap()), chain, &key), ca)
}

type Builder = rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>;

fn server() -> Builder {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_no_client_auth()
}

fn with_certificate(builder: Builder, chain: Vec<CertificateDer<'static>>, key: &rcgen::KeyPair) -> ServerConfig {
    builder.with_single_cert(chain, key.serialize_der().try_into().unwrap()).unwrap()
}

/// So many days from now: year, month and day.
fn day(days: i64) -> (i32, u8, u8) {
    let day = jiff::Zoned::now().checked_add(jiff::Span::new().days(days)).unwrap();
    (day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs())
}

fn between(own: &mut rcgen::CertificateParams, from: i64, to: i64) {
    let at = |(year, month, day)| rcgen::date_time_ymd(year, month, day);
    (own.not_before, own.not_after) = (at(day(from)), at(day(to)));
}

/// TLS in front of a simulator: its url.
pub(crate) async fn in_front_of(sim: &Sim, config: ServerConfig) -> String {
    let (acceptor, behind) = (TlsAcceptor::from(Arc::new(config)), sim.url().replace("http://", ""));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(stream).await else { return };
                let mut orion = TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut tls, &mut orion).await;
            });
        }
    });
    url
}

/// A server that answers every request so.
pub(crate) async fn answering(headers: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n{headers}\r\n[]");
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    url
}
