//! This module defines fake servers: listeners that are not the server that a store's URL names.

use std::net::SocketAddr;

use leasehold_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// This defines how a fake server behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ServerBehaviour {
    /// It sends this to each client that connects, and waits until the client disconnects.
    Says(&'static [u8]),
    /// It sends this once it has received something, and waits until the client disconnects.
    Answers(&'static [u8]),
    /// It ends each connection at once.
    Closes,
    /// It accepts connections and sends nothing.
    IsSilent,
}

impl ServerBehaviour {
    /// This is the reply of HTTP servers to a request that is not HTTP.
    pub(crate) const HTTP: Self = Self::Answers(b"HTTP/1.1 400 Bad Request\r\n\r\n");
}

/// This is a listener at a free port of the loopback interface. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct FakeServer {
    address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl FakeServer {
    pub(crate) async fn start(behaviour: ServerBehaviour) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(broken)?;
        let address = listener.local_addr().map_err(broken)?;
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection, behaviour));
            }
        });
        Ok(Self { address, _serving: AbortOnDropHandle::new(serving) })
    }

    /// Returns its host and port.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

async fn serve(mut connection: TcpStream, behaviour: ServerBehaviour) {
    let mut received = [0; 1024];
    let text: &[u8] = match behaviour {
        ServerBehaviour::Closes => return,
        ServerBehaviour::IsSilent => &[],
        ServerBehaviour::Says(text) => text,
        ServerBehaviour::Answers(text) => match connection.read(&mut received).await {
            Ok(1..) => text,
            _ => return,
        },
    };
    if connection.write_all(text).await.is_ok() {
        while let Ok(1..) = connection.read(&mut received).await {}
    }
}

fn broken(source: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "no port is free").with_source(source)
}
