//! This TCP proxy delays, drops or cuts connections on request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// This defines how a proxy treats its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkBehaviour {
    /// Everything goes through.
    Pass,
    /// Everything goes through, and each chunk is delayed by that time.
    Slow(Duration),
    /// Requests go through, and replies are lost.
    SwallowReplies,
    /// Nothing goes through and the connections stay open, as if the server hung or packets were
    /// lost.
    Hang,
    /// All connections end, and new ones end at once.
    Cut,
}

/// The connections follow these orders.
#[derive(Clone, Copy, Debug)]
struct Orders {
    behaviour: LinkBehaviour,
    /// The connections with a smaller number are silent: data on them are thrown away.
    silent_below: u64,
}

/// This proxy leads to one server, and listens at a free port of the loopback interface. It ends
/// when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: Arc<watch::Sender<Orders>>,
    /// Counts the connections accepted so far.
    accepted: Arc<AtomicU64>,
    server: Arc<watch::Sender<String>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Starts a proxy to the server at that address, such as `127.0.0.1:5432`.
    ///
    /// # Errors
    /// Returns an error if no port is free.
    pub async fn start(server: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let orders = Orders { behaviour: LinkBehaviour::Pass, silent_below: 0 };
        let orders = Arc::new(watch::Sender::new(orders));
        let server = Arc::new(watch::Sender::new(server.to_owned()));
        let (leads_to, told) = (server.subscribe(), orders.subscribe());
        let accepted = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&accepted);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = counting.fetch_add(1, Ordering::SeqCst);
                let server = leads_to.borrow().clone();
                tokio::spawn(serve(client, server, told.clone(), number));
            }
        });
        let accepting = AbortOnDropHandle::new(accepting);
        Ok(Self { address, orders, accepted, server, _accepting: accepting })
    }

    /// Returns the address that clients connect to.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Forwards new connections to that server from now on. Open connections do not change.
    pub fn lead_to(&self, server: &str) {
        self.server.send_replace(server.to_owned());
    }

    /// Treats open and new connections that way, from now on.
    pub fn set(&self, behaviour: LinkBehaviour) {
        self.orders.send_modify(|orders| orders.behaviour = behaviour);
    }

    /// Returns how many connections were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Throws away everything on the open connections without closing them, from now on. New
    /// connections are served.
    pub fn silence_connections(&self) {
        let accepted = self.accepted.load(Ordering::SeqCst);
        self.orders.send_modify(|orders| orders.silent_below = accepted);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(LinkBehaviour::Cut);
    }
}

async fn serve(client: TcpStream, server: String, told: watch::Receiver<Orders>, number: u64) {
    if told.borrow().behaviour == LinkBehaviour::Cut {
        return;
    }
    let Ok(upstream) = TcpStream::connect(server).await else { return };
    _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = upstream.into_split();
    // When one direction ends, the other ends too, because both halves are dropped.
    tokio::select! {
        () = pump(from_client, to_server, told.clone(), number, false) => {}
        () = pump(from_server, to_client, told, number, true) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut told: watch::Receiver<Orders>,
    number: u64,
    replies: bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut lost = false;
    loop {
        let Orders { behaviour, silent_below } = *told.borrow_and_update();
        let silent = number < silent_below;
        match behaviour {
            LinkBehaviour::Cut => return,
            _ if silent => {}
            // After lost data, the rest of the stream cannot be used.
            LinkBehaviour::Pass | LinkBehaviour::Slow(_) if lost => return,
            LinkBehaviour::Hang => {
                if told.changed().await.is_err() {
                    return;
                }
                continue;
            }
            _ => {}
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = told.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok(length @ 1..) = read else { return };
        match behaviour {
            _ if silent => continue,
            LinkBehaviour::SwallowReplies if replies => {
                lost = true;
                continue;
            }
            LinkBehaviour::Slow(delay) => tokio::time::sleep(delay).await,
            _ => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
