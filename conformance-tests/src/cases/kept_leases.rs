//! Promises `renewals-are-repeated` and `independent-heartbeats`: leases are kept although open
//! connections go silent, and although the application's threads compute or block.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use leasehold_core::election::{Leadership, job_fn};
use leasehold_core::{Client as Engine, Settings};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::engine::{campaign, client, ttl};
use super::unknown::{LIMIT, over_link};
use crate::failure::caught;
use crate::job_log::{Entry, JobBehaviour, JobLog};
use crate::{CaseResult, Ctx, Failure};

crate::case::cases! {
    RenewalsAreRepeated: [
        leases_are_kept_when_open_connections_go_silent[Outages, SteadyMachine],
    ],
    IndependentHeartbeats: [
        a_lock_is_kept_while_its_holders_runtime_is_blocked[SteadyMachine],
        a_term_is_kept_while_its_jobs_runtime_is_blocked[SteadyMachine],
    ],
}

/// This is the default ttl, which all other default settings fit.
const DEFAULT_TTL: Duration = Duration::from_secs(15);

/// A firewall or a switch may drop its connection state. New connections work, so a retry on a new
/// connection gets its reply long before the lease expires.
async fn leases_are_kept_when_open_connections_go_silent(ctx: Ctx) -> CaseResult {
    let (link, far) = over_link(&ctx).await?;
    let settings = Settings::new().ttl(DEFAULT_TTL * ctx.pace());
    let engine = Engine::builder(far.store().clone()).settings(settings).build()?;
    let log = JobLog::default();
    let works = JobBehaviour::Works(Duration::ZERO);
    let leader = campaign(engine.election("term")?, &log, 1, works);
    let leads = timeout(LIMIT, log.wait_for_terms(1)).await;
    leads.map_err(|_| Failure::new("no instance leads"))?;
    let guard = engine.lock("job")?.acquire(LIMIT).await?;
    // The heartbeat connections are open once the first heartbeat was answered.
    let trusted_until = || Instant::now() + guard.remaining();
    let first = trusted_until();
    while guard.is_held() && trusted_until() < first + Duration::from_secs(1) {
        sleep(Duration::from_millis(50)).await;
    }
    link.silence_connections().await;
    // Without a new connection, every lease is lost within a ttl.
    tokio::select! {
        loss = guard.lost() => return Err(Failure::new(format!("the lock is lost: {loss:?}"))),
        entry = log.wait_for(|entry| matches!(entry, Entry::Stopping { .. })) => {
            return Err(Failure::new(format!("the term ends: {entry:?}")));
        }
        () = sleep(DEFAULT_TTL * ctx.pace()) => {}
    }
    assert!(guard.is_held(), "the lock is lost");
    drop(guard);
    leader.shutdown().await;
    Ok(())
}

/// Runs the future on a runtime of one thread, which nothing else uses.
fn on_one_thread<T: Send + 'static>(
    work: impl Future<Output = CaseResult<T>> + Send + 'static,
) -> impl Future<Output = CaseResult<T>> {
    let (done, result) = oneshot::channel();
    thread::spawn(move || {
        let ran = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(caught(work)),
            Err(error) => Err(error.into()),
        };
        // This fails only if the case has ended.
        drop(done.send(ran));
    });
    async { result.await.unwrap_or_else(|_| Err(Failure::new("the thread ended early"))) }
}

/// Tries to acquire the lock from another client while the other thread computes.
async fn nobody_is_granted_it(ctx: &Ctx, computes: &AtomicBool) -> CaseResult {
    let (near, name) = (ctx.open().await?, ctx.name("job"));
    while computes.load(Ordering::SeqCst) {
        let taken = near.try_acquire(&name, ctx.long_ttl()).await?;
        if taken.is_ok() && computes.load(Ordering::SeqCst) {
            let message = "the lock was granted to another client while its holder computed";
            return Err(Failure::new(message));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Blocks the thread for three ttls, and returns whether the lease is trusted after that.
fn compute(ctx: &Ctx, computes: &AtomicBool, is_held: impl Fn() -> bool) -> bool {
    thread::sleep(ttl(ctx) * 3);
    let held = is_held();
    computes.store(false, Ordering::SeqCst);
    held
}

async fn a_lock_is_kept_while_its_holders_runtime_is_blocked(ctx: Ctx) -> CaseResult {
    let computes = Arc::new(AtomicBool::new(true));
    let (granted, begun) = oneshot::channel();
    let (there, computing) = (ctx.clone(), Arc::clone(&computes));
    let holder = on_one_thread(async move {
        let engine = client(&there).await?;
        let guard = engine.lock("job")?.acquire(LIMIT).await?;
        _ = granted.send(());
        let held = compute(&there, &computing, || guard.is_held());
        guard.release().await?;
        Ok(held)
    });
    if begun.await.is_ok() {
        nobody_is_granted_it(&ctx, &computes).await?;
    }
    assert!(holder.await?, "the lock was lost while its holder computed");
    Ok(())
}

async fn a_term_is_kept_while_its_jobs_runtime_is_blocked(ctx: Ctx) -> CaseResult {
    let computes = Arc::new(AtomicBool::new(true));
    let (granted, begun) = oneshot::channel();
    let (there, computing) = (ctx.clone(), Arc::clone(&computes));
    let leader = on_one_thread(async move {
        let engine = client(&there).await?;
        let (send, mut held) = mpsc::unbounded_channel();
        let (granted, inner) = (parking_lot::Mutex::new(Some(granted)), there.clone());
        let job = job_fn(move |leadership: Leadership| {
            let granted = granted.lock().take();
            let (ctx, computing, send) = (inner.clone(), Arc::clone(&computing), send.clone());
            async move {
                if let Some(granted) = granted {
                    _ = granted.send(());
                    let held = compute(&ctx, &computing, || leadership.is_held());
                    _ = send.send(held);
                }
                leadership.cancelled().await;
                Ok(())
            }
        });
        let handle = engine.election("job")?.spawn(job);
        let held = timeout(LIMIT, held.recv()).await;
        let held = held.ok().flatten().ok_or_else(|| Failure::new("the job did not run"))?;
        handle.shutdown().await;
        Ok(held)
    });
    if begun.await.is_ok() {
        nobody_is_granted_it(&ctx, &computes).await?;
    }
    assert!(leader.await?, "the term was lost while its job computed");
    Ok(())
}
