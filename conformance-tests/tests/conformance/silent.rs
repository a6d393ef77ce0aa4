//! A server whose connections fall silent while it serves new ones, as when its host dies and the
//! address moves to another: no packet arrives, and neither end is told.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use leasehold::Client as Locks;
use leasehold_conformance::{CaseResult, Client, Failure};
use leasehold_core::election::{Leadership, job_fn};
use leasehold_core::{ErrorKind, LockName, LockStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// The limit for everything that has no time limit of its own.
const PATIENCE: Duration = Duration::from_secs(100);

/// Longer than a lease at default settings is trusted after its last renewal.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(20);

/// Which connections transfer nothing: those with lower numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Stopped {
    /// These transfer nothing until this changes.
    paused_below: usize,
    /// These never transfer anything again.
    silent_below: usize,
    /// New ones end at once.
    refuses: bool,
}

/// A proxy whose existing connections can fall silent.
pub(crate) struct SilentProxy {
    address: SocketAddr,
    accepted: Arc<watch::Sender<usize>>,
    stopped: Arc<watch::Sender<Stopped>>,
    serving: JoinHandle<()>,
}

impl SilentProxy {
    pub(crate) async fn start(server: &str) -> CaseResult<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let accepted = Arc::new(watch::Sender::new(0));
        let stopped = Arc::new(watch::Sender::new(Stopped::default()));
        let (server, count, told) = (server.to_owned(), Arc::clone(&accepted), stopped.subscribe());
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let number = *count.borrow();
                count.send_replace(number + 1);
                connections.spawn(serve(client, server.clone(), number, told.clone()));
            }
        });
        Ok(Self { address, accepted, stopped, serving })
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    fn accepted(&self) -> usize {
        *self.accepted.borrow()
    }

    /// Stops all transfers on the present connections until [`resume`](Self::resume).
    fn pause(&self) {
        let paused_below = self.accepted();
        self.stopped.send_modify(|stopped| stopped.paused_below = paused_below);
    }

    fn resume(&self) {
        self.stopped.send_modify(|stopped| stopped.paused_below = 0);
    }

    /// Ends new connections at once, or accepts them again.
    fn refuse(&self, refuses: bool) {
        self.stopped.send_modify(|stopped| stopped.refuses = refuses);
    }

    /// Loses everything that is sent on the present connections from now on.
    fn silence(&self) {
        let silent_below = self.accepted();
        self.stopped.send_modify(|stopped| stopped.silent_below = silent_below);
    }
}

impl Drop for SilentProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    client: TcpStream,
    server: String,
    number: usize,
    stopped: watch::Receiver<Stopped>,
) {
    if stopped.borrow().refuses {
        return;
    }
    let Ok(upstream) = TcpStream::connect(server).await else { return };
    _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = upstream.into_split();
    // When one direction ends, so does the other.
    tokio::select! {
        _ = pump(from_client, to_server, number, stopped.clone()) => {}
        _ = pump(from_server, to_client, number, stopped) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: usize,
    mut stopped: watch::Receiver<Stopped>,
) -> Option<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        // A paused connection waits here, and a silent one too, with both sockets open.
        stopped
            .wait_for(|stopped| number >= stopped.paused_below && number >= stopped.silent_below)
            .await
            .ok()?;
        to.write_all(&buffer[..length]).await.ok()?;
    }
}

async fn token_of(client: &Client, name: &LockName) -> CaseResult<u64> {
    let record = client.get(name).await?;
    let token = record.filter(|record| record.lease.is_some()).and_then(|record| record.token);
    Ok(token.ok_or_else(|| Failure::new(format!("{name} is not held")))?.get())
}

/// Waits until the lease of that name is extended twice: the first time may have been under way.
async fn renewed(client: &Client, name: &LockName) -> CaseResult {
    let mut extensions = 0;
    let mut before = Duration::MAX;
    while extensions < 2 {
        let left = client.lease_of(name).await?.map(|lease| lease.left).unwrap_or_default();
        extensions += u8::from(left > before);
        before = left;
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Runs an election and a guard, both at default settings, on a store whose connections lead
/// through the proxy. All of its connections fall silent: neither the term nor the guard is lost.
///
/// `direct` reads the same locks on another way.
pub(crate) async fn connections_that_fall_silent_cost_no_lease(
    store: Arc<dyn LockStore>,
    proxy: &SilentProxy,
    direct: &Client,
) -> CaseResult {
    let (guarded, led) = (LockName::new("guarded")?, LockName::new("led")?);
    let locks = Locks::builder(store).build()?;
    let job = job_fn(|leadership: Leadership| async move {
        leadership.cancelled().await;
        Ok(())
    });
    let election = locks.election(&led)?.spawn(job);
    let guard = locks.lock(&guarded)?.acquire(PATIENCE).await?;
    let leads = async {
        while token_of(direct, &led).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, leads).await.map_err(|_| Failure::new("nobody is elected"))?;
    let before = (token_of(direct, &guarded).await?, token_of(direct, &led).await?);
    // The retry of a renewal that is not answered for a while opens another connection. After that
    // the store has two for its heartbeats.
    proxy.pause();
    timeout(PATIENCE, renewed(direct, &guarded)).await.map_err(|_| Failure::new("no retry"))??;
    proxy.resume();
    sleep(Duration::from_millis(500)).await;
    proxy.silence();
    sleep(LONGER_THAN_A_LEASE).await;
    assert!(guard.is_held(), "the guard is lost");
    let after = (token_of(direct, &guarded).await?, token_of(direct, &led).await?);
    assert_eq!(before, after, "the tokens of the guard and of the term");
    drop(election);
    Ok(())
}

/// Calls are abandoned on connections that fall silent, and then nothing can be reached for a while:
/// afterwards the store makes several calls at a time again.
pub(crate) async fn abandoned_calls_do_not_count_after_an_outage(
    store: Arc<dyn LockStore>,
    proxy: &SilentProxy,
) -> CaseResult {
    let name = LockName::new("job")?;
    let mut given_up = 0;
    while given_up < 3 {
        store.get(&name).await?;
        proxy.silence();
        // On a busy machine the store may notice the silence in time.
        let call = timeout(Duration::from_millis(100), store.get(&name)).await;
        given_up += usize::from(call.is_err());
    }
    proxy.refuse(true);
    // On a busy machine an idle connection may be left, on which the first call hangs.
    let accepted = proxy.accepted();
    while proxy.accepted() == accepted {
        let error = store.get(&name).await.expect_err("nothing can be reached");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
    proxy.refuse(false);
    store.get(&name).await?;
    // While one call waits for its answer, another one is sent.
    proxy.pause();
    let mut waiting = pin!(store.get(&name));
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err(), "it is answered");
    store.get(&name).await?;
    proxy.resume();
    waiting.await?;
    Ok(())
}
