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
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A request may have at most this many headers.
const MAX_HEADERS: usize = 64;

/// Connections have this long to end once the server shuts down.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// All connections of a server share this value.
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
        let Some(tls) = &self.tls else { return self.serve_http(stream, peer).await };
        let handshake = timeout(idle, tls.acceptor.accept(stream));
        let handshaken = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            handshaken = handshake => handshaken,
        };
        match handshaken {
            Ok(Ok(stream)) => self.serve_http(stream, peer).await,
            Ok(Err(error)) => debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => debug!(%peer, "TLS handshake timed out"),
        }
    }

    async fn serve_http(&self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr) {
        let idle = self.limits.idle_time;
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let response = self.router.clone().call(request);
            async { Ok::<_, Infallible>(response.await.unwrap_or_else(|never| match never {})) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(MAX_HEAD_BYTES);
        http.max_headers(MAX_HEADERS);
        // A write that makes no progress for this long fails, so that a response that the client
        // does not read does not stay in memory. Reads have their own limits.
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(idle));
        let stream = TokioIo::new(Box::pin(stream));
        let mut connection = std::pin::pin!(http.serve_connection(stream, service));
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
