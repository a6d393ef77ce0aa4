//! What an uncontended lock costs in calls: of the engine to the store, and at the server.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::contender::LockLibrary;
use crate::counting_store::{CountingStore, calls_between};
use crate::leasehold_client::LeaseholdClient;
use crate::server_counts::{self, Reader};
use crate::table::{Table, Unit};

/// This many locks are acquired and released one after the other, each of a name of its own.
const LOCKS: usize = 100;

/// What a client does in the background after its last lock counts too.
const SETTLE: Duration = Duration::from_secs(3);

const COLUMNS: [(&str, Unit); 5] = [
    ("calls to the store", Unit::Count),
    ("other calls than acquire and release", Unit::Count),
    ("calls at the server", Unit::Count),
    ("durable writes at the server", Unit::Count),
    ("new connections", Unit::Count),
];

pub(crate) async fn measure(url: &str) -> Result<Table> {
    let reader = server_counts::open(url).await;
    let mut table = Table::new("Calls per uncontended lock", "contender", &COLUMNS);
    for is_fair in [false, true] {
        let (client, store) = LeaseholdClient::counted(url).await?;
        let client = if is_fair { client.fair() } else { client };
        add(&mut table, &reader, &client, &store).await?;
    }
    Ok(table)
}

async fn add(
    table: &mut Table,
    reader: &Reader,
    client: &LeaseholdClient,
    store: &CountingStore,
) -> Result<()> {
    // The first lock opens the connections.
    client.acquire("bench-calls").await?.await?;
    sleep(SETTLE).await;
    let (calls, counts) = (store.calls(), server_counts::read(reader).await);
    for lock in 0..LOCKS {
        client.acquire(&format!("bench-calls-{lock}")).await?.await?;
    }
    sleep(SETTLE).await;
    let calls = calls_between(&calls, &store.calls());
    let counts = server_counts::between(counts, server_counts::read(reader).await);
    let per_lock = |count: f64| count / LOCKS as f64;
    // A fair lock is acquired and released by entering and leaving its queue.
    let is_other =
        |operation: &str| !matches!(operation, "acquire" | "enter" | "leave" | "release");
    let all: u64 = calls.values().sum();
    let others = calls.iter().filter(|(operation, _)| is_other(operation.as_str()));
    let others: u64 = others.map(|(_, count)| *count).sum();
    let values = vec![
        Some(per_lock(all as f64)),
        Some(per_lock(others as f64)),
        counts.map(|counts| per_lock(counts.calls)),
        counts.and_then(|counts| counts.writes).map(per_lock),
        counts.and_then(|counts| counts.opened).map(per_lock),
    ];
    table.add(client.name(), values, Vec::new());
    Ok(())
}
