//! The server serves HTTP/1.1, with or without TLS, and limits the resources of a connection.

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

/// The server pauses for this long after it could not accept a connection, mostly for lack of file
/// descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A server serves an [`AdminApi`](crate::AdminApi), or only metrics.
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
    /// Listens on that address; connections wait until [`run`](Self::run).
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`] if other machines could reach an API without a
    /// [`Token`](crate::Token), and with [`ErrorKind::Unavailable`] if the address is not
    /// available.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with I/O enabled.
    pub async fn bind(
        service: impl Into<Service>,
        address: SocketAddr,
        tls: Option<Tls>,
    ) -> Result<Self> {
        let service = service.into();
        if !address.ip().to_canonical().is_loopback() && !matches!(service.access, Access::Token(_))
        {
            return Err(Error::invalid(format!("refusing to listen on {address} without a token"))
                .with_fix("set a token, or listen on 127.0.0.1"));
        }
        let unavailable = |error| {
            Error::new(ErrorKind::Unavailable, format!("cannot listen on {address}"))
                .with_source(error)
        };
        let listener = TcpListener::bind(address).await.map_err(unavailable)?;
        let address = listener.local_addr().map_err(unavailable)?;
        Ok(Self { listener, address, service, tls })
    }

    /// Returns the address on which the server listens, with the chosen port if port 0 was
    /// requested.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address on which the server listens, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `shutdown` is ready; then it finishes open requests, for at most 10 s.
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
        let permits = Arc::new(Semaphore::new(limits.connections));
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match permits.clone().try_acquire_owned() {
                    Ok(permit) => {
                        let connections = connections.clone();
                        tasks.spawn(async move {
                            connections.serve(stream, peer).await;
                            drop(permit);
                        });
                    }
                    Err(_) => reject(&stream, connections.tls.is_some()),
                },
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(self.listener);
        streams.cancel();
        stop.cancel();
        tasks.close();
        if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
            debug!("closing connections that did not finish in time");
        }
    }
}

/// Sends the response that there are too many connections, without waiting for the client to read.
fn reject(stream: &TcpStream, tls: bool) {
    const BODY: &str = "{\"type\":\"urn:leasehold:problem:busy\",\"title\":\"too busy\",\
        \"status\":503,\"detail\":\"too many concurrent connections; try again\"}";
    if !tls {
        let response = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
             content-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{BODY}",
            BODY.len()
        );
        // A client that does not read the response gets none.
        let _ = stream.try_write(response.as_bytes());
    }
}
