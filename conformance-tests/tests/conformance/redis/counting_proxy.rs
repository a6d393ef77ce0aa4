//! This module defines a proxy that counts round trips.
//!
//! It holds replies back until the client has been silent for some time. Data that the client sends
//! after it was given a reply belong to another round trip. Data that it sent before did not wait
//! for one. So a pipeline counts once, in however many parts it arrives, and commands one after the
//! other count each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// A client takes less time than this to send the next part of what it has ready.
const SILENCE: Duration = Duration::from_millis(20);

pub(super) struct CountingProxy {
    pub(super) address: String,
    count: Arc<AtomicU64>,
    _accepting: AbortOnDropHandle<()>,
}

impl CountingProxy {
    pub(super) async fn start(server: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let count = Arc::new(AtomicU64::new(0));
        let (server, counting) = (server.to_owned(), Arc::clone(&count));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, counting) = (server.clone(), Arc::clone(&counting));
                tokio::spawn(async move { _ = serve(client, &server, &counting).await });
            }
        });
        Ok(Self { address, count, _accepting: AbortOnDropHandle::new(accepting) })
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

async fn serve(mut client: TcpStream, server: &str, count: &AtomicU64) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let (mut requests, mut replies) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let (mut held_back, mut answered, mut last_request) = (Vec::new(), true, Instant::now());
    loop {
        tokio::select! {
            read = client.read(&mut requests) => {
                let length @ 1.. = read? else { return Ok(()) };
                if answered {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                (answered, last_request) = (false, Instant::now());
                server.write_all(&requests[..length]).await?;
            }
            read = server.read(&mut replies) => {
                let length @ 1.. = read? else { return Ok(()) };
                held_back.extend_from_slice(&replies[..length]);
            }
            () = sleep_until(last_request + SILENCE), if !held_back.is_empty() => {
                answered = true;
                client.write_all(&held_back).await?;
                held_back.clear();
            }
        }
    }
}
