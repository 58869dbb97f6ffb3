//! A request body that is not sent late.
//!
//! A time-out ends the wait for an answer, and does not call a request back that is already in the hands of the
//! connection's task. A process that is stopped between the two, or whose machine sleeps, would send it on waking up:
//! after others have found that it had no effect. So the body itself looks at the clock when it is taken, which is right
//! before head and body are written together: hyper writes nothing of a request whose first piece of body is an error.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tracing::trace;

use crate::boot::boot_time;
use crate::fence::Fence;

/// A body that may be taken until a time on the boot-time clock, and no longer than the process may change anything.
pub(super) struct Punctual {
    bytes: Option<Bytes>,
    until: Duration,
    fence: Fence,
}

impl Punctual {
    /// `bytes`, to be taken until then.
    pub(super) fn new(bytes: Bytes, until: Duration, fence: Fence) -> Self {
        Self { bytes: Some(bytes), until, fence }
    }
}

/// It is too late to send this.
#[derive(Debug, thiserror::Error)]
#[error("the process stood still before it could send the request, and does not send it late")]
pub(super) struct TooLate;

impl Body for Punctual {
    type Data = Bytes;
    type Error = TooLate;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TooLate>>> {
        // Before the clock: whoever stands still with this unsaid sends nothing late. From the look at the clock to the
        // kernel it is some microseconds, in which nobody can be called back.
        trace!("about to write a request");
        let now = boot_time();
        if now >= self.until || !self.fence.allows(now) {
            self.bytes = None;
            return Poll::Ready(Some(Err(TooLate)));
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    /// What a server reads of a request whose body may be taken until then.
    async fn received(until: Duration, fence: Fence) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let client = reqwest::Client::builder().no_proxy().http1_only().tls_certs_only([]).build().unwrap();
        let body = reqwest::Body::wrap(Punctual::new(Bytes::from_static(b"0123456789"), until, fence));
        let request = tokio::spawn(client.post(url).body(body).timeout(Duration::from_secs(10)).send());
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        let mut buffer = [0; 1024];
        while !text.ends_with("0123456789") {
            match stream.read(&mut buffer).await.unwrap() {
                0 => break,
                read => text.push_str(std::str::from_utf8(&buffer[..read]).unwrap()),
            }
        }
        drop(stream);
        assert!(request.await.unwrap().is_err());
        text
    }

    #[tokio::test]
    async fn nothing_is_sent_late_not_even_the_head() {
        let later = boot_time() + Duration::from_secs(60);
        let text = received(later, Fence::open()).await;
        assert!(text.starts_with("POST / HTTP/1.1\r\n") && text.contains("content-length: 10\r\n"), "{text}");
        assert_eq!(received(boot_time(), Fence::open()).await, "");
        assert_eq!(received(later, Fence::closed()).await, "");
    }
}
