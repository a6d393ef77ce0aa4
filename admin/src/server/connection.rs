//! This module serves one connection, from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use tracing::debug;

use crate::{Limits, Tls};

/// A request's head may have at most this many bytes.
const HEAD: usize = 16 * 1024;

/// A request may have at most this many headers.
const HEADERS: usize = 64;

/// Connections have this long to end once the server shuts down.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// All connections share this value.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) router: Router,
    pub(super) tls: Option<Tls>,
    pub(super) limits: Limits,
    pub(super) stop: CancellationToken,
}

impl Connections {
    pub(super) async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let idle = self.limits.idle_time;
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.speak(stream, peer).await };
        let handshake = timeout(idle, tls.acceptor.accept(stream));
        let shaken = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            shaken = handshake => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => self.speak(stream, peer).await,
            Ok(Err(error)) => debug!(%peer, %error, "no TLS"),
            Err(_) => debug!(%peer, "TLS handshake timed out"),
        }
    }

    async fn speak(&self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr) {
        let idle = self.limits.idle_time;
        let answer = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = self.router.clone().call(request);
            async { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(HEAD);
        http.max_headers(HEADERS);
        // A write that makes no progress for so long fails, so that an answer that the client does
        // not read is not kept in memory. Reads have limits of their own.
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(idle));
        let stream = TokioIo::new(Box::pin(stream));
        let mut connection = std::pin::pin!(http.serve_connection(stream, answer));
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                timeout(GRACE, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            debug!(%peer, %error, "connection error");
        }
    }
}
