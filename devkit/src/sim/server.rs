//! The port: a plain HTTP/1 server that can also hang up without an answer, which axum's own cannot.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::Body};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Longer than usual clients keep an idle connection (90 s): the client, not we, should be the one to close it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
const BACKLOG: u32 = 1024;

/// An extension of a response: do not send it, hang up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Hangup {
    #[error("closed without an answer")]
    Close,
    #[error("reset without an answer")]
    Reset,
}

/// A bound port that does not listen: connections are refused, yet nobody else can take it.
pub(super) fn reserve(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Listens on a reserved port.
pub(super) fn listen(socket: TcpSocket) -> std::io::Result<TcpListener> {
    socket.listen(BACKLOG)
}

/// Serves until told to stop; then closes the port and cuts every connection.
pub(super) async fn serve(listener: TcpListener, router: Router, stopping: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopping.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone()));
                }
                // Out of file descriptors, say: that may pass.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, router: Router) {
    // Without it small answers wait for the client's acknowledgement. A socket that refuses still works.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let response = router.oneshot(request.map(Body::new)).await.map_err(|never| match never {})?;
            match response.extensions().get::<Hangup>() {
                Some(hangup) => Err(*hangup),
                None => Ok(response),
            }
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let ended = (&mut connection).await;
    let hangup = ended.as_ref().err().and_then(std::error::Error::source).and_then(|it| it.downcast_ref::<Hangup>());
    if hangup == Some(&Hangup::Reset) {
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}
