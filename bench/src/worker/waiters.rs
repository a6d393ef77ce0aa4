//! Many waiters that want one lock again and again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::job::{Grant, Job, Report};
use super::orders::Orders;
use crate::contender::LockLibrary;
use crate::counting_store::{CountingStore, calls_between};
use crate::leasehold_client::{FAIR, LEASEHOLD, LeaseholdClient};
use crate::{libraries, monotonic};

type Grants = Arc<Mutex<Vec<Grant>>>;

pub(super) async fn run(
    job: &Job,
    lock: &str,
    waiters: usize,
    hold: Duration,
    rest: Duration,
    orders: &mut Orders,
) -> Result<Report> {
    let (library, store) = open(job).await?;
    orders.ready().await?;
    orders.wait_for("go").await?;
    let (stop, _) = watch::channel(false);
    let (grants, mut tasks) = (Grants::default(), JoinSet::new());
    for number in 0..waiters {
        let waiter = Waiter {
            number,
            lock: lock.to_owned(),
            library: library.clone(),
            hold,
            rest,
            grants: grants.clone(),
            stopped: stop.subscribe(),
        };
        tasks.spawn(waiter.run());
    }
    orders.wait_for("count").await?;
    grants.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let before = store.as_ref().map(|store| store.calls());
    orders.wait_for("stop").await?;
    let after = store.as_ref().map(|store| store.calls());
    let counted = grants.lock().unwrap_or_else(PoisonError::into_inner).clone();
    stop.send_replace(true);
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let calls = before.zip(after).map(|(before, after)| calls_between(&before, &after));
    Ok(Report { grants: counted, calls, ..Report::default() })
}

/// Opens the library. The calls of Leasehold to its store are counted.
async fn open(job: &Job) -> Result<(Arc<dyn LockLibrary>, Option<Arc<CountingStore>>)> {
    let is_fair = job.library == FAIR;
    if !is_fair && job.library != LEASEHOLD {
        return Ok((libraries::open(&job.library, &job.url).await?, None));
    }
    let (client, store) = LeaseholdClient::counted(&job.url).await?;
    let client = if is_fair { client.fair() } else { client };
    Ok((Arc::new(client), Some(store)))
}

struct Waiter {
    number: usize,
    lock: String,
    library: Arc<dyn LockLibrary>,
    hold: Duration,
    rest: Duration,
    grants: Grants,
    stopped: watch::Receiver<bool>,
}

impl Waiter {
    async fn run(mut self) -> Result<()> {
        loop {
            let release = tokio::select! {
                biased;
                _ = self.stopped.changed() => return Ok(()),
                release = self.library.acquire(&self.lock) => release?,
            };
            let granted = monotonic::now();
            pause(self.hold).await;
            let released = monotonic::now();
            let grant = Grant { waiter: self.number, granted, released };
            self.grants.lock().unwrap_or_else(PoisonError::into_inner).push(grant);
            release.await?;
            pause(self.rest).await;
        }
    }
}

/// Sleeps for that time. A pause of zero does not even yield.
async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
