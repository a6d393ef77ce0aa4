//! The queues of the memory store: each line of the documentation of `enter`, `leave` and `renew`.

mod ends;
mod entries;
mod kinds;
mod renewals;

use super::*;
use crate::{
    Disablement, ErrorKind, FencingToken, Grant, Holder, LockKind, LockStoreExt, QueueRecord,
    Queued, Reason, TokioClock,
};

const TTL: Duration = Duration::from_secs(20);

/// One name of a store on the paused clock of the test.
struct Name {
    store: MemoryStore,
    name: LockName,
}

impl Name {
    fn new() -> Self {
        let store = MemoryStore::with_clock(Arc::new(TokioClock::new()));
        Self { store, name: LockName::new("job").unwrap() }
    }

    async fn try_enter(&self, options: &EnterOptions) -> Result<AcquireOutcome> {
        self.store.enter(&self.name, options).await
    }

    async fn enter(&self, options: &EnterOptions) -> AcquireOutcome {
        self.try_enter(options).await.unwrap()
    }

    async fn acquire(&self) -> Result<AcquireOutcome> {
        let options = AcquireOptions::new(LeaseId::new(), Holder::current(), TTL);
        self.store.acquire(&self.name, &options).await
    }

    async fn leave(&self, options: &EnterOptions) -> ReleaseOutcome {
        self.store.leave(&self.name, options.lease).await.unwrap()
    }

    async fn renew(&self, options: &EnterOptions) -> RenewOutcome {
        self.store.renew_entry(&self.name, options.lease, TTL).await.unwrap()
    }

    async fn disable(&self, reason: &str) {
        let options = DisableOptions::new(Reason::new(reason).unwrap());
        let outcome = self.store.disable(&self.name, &options).await.unwrap();
        assert_eq!(outcome, DisableOutcome::Disabled);
    }

    async fn enable(&self) {
        assert_eq!(self.store.enable(&self.name).await.unwrap(), EnableOutcome::Enabled);
    }

    async fn record(&self) -> LockRecord {
        self.store.get(&self.name).await.unwrap().unwrap()
    }

    async fn queue(&self) -> QueueRecord {
        self.record().await.queue.unwrap()
    }

    /// Returns the leases that hold the lock.
    async fn holding(&self) -> Vec<LeaseId> {
        self.queue().await.holders().iter().map(|entry| entry.id).collect()
    }
}

fn attempt(kind: LockKind) -> EnterOptions {
    EnterOptions::new(LeaseId::new(), Holder::current(), TTL, kind)
}

fn fair() -> EnterOptions {
    attempt(LockKind::Fair)
}

fn permits(weight: u32, of: u32) -> EnterOptions {
    attempt(LockKind::semaphore(of).unwrap()).with_weight(weight)
}

fn granted(outcome: AcquireOutcome) -> Grant {
    let AcquireOutcome::Granted(grant) = outcome else { panic!("{outcome:?}") };
    grant
}

fn queued(outcome: AcquireOutcome) -> Queued {
    let AcquireOutcome::Queued(queued) = outcome else { panic!("{outcome:?}") };
    queued
}

fn disabled(outcome: AcquireOutcome) -> String {
    let AcquireOutcome::Disabled(Disablement { reason, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    reason.to_string()
}

fn conflict(outcome: Result<AcquireOutcome>) -> String {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    error.to_string()
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn tokens_grow_whatever_the_name_is_used_as() {
    let name = Name::new();
    let mut last: Option<FencingToken> = None;
    let mut next = |token| assert!(last.replace(token) < Some(token));
    let first = fair();
    next(granted(name.enter(&first).await).token);
    next(queued(name.enter(&fair()).await).token);
    pass(60).await;
    next(granted(name.acquire().await.unwrap()).token);
    pass(60).await;
    next(granted(name.enter(&permits(1, 2)).await).token);
    pass(60).await;
    let all = PruneOptions::default().with_unused_for(Duration::ZERO).with_dry_run(false);
    assert_eq!(name.store.prune(&all).await.unwrap(), std::slice::from_ref(&name.name));
    next(granted(name.enter(&first).await).token);
}
