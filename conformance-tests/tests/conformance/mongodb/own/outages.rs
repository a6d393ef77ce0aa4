//! Servers that are not there, not MongoDB, slow, or not there for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use leasehold::OpenOptions;
use leasehold::mongodb::MongoStore;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::servers::catalog::MONGODB;
use leasehold_conformance::servers::{Conduct as ProxyConduct, Proxy};
use leasehold_conformance::{CaseResult, Client};
use leasehold_core::{Client as Engine, ErrorKind, LeaseId, LockName, LockStoreExt, Settings};
use tokio::time::{sleep, timeout};

use super::super::place::Place;
use super::super::{MongoDb, options};
use super::{PATIENCE, TTL, new_namespace, open};
use crate::stranger::{Conduct, Stranger};

/// Longer than any call takes, shorter than a hang.
const CALL: Duration = Duration::from_secs(30);

pub(super) async fn no_mongodb() -> CaseResult {
    let tries = [Conduct::Closes, Conduct::IsSilent, Conduct::HTTP].map(|conduct| async move {
        let stranger = Stranger::start(conduct).await?;
        let url = format!("mongodb://user:secret@{}/app", stranger.address());
        let options = OpenOptions::default();
        let opened = timeout(CALL, MongoStore::connect(&url, &options)).await?;
        CaseResult::Ok((conduct, opened.map(drop)))
    });
    for tried in futures_util::future::join_all(tries).await {
        let (conduct, opened) = tried?;
        let error = opened.expect_err("this is no MongoDB");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{conduct:?}: {error}");
        assert!(error.to_string().contains("MongoDB"), "{conduct:?}: {error}");
        assert!(!super::said(&error).contains("secret"), "{error}");
    }
    Ok(())
}

/// An engine on that store.
fn engine(client: &Client, ttl: Duration) -> CaseResult<Engine> {
    let settings = Settings::new().ttl(ttl);
    Ok(Engine::builder(Arc::clone(client.store())).settings(settings).build()?)
}

pub(super) async fn a_restart() -> CaseResult {
    let place = Place::start(&MONGODB).await?;
    let namespace = new_namespace()?;
    let (first, second) = (open(&place, &namespace).await?, open(&place, &namespace).await?);
    let (patient, hasty) = (engine(&first, PATIENCE * 4)?, engine(&second, PATIENCE / 12)?);
    let kept = patient.lock("kept")?.acquire(PATIENCE).await?;
    let lost = hasty.lock("lost")?.acquire(PATIENCE).await?;
    let mut hints = second.watch().await?;

    place.server()?.stop().await?;
    timeout(PATIENCE, lost.lost()).await?;
    assert!(!lost.is_held());
    assert!(kept.is_held(), "its lease lasts longer than the outage");
    let started = Instant::now();
    assert!(second.store().get(&LockName::new("kept")?).await.is_err());
    assert!(started.elapsed() < CALL);

    place.restart().await?;
    // The same clients go on, and so does the watch.
    assert!(timeout(PATIENCE, hints.next()).await?.is_some(), "the watch ended");
    let again = hasty.lock("lost")?.acquire(PATIENCE).await?;
    assert!(again.token() > lost.token());
    let beaten = Instant::now();
    while kept.remaining() < PATIENCE * 3 {
        assert!(beaten.elapsed() < PATIENCE * 2, "its heartbeats do not go on");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(kept.is_held());
    assert!(hasty.lock("kept")?.try_acquire().await?.is_none());
    let token = kept.token();
    kept.release().await?;
    assert!(hasty.lock("kept")?.acquire(PATIENCE).await?.token() > token);
    Ok(())
}

pub(super) async fn a_freeze() -> CaseResult {
    let place = Place::start(&MONGODB).await?;
    let client = open(&place, &new_namespace()?).await?;
    let (name, held, lease) = (LockName::new("job")?, LockName::new("held")?, LeaseId::new());
    let taken = client.take(&held, TTL).await?;
    place.server()?.freeze().await?;
    let asked = client.options(lease, TTL);
    let (acquired, renewed, read) = tokio::join!(
        timeout(CALL, client.store().acquire(&name, &asked)),
        timeout(CALL, client.store().renew_one(&held, taken.lease, TTL)),
        timeout(CALL, client.store().get(&held)),
    );
    place.server()?.resume().await?;
    for error in [acquired?.map(drop), renewed?.map(drop)] {
        let error = error.expect_err("the server hangs");
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    }
    assert_eq!(read?.expect_err("the server hangs").kind(), ErrorKind::Unavailable);
    // The same client goes on, and its retry is told of the grant if there was one.
    granted(client.acquire(&name, lease, TTL).await?);
    extended(client.renew(&held, taken.lease, TTL).await?);
    Ok(())
}

pub(super) async fn slow_and_cut(this: Arc<MongoDb>) -> CaseResult {
    let (place, namespace) = (this.place().await?, new_namespace()?);
    let near = open(&place, &namespace).await?;
    let proxy = Proxy::start(place.address()).await?;
    let store = MongoStore::connect(&place.url_by(&proxy.address()), &options(&namespace)).await?;
    let far = Client::new(Arc::new(store));
    let (name, ttl) = (LockName::new("job")?, PATIENCE / 12);
    let first = far.take(&name, TTL).await?;

    proxy.set(ProxyConduct::Slow(Duration::from_millis(200)));
    extended(far.renew(&name, first.lease, TTL).await?);
    proxy.set(ProxyConduct::Slow(PATIENCE * 2));
    let started = Instant::now();
    let error = far.store().renew_one(&name, first.lease, TTL).await;
    assert_eq!(error.expect_err("no answer can come").kind(), ErrorKind::OutcomeUnknown);
    assert!(started.elapsed() < CALL);
    proxy.set(ProxyConduct::Cut);
    sleep(Duration::from_millis(200)).await;
    proxy.set(ProxyConduct::Pass);
    far.give_back(&first).await?;

    // Cut for good: whoever comes next comes after the holder stopped trusting its lease.
    let engine = engine(&far, ttl)?;
    let guard = engine.lock("job")?.acquire(PATIENCE).await?;
    proxy.set(ProxyConduct::Cut);
    let next = timeout(PATIENCE, near.take_when_free(&name, TTL)).await??;
    assert!(!guard.is_held(), "two hold the lock");
    assert!(next.token > guard.token());
    timeout(PATIENCE, guard.lost()).await?;
    proxy.set(ProxyConduct::Pass);
    near.give_back(&next).await?;
    assert!(engine.lock("job")?.acquire(PATIENCE).await?.token() > next.token);
    Ok(leasehold_conformance::Backend::clean(&*this, &namespace).await?)
}
