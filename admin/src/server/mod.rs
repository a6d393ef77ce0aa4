//! A server of its own: HTTP/1.1, with or without TLS, and bounds on what a connection can hold.

mod connection;
mod service;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

pub use self::service::Service;
pub use self::tls::Tls;
use crate::Access;
use connection::{Connections, GRACE};

/// The pause after a connection that could not be accepted: mostly there are no file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves an [`AdminApi`](crate::AdminApi), or metrics alone.
///
/// ```no_run
/// use leasehold_admin::{AdminApi, Server};
/// use leasehold_core::{Client, MemoryStore};
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let api = AdminApi::new(Client::new(MemoryStore::new())?);
/// let server = Server::bind(api, "127.0.0.1:7475".parse()?, None).await?;
/// println!("listening on {}", server.url());
/// server.run(async { drop(tokio::signal::ctrl_c().await) }).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    service: Service,
    tls: Option<Tls>,
}

impl Server {
    /// Listens at that address; connections wait there until [`run`](Self::run).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], when others than this machine could reach an API without a
    /// [`Token`](crate::Token); [`ErrorKind::Unavailable`], when the address cannot be had.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub async fn bind(
        service: impl Into<Service>,
        address: SocketAddr,
        tls: Option<Tls>,
    ) -> Result<Self> {
        let service = service.into();
        if !address.ip().to_canonical().is_loopback() && !matches!(service.access, Access::Token(_))
        {
            return Err(Error::invalid(format!(
                "others than this machine could reach {address}, and there is no token"
            ))
            .with_fix("set a token, or listen at 127.0.0.1"));
        }
        let unavailable = |error| {
            Error::new(ErrorKind::Unavailable, format!("cannot listen at {address}"))
                .with_source(error)
        };
        let listener = TcpListener::bind(address).await.map_err(unavailable)?;
        let address = listener.local_addr().map_err(unavailable)?;
        Ok(Self { listener, address, service, tls })
    }

    /// Where it listens; with the port that was chosen when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `shutdown` is ready; then answers what was asked, for at most 10 s.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let stop = CancellationToken::new();
        // Dropping this future ends everything too.
        let _guard = stop.clone().drop_guard();
        let Service { router, limits, streams, .. } = self.service;
        let tasks = TaskTracker::new();
        let connections = Arc::new(Connections {
            router,
            tls: self.tls,
            limits: limits.clone(),
            stop: stop.clone(),
        });
        let seats = Arc::new(Semaphore::new(limits.connections));
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match seats.clone().try_acquire_owned() {
                    Ok(seat) => {
                        let connections = connections.clone();
                        tasks.spawn(async move {
                            connections.serve(stream, peer).await;
                            drop(seat);
                        });
                    }
                    Err(_) => turn_away(&stream, connections.tls.is_some()),
                },
                Err(error) => {
                    warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(self.listener);
        streams.cancel();
        stop.cancel();
        tasks.close();
        if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
            debug!("connections are cut off");
        }
    }
}

/// Says that there are too many connections, without waiting for the other to listen.
fn turn_away(stream: &TcpStream, tls: bool) {
    const BODY: &str = "{\"type\":\"urn:leasehold:problem:busy\",\"title\":\"too busy\",\
        \"status\":503,\"detail\":\"too many connections at a time; try again\"}";
    if !tls {
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
             content-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{BODY}",
            BODY.len()
        );
        // Whoever does not take it in is not waited for.
        let _ = stream.try_write(answer.as_bytes());
    }
}
