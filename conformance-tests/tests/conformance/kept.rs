//! These helpers test leases that are kept although many connections become silent without an
//! error.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use leasehold_conformance::CaseResult;
use leasehold_core::election::{Leadership, job_fn};
use leasehold_core::{Client, ElectionHandle, Guard, LockStore, Settings};
use leasehold_test_servers::{LinkBehaviour, Proxy};
use tokio::time::{sleep, timeout};

/// A case that hangs fails after this time.
const HANG: Duration = Duration::from_secs(100);

/// This is a lock's guard and an election's term of one client.
pub(crate) struct Kept {
    client: Client,
    guard: Guard,
    leading: ElectionHandle,
    terms: Arc<AtomicUsize>,
}

impl Kept {
    pub(crate) async fn start(store: Arc<dyn LockStore>, settings: Settings) -> CaseResult<Self> {
        let client = Client::builder(store).settings(settings).build()?;
        let terms = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&terms);
        let job = job_fn(move |leadership: Leadership| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                leadership.cancelled().await;
                Ok(())
            }
        });
        let leading = client.election("led")?.spawn(job);
        while !leading.status().is_leading() || terms.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        let guard = client.lock("held")?.try_acquire().await?;
        Ok(Self { client, guard: guard.expect("the name is free"), leading, terms })
    }

    /// Leads several elections for a short time, so that the heartbeats' runtime has many idle
    /// connections afterwards.
    pub(crate) async fn use_many(&self) -> CaseResult {
        let mut elections = Vec::new();
        for number in 0..16 {
            let job = job_fn(|leadership: Leadership| async move {
                leadership.cancelled().await;
                Ok(())
            });
            elections.push(self.client.election(format!("led {number}"))?.spawn(job));
        }
        for election in &elections {
            while !election.status().is_leading() {
                sleep(Duration::from_millis(10)).await;
            }
        }
        join_all(elections.into_iter().map(ElectionHandle::shutdown)).await;
        Ok(())
    }

    /// Fails unless the lock is still held and the first term continues.
    pub(crate) fn check(&self) {
        assert!(self.guard.is_held(), "the lock was lost");
        assert!(self.leading.status().is_leading(), "the term ended");
        assert_eq!(self.terms.load(Ordering::SeqCst), 1, "another term has started");
    }

    pub(crate) async fn end(self) -> CaseResult {
        self.guard.release().await?;
        self.leading.shutdown().await;
        Ok(())
    }
}

/// Silences all connections of a store that keeps a lock and a term with the default settings.
pub(crate) async fn silent_connections(store: Arc<dyn LockStore>, proxies: &[Proxy]) -> CaseResult {
    let settings = Settings::new();
    let ttl = settings.resolve(&store.capabilities())?.ttl;
    let kept = Kept::start(store, settings).await?;
    // The calls overlap, so each needs a connection.
    proxies.iter().for_each(|proxy| proxy.set(LinkBehaviour::Slow(Duration::from_millis(50))));
    kept.use_many().await?;
    proxies.iter().for_each(|proxy| proxy.set(LinkBehaviour::Pass));
    // The first heartbeat has opened the connections that it needs.
    sleep(ttl / 3).await;
    proxies.iter().for_each(Proxy::silence_connections);
    sleep(ttl * 3 / 2).await;
    kept.check();
    timeout(HANG, kept.end()).await?
}
