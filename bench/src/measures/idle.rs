//! What a leader and candidates cost while nothing happens, and the connections that they hold.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::leasehold_client::LEASEHOLD;
use crate::server_counts::{self, Counts, Reader};
use crate::statistics::millis;
use crate::table::{Table, Unit};
use crate::worker::{Job, Report, Task, Worker};

/// This is the default.
const TTL: Duration = Duration::from_secs(15);

const SETTLE: Duration = Duration::from_secs(10);
const LENGTH: Duration = Duration::from_secs(45);

const COLUMNS: [(&str, Unit); 5] = [
    ("calls to the store per minute", Unit::Count),
    ("calls at the server per minute", Unit::Count),
    ("processor per minute", Unit::Millis),
    ("connections of the process", Unit::Count),
    ("connections at the server", Unit::Count),
];

pub(crate) async fn measure(url: &str) -> Result<Table> {
    let reader = server_counts::open(url).await;
    let mut table = Table::new("Idle processes", "process", &COLUMNS);
    let before = server_counts::read(&reader).await;
    let leader = leader(url).await?;
    let (report, of_leader) = observe(leader, &reader).await?;
    add(&mut table, "a leader", &report, of_leader, before);
    for candidates in [1, 1_000] {
        // The last leader did not release its lease.
        sleep(TTL).await;
        let leader = self::leader(url).await?;
        let before = server_counts::read(&reader).await;
        let mut worker = start(url, candidates).await?;
        worker.order("go").await?;
        let (report, both) = observe(worker, &reader).await?;
        let own = both.zip(of_leader).map(|(both, leader)| {
            let calls = (both.calls - leader.calls).max(0.0);
            Counts { calls, ..both }
        });
        let row = if candidates == 1 { "a candidate" } else { "1,000 candidates" };
        add(&mut table, row, &report, own, before);
        leader.kill().await?;
    }
    // What is measured next begins with a free name.
    sleep(TTL).await;
    Ok(table)
}

async fn start(url: &str, candidates: usize) -> Result<Worker> {
    let task = Task::Campaign { candidates, ttl: TTL };
    let job = Job { url: url.to_owned(), library: LEASEHOLD.to_owned(), task };
    let mut worker = Worker::start(&job).await?;
    worker.ready().await?;
    Ok(worker)
}

/// Starts a candidate and waits until it leads.
async fn leader(url: &str) -> Result<Worker> {
    let mut worker = start(url, 1).await?;
    worker.order("go").await?;
    worker.started().await?;
    Ok(worker)
}

/// Waits until the worker is idle, counts for a time and ends it.
async fn observe(mut worker: Worker, reader: &Reader) -> Result<(Report, Option<Counts>)> {
    sleep(SETTLE).await;
    let before = server_counts::read(reader).await;
    worker.order("count").await?;
    sleep(LENGTH).await;
    let counts = server_counts::between(before, server_counts::read(reader).await);
    worker.order("stop").await?;
    Ok((worker.report().await?, counts))
}

fn add(
    table: &mut Table,
    row: &str,
    report: &Report,
    counts: Option<Counts>,
    before: Option<Counts>,
) {
    let minutes = LENGTH.as_secs_f64() / 60.0;
    let calls = report.calls.as_ref().map(|calls| calls.values().sum::<u64>() as f64);
    let open = counts.and_then(|counts| counts.open);
    let open_before = before.and_then(|before| before.open);
    let values = vec![
        calls.map(|calls| calls / minutes),
        counts.map(|counts| counts.calls / minutes),
        Some(millis(report.processor_time) / minutes),
        Some(report.connections as f64),
        open.zip(open_before).map(|(open, before)| open - before),
    ];
    table.add(row, values, Vec::new());
}
