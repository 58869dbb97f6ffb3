//! Answers: polite ones as data, and the ways in which they can go wrong on the wire.

use std::{convert::Infallible, io, time::Duration};

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    fault::{Action, BodyKind, ErrorAnswer},
    server::Hangup,
    state::Answered,
};

/// What a proxy in front of a broken server shows.
const PROXY_PAGE: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
    <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
/// Even a stalled answer ends some day.
const LONGEST_STALL: Duration = Duration::from_secs(120);

/// A whole answer.
pub(super) type Answer = Response<Bytes>;

/// A status and a body of some type.
pub(super) fn answer(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    set(&mut answer, header::CONTENT_TYPE, content_type);
    answer
}

/// A status and a JSON body.
pub(super) fn json(status: StatusCode, body: &Value) -> Answer {
    answer(status, "application/json", body.to_string())
}

/// `{"detail": …}`, as FastAPI answers errors.
pub(super) fn detail(status: StatusCode, detail: impl Into<Value>) -> Answer {
    json(status, &json!({"detail": detail.into()}))
}

/// A status without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

/// A redirect without a body.
pub(super) fn redirect(status: StatusCode, location: &str) -> Answer {
    let mut answer = empty(status);
    set(&mut answer, header::LOCATION, location);
    answer
}

/// Sets a header; a value that HTTP cannot carry is left out.
pub(super) fn set(answer: &mut Answer, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// The number as a status, or 500: a fault may ask for any number.
pub(super) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What goes over the wire.
#[derive(Debug)]
pub(super) enum Fate {
    Whole(Answer),
    CutOff(Answer),
    Stalled(Answer),
    Lost(Hangup),
}

impl Fate {
    /// What a fault answers in place of the effect; none if the effect takes place.
    pub(super) fn instead(action: Option<&Action>) -> Option<Self> {
        match action? {
            Action::Status(error) => Some(Self::Whole(error_answer(error))),
            Action::ResetBeforeEffect => Some(Self::Lost(Hangup::Reset)),
            Action::Redirect { location, status: code } => Some(Self::Whole(redirect(status(*code), location))),
            Action::Answer { status: code, content_type, body, effect: false } => {
                Some(Self::Whole(answer(status(*code), content_type, body.clone())))
            }
            Action::LatencyMs(_)
            | Action::LatencyAfterEffectMs(_)
            | Action::StatusAfterEffect(_)
            | Action::LostAnswer
            | Action::Truncated
            | Action::HtmlBody
            | Action::Stall
            | Action::PagesRepeat
            | Action::PagesSkip
            | Action::TotalLies
            | Action::Answer { .. } => None,
        }
    }

    /// What becomes of the answer once the effect took place.
    pub(super) fn after(action: Option<&Action>, honest: Answer) -> Self {
        match action {
            Some(Action::StatusAfterEffect(error)) => Self::Whole(error_answer(error)),
            Some(Action::LostAnswer) => Self::Lost(Hangup::Close),
            Some(Action::Truncated) => Self::CutOff(honest),
            Some(Action::HtmlBody) => Self::Whole(answer(honest.status(), "text/html", PROXY_PAGE)),
            Some(Action::Stall) => Self::Stalled(honest),
            Some(Action::Answer { status: code, content_type, body, .. }) => {
                Self::Whole(answer(status(*code), content_type, body.clone()))
            }
            _ => Self::Whole(honest),
        }
    }

    /// For the log.
    pub(super) fn answered(&self) -> Answered {
        match self {
            Self::Whole(answer) | Self::CutOff(answer) | Self::Stalled(answer) => {
                Answered::Status(answer.status().as_u16())
            }
            Self::Lost(_) => Answered::Lost,
        }
    }

    /// For the server.
    pub(super) fn into_response(self) -> Response<Body> {
        match self {
            Self::Whole(answer) => answer.map(Body::from),
            Self::CutOff(answer) => {
                let (mut head, body) = with_body(answer).into_parts();
                head.headers.insert(header::CONTENT_LENGTH, body.len().into());
                let half = body.slice(..body.len() / 2);
                let error = stream::once(async {
                    // The server sends what it has only when there is nothing more to be had at once.
                    tokio::task::yield_now().await;
                    Err(io::Error::other("cut off"))
                });
                Response::from_parts(head, Body::from_stream(stream::iter([Ok(half)]).chain(error)))
            }
            Self::Stalled(answer) => {
                let (mut head, body) = with_body(answer).into_parts();
                head.headers.insert(header::CONTENT_LENGTH, body.len().into());
                let late =
                    stream::once(tokio::time::sleep(LONGEST_STALL)).map(move |()| Ok::<_, Infallible>(body.clone()));
                Response::from_parts(head, Body::from_stream(late))
            }
            Self::Lost(hangup) => {
                let mut response = Response::new(Body::empty());
                response.extensions_mut().insert(hangup);
                response
            }
        }
    }
}

/// A 204 has no body that could break off or be late: such an answer becomes a 200 that has one.
fn with_body(answer: Answer) -> Answer {
    if answer.body().is_empty() { json(StatusCode::OK, &json!({"detail": "done"})) } else { answer }
}

fn error_answer(error: &ErrorAnswer) -> Answer {
    let code = status(error.code);
    let mut answer = match error.body {
        BodyKind::Json => detail(code, code.canonical_reason().unwrap_or("Error")),
        BodyKind::Html => answer(code, "text/html", PROXY_PAGE),
        BodyKind::Empty => empty(code),
    };
    if let Some(retry_after) = &error.retry_after {
        set(&mut answer, header::RETRY_AFTER, retry_after);
    }
    answer
}
