//! Who may read the metrics page: the apiserver says whose a token is (TokenReview), and whether that one may `get` the
//! path `/metrics` (SubjectAccessReview). As controller-runtime does it, and kube-rbac-proxy before it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::warn;

/// A yes is good for so long: a right that is taken away ends with it.
const YES: Duration = Duration::from_secs(60);
/// A no is asked again sooner: a right may just have been given.
const NO: Duration = Duration::from_secs(10);
/// The longest time for one question.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions at once. Whoever sends wrong tokens must not keep the apiserver busy through us.
const AT_ONCE: usize = 4;
/// Tokens that are remembered, by their digests.
const REMEMBERED: usize = 64;

/// What the apiserver says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    May,
    /// It is known who it is, and that one may not.
    MayNot,
    Unknown,
}

impl Verdict {
    fn lasts(self) -> Duration {
        match self {
            Self::May => YES,
            Self::MayNot | Self::Unknown => NO,
        }
    }
}

/// Who may read the page.
pub struct Readers {
    client: Client,
    asking: Semaphore,
    known: Mutex<HashMap<[u8; 32], (Instant, Verdict)>>,
}

impl Readers {
    /// Those whom the apiserver lets.
    #[must_use]
    pub fn new(client: Client) -> Arc<Self> {
        Arc::new(Self { client, asking: Semaphore::new(AT_ONCE), known: Mutex::default() })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], (Instant, Verdict)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(&self, digest: &[u8; 32]) -> Option<Verdict> {
        let known = self.known().get(digest).copied();
        known.filter(|(since, verdict)| since.elapsed() < verdict.lasts()).map(|(_, verdict)| verdict)
    }

    fn remember(&self, digest: [u8; 32], verdict: Verdict) {
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.retain(|_, (since, verdict)| since.elapsed() < verdict.lasts());
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(digest, (Instant::now(), verdict));
    }

    async fn verdict(&self, token: SecretString) -> Result<Verdict, String> {
        let digest: [u8; 32] = Sha256::digest(token.expose_secret().as_bytes()).into();
        if let Some(verdict) = self.recall(&digest) {
            return Ok(verdict);
        }
        let asked = async {
            let _place = self.asking.acquire().await.ok();
            // Those who waited with the same token need not ask again.
            match self.recall(&digest) {
                Some(verdict) => Ok(verdict),
                None => self.ask(token).await.inspect(|verdict| self.remember(digest, *verdict)),
            }
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        answer.map_err(|_| "no answer in time".to_owned())?.map_err(|error| {
            if let kube::Error::Api(status) = error {
                format!("{} {}", status.code, status.reason)
            } else {
                // Its words may quote what was sent.
                "it cannot be reached, or not be understood".to_owned()
            }
        })
    }

    async fn ask(&self, token: SecretString) -> kube::Result<Verdict> {
        let spec = TokenReviewSpec { token: token.expose_secret().to_owned(), audiences: None };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = Api::<TokenReview>::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        let status = answer.status.unwrap_or_default();
        let Some(user) = status.user.filter(|_| status.authenticated == Some(true)) else {
            return Ok(Verdict::Unknown);
        };
        let review = SubjectAccessReview { spec: to_read_metrics(user), ..SubjectAccessReview::default() };
        let answer =
            Api::<SubjectAccessReview>::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        let is_allowed = answer.status.is_some_and(|status| status.allowed && status.denied != Some(true));
        Ok(if is_allowed { Verdict::May } else { Verdict::MayNot })
    }
}

fn to_read_metrics(user: UserInfo) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        user: user.username,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
        non_resource_attributes: Some(NonResourceAttributes {
            path: Some("/metrics".into()),
            verb: Some("get".into()),
        }),
        ..SubjectAccessReviewSpec::default()
    }
}

/// Lets those through who may.
pub async fn check(State(readers): State<Arc<Readers>>, request: Request, next: Next) -> Response {
    let Some(token) = bearer(request.headers()) else {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], "a bearer token is needed\n")
            .into_response();
    };
    match readers.verdict(token).await {
        Ok(Verdict::May) => next.run(request).await,
        Ok(Verdict::MayNot) => {
            (StatusCode::FORBIDDEN, "this user may not get the nonResourceURL /metrics\n").into_response()
        }
        Ok(Verdict::Unknown) => (StatusCode::UNAUTHORIZED, "the apiserver does not know this token\n").into_response(),
        Err(error) => {
            warn!(
                error,
                "cannot find out who may read /metrics: may the ServiceAccount create tokenreviews and subjectaccessreviews?"
            );
            (StatusCode::SERVICE_UNAVAILABLE, "the apiserver does not say who may read this\n").into_response()
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let is_one = scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty();
    is_one.then(|| SecretString::from(token.trim()))
}
