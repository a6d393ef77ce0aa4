//! This load begins and ends locks and elections in every way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::election::job_fn;
use leasehold::{Client, Leadership, LockStore, Result, Settings};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// This is how much a soak asks of a store at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// This many tasks acquire locks, on twice as many names.
    pub lock_callers: u64,
    /// This many names are led, each by one of three candidates.
    pub elections: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self { lock_callers: 400, elections: 60 }
    }
}

impl Load {
    /// Returns a quarter of this load.
    #[must_use]
    pub fn quarter(self) -> Self {
        Self { lock_callers: self.lock_callers / 4, elections: self.elections / 4 }
    }
}

/// There are this many clients. Each is an instance of the application.
const CLIENTS: usize = 4;
const TTL: Duration = Duration::from_secs(6);

/// A leak is caused on purpose to show that a soak notices it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// A task that never ends leaks with every lock.
    Tasks,
    /// Memory leaks with every lock.
    Memory,
    /// An open file leaks with every hundredth lock.
    Files,
    /// An open socket leaks with every hundredth lock.
    Connections,
}

/// These are the locks and elections of a soak.
#[derive(Debug)]
pub(super) struct Churn {
    tasks: JoinSet<()>,
    ending: CancellationToken,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    locks: AtomicU64,
    terms: AtomicU64,
}

impl Churn {
    pub(super) fn begin(store: Arc<dyn LockStore>, load: Load, leak: Option<Leak>) -> Result<Self> {
        let settings = Settings::new().ttl(TTL);
        let client = || Client::builder(store.clone()).settings(settings.clone()).build();
        let clients = (0..CLIENTS).map(|_| client()).collect::<Result<Vec<_>>>()?;
        let (counts, ending) = (Arc::new(Counts::default()), CancellationToken::new());
        let mut tasks = JoinSet::new();
        for number in 0..load.lock_callers {
            let client = clients[number as usize % CLIENTS].clone();
            tasks.spawn(until(ending.clone(), lock(client, counts.clone(), number, load, leak)));
        }
        for number in 0..load.elections * 3 {
            let client = clients[number as usize % CLIENTS].clone();
            let name = number / 3;
            tasks.spawn(campaign(client, counts.clone(), name, ending.clone()));
        }
        for number in 0..10 {
            let client = clients[number as usize % CLIENTS].clone();
            tasks.spawn(until(ending.clone(), observe(client.clone(), number)));
            tasks.spawn(until(ending.clone(), disable(client, number)));
        }
        Ok(Self { tasks, ending, counts })
    }

    /// Ends everything in an orderly way. Returns how many locks were acquired and how many terms
    /// were led.
    pub(super) async fn end(mut self) -> (u64, u64) {
        self.ending.cancel();
        while self.tasks.join_next().await.is_some() {}
        (self.counts.locks.load(Ordering::Relaxed), self.counts.terms.load(Ordering::Relaxed))
    }
}

async fn until(ending: CancellationToken, work: impl Future<Output = ()>) {
    // The work is dropped at any point, which is one of the ways to end.
    ending.run_until_cancelled_owned(work).await;
}

async fn pause(most: u64) {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..most))).await;
}

async fn lock(client: Client, counts: Arc<Counts>, number: u64, load: Load, leak: Option<Leak>) {
    let names = load.lock_callers * 2;
    loop {
        // Another task may hold it.
        let name = format!("lock-{}", (number * 2 + fastrand::u64(0..3)) % names);
        let Ok(lock) = client.lock(name) else { return };
        let limit = Duration::from_millis(fastrand::u64(0..2_000));
        // Sometimes the call is dropped before it ends.
        let drop_after = Duration::from_millis(fastrand::u64(1..4_000));
        let taken = tokio::time::timeout(drop_after, lock.acquire(limit)).await;
        if let Ok(Ok(guard)) = taken {
            let had = counts.locks.fetch_add(1, Ordering::Relaxed);
            plant_leak(leak, had);
            pause(1_000).await;
            match fastrand::u32(0..3) {
                0 => drop(guard),
                _ => drop(guard.release().await),
            }
        }
        pause(300).await;
    }
}

fn plant_leak(leak: Option<Leak>, had: u64) {
    match leak {
        Some(Leak::Tasks) => drop(tokio::spawn(std::future::pending::<()>())),
        Some(Leak::Memory) => std::mem::forget(std::hint::black_box(vec![1_u8; 20_000])),
        Some(Leak::Files) if had.is_multiple_of(100) => {
            std::mem::forget(std::fs::File::open("/proc/self/status"));
        }
        Some(Leak::Connections) if had.is_multiple_of(100) => {
            std::mem::forget(std::net::UdpSocket::bind("127.0.0.1:0"));
        }
        Some(Leak::Files | Leak::Connections) | None => {}
    }
}

async fn campaign(client: Client, counts: Arc<Counts>, name: u64, ending: CancellationToken) {
    while !ending.is_cancelled() {
        let Ok(election) = client.election(format!("election-{name}")) else { return };
        let counts = counts.clone();
        let handle = election.spawn(job_fn(move |leadership: Leadership| {
            counts.terms.fetch_add(1, Ordering::Relaxed);
            async move {
                match fastrand::u32(0..4) {
                    0 => return Err("simulated failure".into()),
                    1 => leadership.resign(),
                    _ => {}
                }
                leadership.cancelled().await;
                Ok(())
            }
        }));
        ending.run_until_cancelled(pause(5_000)).await;
        match fastrand::u32(0..3) {
            0 => drop(handle),
            1 => handle.resign().await,
            _ => handle.shutdown().await,
        }
    }
}

async fn observe(client: Client, name: u64) {
    loop {
        let Ok(mut seen) = client.observe(format!("election-{name}")) else { return };
        for _ in 0..20 {
            let _ = tokio::time::timeout(Duration::from_secs(1), seen.next()).await;
        }
    }
}

async fn disable(client: Client, name: u64) {
    loop {
        pause(4_000).await;
        let _ = client.disable(format!("election-{name}"), "a soak").await;
        pause(500).await;
        let _ = client.enable(format!("election-{name}")).await;
    }
}
