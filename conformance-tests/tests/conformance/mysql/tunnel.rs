//! Provides a Unix socket and an IPv6 address for a server, because those of a container cannot be
//! reached from outside.

use std::path::PathBuf;

use leasehold_conformance::{CaseResult, Failure, Task, spawn};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// Forwards connections until it is dropped.
pub(super) struct Tunnel {
    folder: TempDir,
    port: u16,
    _passing: [Task<()>; 2],
}

impl Tunnel {
    pub(super) async fn to(address: String) -> CaseResult<Self> {
        let folder = tempfile::tempdir()?;
        let socket = UnixListener::bind(folder.path().join("server.sock"))?;
        let ipv6 = TcpListener::bind("[::1]:0")
            .await
            .map_err(|error| Failure::ignored(format!("this machine has no IPv6: {error}")))?;
        let port = ipv6.local_addr()?.port();
        let to = address.clone();
        let passing = [
            spawn(async move {
                loop {
                    pass(socket.accept().await?.0, to.clone());
                }
            }),
            spawn(async move {
                loop {
                    pass(ipv6.accept().await?.0, address.clone());
                }
            }),
        ];
        Ok(Self { folder, port, _passing: passing })
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("server.sock")
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

fn pass(mut client: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, address: String) {
    tokio::spawn(async move {
        if let Ok(mut server) = TcpStream::connect(address).await {
            _ = copy_bidirectional(&mut client, &mut server).await;
        }
    });
}
