//! An interceptor sees every call, and the caller gets its reply.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;
use std::time::Duration;

use leasehold_core::intercept::{Interceptor, Reply, Request};
use leasehold_core::{
    AcquireOptions, AcquireOutcome, DisableOptions, DisableOutcome, EnableOutcome, EnterOptions,
    ErrorKind, Holder, LeaseId, ListOptions, LockKind, LockName, LockStore, MemoryStore, Presence,
    PruneOptions, Reason, ReleaseOptions, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
    async_trait,
};

const TTL: Duration = Duration::from_secs(60);

/// The log keeps the names of all operations, and of those that write.
#[derive(Debug, Default)]
struct OperationLog {
    store: MemoryStore,
    operations: Mutex<Vec<&'static str>>,
    writes: Mutex<Vec<&'static str>>,
}

#[async_trait]
impl Interceptor for OperationLog {
    fn inner(&self) -> &dyn LockStore {
        &self.store
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        self.operations.lock().unwrap().push(request.operation());
        if request.is_write() {
            self.writes.lock().unwrap().push(request.operation());
        }
        request.send_to(&self.store).await
    }
}

#[tokio::test]
async fn every_call_reaches_the_inner_store() {
    let log = OperationLog::default();
    let store: &dyn LockStore = &log;
    assert_eq!(store.label(), log.store.label());
    assert_eq!(store.capabilities(), log.store.capabilities());

    let (name, lease) = (LockName::new("job").unwrap(), LeaseId::new());
    let options = AcquireOptions::new(lease, Holder::current(), TTL);
    let outcome = store.acquire(&name, &options).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Granted(_)), "{outcome:?}");
    let renewal = RenewOptions::new(name.clone(), lease, TTL);
    let outcomes = store.renew(&[renewal]).await.unwrap();
    assert!(matches!(outcomes[..], [RenewOutcome::Extended { .. }]), "{outcomes:?}");
    assert_eq!(store.release(&name, lease).await.unwrap(), ReleaseOutcome::Released);
    let outcomes = store.acquire_many(&[(name.clone(), options)]).await;
    assert!(matches!(outcomes[..], [Ok(AcquireOutcome::Granted(_))]), "{outcomes:?}");
    let outcomes = store.release_many(&[ReleaseOptions::new(name.clone(), lease)]).await;
    assert!(matches!(outcomes[..], [Ok(ReleaseOutcome::Released)]), "{outcomes:?}");
    let entry = EnterOptions::new(LeaseId::new(), Holder::current(), TTL, LockKind::Fair);
    let outcome = store.enter(&name, &entry).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Granted(_)), "{outcome:?}");
    assert_eq!(store.leave(&name, entry.lease).await.unwrap(), ReleaseOutcome::Released);
    let disable = DisableOptions::new(Reason::new("upgrade").unwrap());
    assert_eq!(store.disable(&name, &disable).await.unwrap(), DisableOutcome::Disabled);
    assert_eq!(store.enable(&name).await.unwrap(), EnableOutcome::Enabled);
    assert!(store.get(&name).await.unwrap().is_some());
    assert_eq!(store.list(&ListOptions::default()).await.unwrap().len(), 1);
    assert!(store.prune(&PruneOptions::default()).await.unwrap().is_empty());
    let holder = Holder::current();
    let instance = holder.instance;
    let presence = Presence::new(holder, vec![name]);
    store.announce(&presence, TTL).await.unwrap();
    let known = store.instances().await.unwrap();
    assert_eq!(known.iter().map(|known| &known.presence).collect::<Vec<_>>(), [&presence]);
    store.withdraw(instance).await.unwrap();
    drop(store.watch().await.unwrap());

    let writes = [
        "acquire",
        "renew",
        "release",
        "acquire_many",
        "release_many",
        "enter",
        "leave",
        "disable",
        "enable",
        "prune",
    ];
    assert_eq!(*log.writes.lock().unwrap(), writes);
    let operations = [
        "acquire",
        "renew",
        "release",
        "acquire_many",
        "release_many",
        "enter",
        "leave",
        "disable",
        "enable",
        "get",
        "list",
        "prune",
        "announce",
        "instances",
        "withdraw",
        "watch",
    ];
    assert_eq!(*log.operations.lock().unwrap(), operations);
}

/// This interceptor replies to every call as if it had been a withdrawal.
#[derive(Debug, Default)]
struct WrongReplies(MemoryStore);

#[async_trait]
impl Interceptor for WrongReplies {
    fn inner(&self) -> &dyn LockStore {
        &self.0
    }

    async fn intercept(&self, _: Request) -> Result<Reply> {
        Ok(Reply::Withdraw)
    }
}

#[tokio::test]
async fn the_reply_to_another_call_is_an_error() {
    let error = WrongReplies::default().instances().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.to_string();
    assert!(text.contains("instances"), "{text}");

    let lease = ReleaseOptions::new(LockName::new("job").unwrap(), LeaseId::new());
    let outcomes = WrongReplies::default().release_many(&[lease.clone(), lease]).await;
    assert!(matches!(outcomes[..], [Err(_), Err(_)]), "{outcomes:?}");
}
