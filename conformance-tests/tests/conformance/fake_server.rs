//! Listeners that are not the server that a store's URL names.

use std::net::SocketAddr;

use leasehold_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// How a fake server behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Conduct {
    /// It says that to whoever connects, and then waits for the other to leave.
    Says(&'static [u8]),
    /// It says that once something was said to it, and then waits for the other to leave.
    Answers(&'static [u8]),
    /// It ends each connection at once.
    Closes,
    /// It accepts connections, and says nothing.
    IsSilent,
}

impl Conduct {
    /// What HTTP servers do with anything that is no HTTP.
    pub(crate) const HTTP: Self = Self::Answers(b"HTTP/1.1 400 Bad Request\r\n\r\n");
}

/// A listener at a free port of the loopback interface, until it is dropped.
#[derive(Debug)]
pub(crate) struct FakeServer {
    address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl FakeServer {
    pub(crate) async fn start(conduct: Conduct) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(broken)?;
        let address = listener.local_addr().map_err(broken)?;
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection, conduct));
            }
        });
        Ok(Self { address, _serving: AbortOnDropHandle::new(serving) })
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

async fn serve(mut connection: TcpStream, conduct: Conduct) {
    let mut heard = [0; 1024];
    let text: &[u8] = match conduct {
        Conduct::Closes => return,
        Conduct::IsSilent => &[],
        Conduct::Says(text) => text,
        Conduct::Answers(text) => match connection.read(&mut heard).await {
            Ok(1..) => text,
            _ => return,
        },
    };
    if connection.write_all(text).await.is_ok() {
        while let Ok(1..) = connection.read(&mut heard).await {}
    }
}

fn broken(source: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "no port is free").with_source(source)
}
