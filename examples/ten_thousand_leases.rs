//! This example measures what many leases of one process cost: calls and time per heartbeat, and
//! memory.
//!
//! All leases are guards of one client, so they share one heartbeat. Without a store URL it
//! measures the memory store and SQLite on a temporary file. Each runs in its own process, so that
//! one does not reuse memory that the other has left.
//!
//! ```text
//! cargo run --release -p leasehold-examples --example ten_thousand_leases [STORE-URL] [LEASES]
//! ```

mod counting_store;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use counting_store::{Call, CountingStore};
use futures_util::{StreamExt, TryStreamExt, stream};
use leasehold::{Client, Guard, LockStore, OpenOptions, Settings};
use tokio::process::Command;
use tokio::signal::ctrl_c;
use tokio::time::sleep;

const TTL: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_secs(3);
const INTERVAL_COUNT: u32 = 4;
/// At most this many acquires and releases are in progress at a time.
const MAX_IN_FLIGHT: usize = 64;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut urls, mut leases) = (Vec::new(), 10_000);
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(number) => leases = number,
            Err(_) => urls.push(argument),
        }
    }
    for url in &urls {
        let store = leasehold::url::open(url, &OpenOptions::default()).await?;
        measure(store, leases).await?;
    }
    if urls.is_empty() {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("leases.db");
        for url in ["memory:".to_owned(), format!("sqlite:{}", file.display())] {
            let mut process = Command::new(std::env::current_exe()?)
                .args([url, leases.to_string()])
                .kill_on_drop(true)
                .spawn()?;
            tokio::select! {
                _ = process.wait() => {}
                // The terminal also interrupts that process, which ends cleanly.
                _ = ctrl_c() => {
                    process.wait().await?;
                    break;
                }
            }
        }
    }
    Ok(())
}

async fn measure(store: Arc<dyn LockStore>, leases: usize) -> leasehold::Result<()> {
    println!("{leases} leases on {}", store.label());
    let store = Arc::new(CountingStore::new(store));
    let settings = Settings::new().ttl(TTL).heartbeat_interval(INTERVAL);
    let client = Client::builder(store.clone()).settings(settings).build()?;

    let before = resident();
    let started = Instant::now();
    let guards: Vec<Guard> = stream::iter(0..leases)
        .map(|number| {
            let client = &client;
            async move { client.lock(format!("lease-{number}"))?.acquire(TTL).await }
        })
        .buffer_unordered(MAX_IN_FLIGHT)
        .take_until(ctrl_c())
        .try_collect()
        .await?;
    println!("  acquired {} in {:.2?}", guards.len(), started.elapsed());
    let memory = |when| {
        if let (Some(before), Some(after)) = (before, resident()) {
            let each = after.saturating_sub(before) as f64 / guards.len().max(1) as f64;
            println!("  {when}: {after} KiB resident, {before} before: {each:.2} KiB per lease");
        }
    };
    memory("acquired");

    // The first interval is reported separately: the leases that were acquired in it join one
    // batch.
    let mut least = TTL;
    let interrupted = guards.len() < leases;
    for intervals in [1, INTERVAL_COUNT].into_iter().filter(|_| !interrupted) {
        tokio::select! {
            () = sleep(INTERVAL * intervals) => {}
            () = watch(&guards, &mut least) => {}
            _ = ctrl_c() => break,
        }
        let what = if intervals == 1 { "the first interval" } else { "the intervals after it" };
        report(what, &store.take_calls(), intervals);
    }
    memory("after the intervals");
    let lost = guards.iter().filter(|guard| !guard.is_held()).count();
    println!("  lost {lost}; the shortest time to a trust deadline: {least:.2?} of {TTL:?}");

    let started = Instant::now();
    let releases = stream::iter(guards).map(|guard| async { guard.release().await });
    releases.buffer_unordered(MAX_IN_FLIGHT).try_collect::<()>().await?;
    println!("  released in {:.2?}\n", started.elapsed());
    Ok(())
}

/// Records the shortest time to the trust deadline of any lease, and never returns.
async fn watch(guards: &[Guard], least: &mut Duration) {
    loop {
        let now = guards.iter().map(Guard::remaining).min();
        *least = now.unwrap_or(*least).min(*least);
        sleep(Duration::from_millis(100)).await;
    }
}

fn report(what: &str, calls: &[Call], intervals: u32) {
    let renewals: usize = calls.iter().map(|call| call.leases).sum();
    println!(
        "  {what} ({intervals} of {INTERVAL:?}): {} calls, {renewals} renewals, {:.0} leases each",
        calls.len(),
        renewals as f64 / calls.len().max(1) as f64,
    );
    for heartbeat in calls.chunk_by(|call, next| next.started - call.started < INTERVAL / 8) {
        let (first, last) = (heartbeat[0].started, heartbeat.iter().map(|call| call.ended).max());
        let took = last.map_or(Duration::ZERO, |last| last - first);
        let renewals: usize = heartbeat.iter().map(|call| call.leases).sum();
        println!(
            "    a heartbeat: {} calls, {renewals} leases, {took:.1?}, {:.1}% of the interval",
            heartbeat.len(),
            took.as_secs_f64() / INTERVAL.as_secs_f64() * 100.0,
        );
    }
}

/// Returns this process's resident memory in KiB, including that of the store and of the guards. It
/// needs no page size, unlike the same figure in `/proc/self/statm`.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
