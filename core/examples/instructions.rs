//! The engine's own path on the memory store, whose instructions `cargo xtask instructions` counts.
//!
//! ```text
//! instructions lock|hand-over|heartbeat ROUNDS
//! ```
//!
//! Time is paused, everything runs on one thread, and the lease ids follow from a seed, so the same
//! work is done in every run.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Client, MemoryStore, TokioClock};
use tokio::runtime::Builder;
use tokio::time::sleep;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// No wait is longer.
const LIMIT: Duration = Duration::from_secs(3600);

/// This is the default interval of heartbeats.
const INTERVAL: Duration = Duration::from_secs(3);

/// The heartbeat renews this many leases.
const LEASES: usize = 100;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (scenario, rounds) = (arguments.next().unwrap_or_default(), arguments.next());
    let rounds: u32 = rounds.unwrap_or_default().parse().map_err(|_| "usage: SCENARIO ROUNDS")?;
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        match scenario.as_str() {
            "lock" => lock(rounds).await,
            "hand-over" => hand_over(rounds).await,
            "heartbeat" => heartbeat(rounds).await,
            _ => Err("the scenarios are lock, hand-over and heartbeat".into()),
        }
    })
}

/// Creates a client of that store.
fn client(store: &Arc<MemoryStore>, clock: &Arc<TokioClock>, seed: u64) -> Result<Client> {
    Ok(Client::builder(store.clone()).clock(clock.clone()).deterministic(seed).build()?)
}

/// Creates a store on paused time.
fn store() -> (Arc<MemoryStore>, Arc<TokioClock>) {
    let clock = Arc::new(TokioClock::new());
    (Arc::new(MemoryStore::with_clock(clock.clone())), clock)
}

/// Acquires and releases a lock in each round.
async fn lock(rounds: u32) -> Result<()> {
    let (store, clock) = store();
    let client = client(&store, &clock, 1)?;
    let lock = client.lock("instructions")?;
    for _ in 0..rounds {
        lock.acquire(LIMIT).await?.release().await?;
    }
    Ok(())
}

/// Releases a lock for which another client waits in each round.
async fn hand_over(rounds: u32) -> Result<()> {
    let (store, clock) = store();
    let clients = [client(&store, &clock, 1)?, client(&store, &clock, 2)?];
    let mut held = clients[0].lock("instructions")?.acquire(LIMIT).await?;
    for client in clients.iter().rev().cycle().take(rounds as usize) {
        let lock = client.lock("instructions")?;
        let waiting = tokio::spawn(async move { lock.acquire(LIMIT).await });
        // After this pause the other client waits.
        sleep(Duration::from_millis(10)).await;
        held.release().await?;
        held = waiting.await??;
    }
    held.release().await?;
    Ok(())
}

/// Keeps many leases for an interval in each round.
async fn heartbeat(rounds: u32) -> Result<()> {
    let (store, clock) = store();
    let client = client(&store, &clock, 1)?;
    let mut guards = Vec::new();
    for lease in 0..LEASES {
        guards.push(client.lock(format!("lease-{lease}"))?.acquire(LIMIT).await?);
    }
    sleep(INTERVAL * rounds).await;
    let held = guards.iter().filter(|guard| guard.is_held()).count();
    if held < LEASES {
        return Err(format!("{held} of {LEASES} leases are held").into());
    }
    for guard in guards {
        guard.release().await?;
    }
    Ok(())
}
