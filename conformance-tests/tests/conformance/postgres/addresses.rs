//! These cases cover addresses that are not a host and a port.

use std::sync::Arc;

use leasehold_conformance::{Backend, CaseResult, Failure, Task, spawn};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::Postgres;
use super::support::{LONG, fresh, name};

/// Opens a store at that URL, and uses it.
async fn assert_serves(backend: &Postgres, url: &str, shown: &str) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(url, &namespace).await?;
    assert!(client.store().label().contains(shown), "{}", client.store().label());
    client.release_held(&client.acquire_free(&name("job"), LONG).await?).await?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn an_ipv6_address_can_be_used(backend: Arc<Postgres>) -> CaseResult {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        return Err(Failure::ignored("this machine has no IPv6"));
    };
    let (port, server) = (listener.local_addr()?.port(), backend.address());
    let _forwarding: Task<()> = spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await?;
            let mut server = TcpStream::connect(&server).await?;
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let url = backend.url().replace(&backend.address(), &format!("[::1]:{port}"));
    assert_serves(&backend, &url, &format!("@[::1]:{port}/")).await
}

pub(super) async fn a_unix_socket_can_be_used(backend: Arc<Postgres>) -> CaseResult {
    let folder = TempDir::new()?;
    let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432"))?;
    let server = backend.address();
    let _forwarding: Task<()> = spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await?;
            let mut server = TcpStream::connect(&server).await?;
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let location = folder.path().display();
    for login in ["postgres:secret@", "postgres:secret@:5432"] {
        let url = format!("postgres://{login}/postgres?host={location}");
        assert_serves(&backend, &url, &format!("host={location}")).await?;
    }
    Ok(())
}
