//! What a leader and candidates cost while nothing happens, and the connections that they hold.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::time::sleep;

use crate::leasehold_client::LEASEHOLD;
use crate::server_counts::{self, Counts, Reader};
use crate::statistics::millis;
use crate::table::{Table, Unit};
use crate::url::scheme;
use crate::worker::{Job, Task, Worker};

/// This is the default.
const TTL: Duration = Duration::from_secs(15);

const SETTLE: Duration = Duration::from_secs(10);
const LENGTH: Duration = Duration::from_secs(45);

/// This many processes are measured on SQLite, where no server limits the number of connections.
const PROCESSES: usize = 1_000;

/// At most this many processes start at the same time: with more, the leader could lose its lease.
const MAX_STARTING: usize = 20;

const COLUMNS: [(&str, Unit); 6] = [
    ("calls to the store per minute", Unit::Count),
    ("calls at the server per minute", Unit::Count),
    ("processor per minute", Unit::Millis),
    ("processor", Unit::Percent),
    ("connections of the client", Unit::Count),
    ("connections at the server", Unit::Count),
];

/// The processes of a row used this together.
#[derive(Debug, Default)]
struct Usage {
    calls: u64,
    processor_time: Duration,
    connections: usize,
}

/// These are the numbers of a row's processes and of the candidates in each of them.
#[derive(Clone, Copy, Debug)]
struct Campaign {
    processes: usize,
    candidates: usize,
}

pub(crate) async fn measure(url: &str) -> Result<Table> {
    let reader = server_counts::open(url).await;
    let mut table = Table::new("Idle processes", "process", &COLUMNS);
    let before = server_counts::read(&reader).await;
    let (used, of_leader) = observe(vec![leader(url).await?], &reader).await?;
    add(&mut table, "a leader", &used, of_leader, before);
    let mut campaigns = vec![
        ("a candidate", Campaign { processes: 1, candidates: 1 }),
        ("1,000 candidates", Campaign { processes: 1, candidates: 1_000 }),
    ];
    if scheme(url) == "sqlite" {
        let campaign = Campaign { processes: PROCESSES, candidates: 1 };
        campaigns.push(("1,000 processes with a candidate each", campaign));
    }
    for (row, campaign) in campaigns {
        eprintln!("    {row}");
        // The last leader did not release its lease.
        sleep(TTL).await;
        let leader = leader(url).await?;
        let before = server_counts::read(&reader).await;
        match observe_campaign(url, campaign, &reader).await {
            Ok((used, both)) => {
                let own = both.zip(of_leader).map(|(both, leader)| {
                    let calls = (both.calls - leader.calls).max(0.0);
                    Counts { calls, ..both }
                });
                add(&mut table, row, &used, own, before);
            }
            // The other rows are still of interest.
            Err(error) => eprintln!("    {row} failed: {error:#}"),
        }
        leader.kill().await?;
    }
    // What is measured next begins with a free name.
    sleep(TTL).await;
    Ok(table)
}

/// Starts a process whose candidates campaign.
async fn start(url: &str, candidates: usize) -> Result<Worker> {
    let task = Task::Campaign { candidates, ttl: TTL };
    let job = Job { url: url.to_owned(), library: LEASEHOLD.to_owned(), task };
    let mut worker = Worker::start(&job).await?;
    worker.ready().await?;
    worker.order("go").await?;
    Ok(worker)
}

/// Starts a candidate and waits until it leads.
async fn leader(url: &str) -> Result<Worker> {
    let mut worker = start(url, 1).await?;
    worker.started().await?;
    Ok(worker)
}

/// Starts the processes and observes them.
async fn observe_campaign(
    url: &str,
    campaign: Campaign,
    reader: &Reader,
) -> Result<(Usage, Option<Counts>)> {
    raise_file_limit();
    let mut workers = Vec::new();
    while workers.len() < campaign.processes {
        let group = MAX_STARTING.min(campaign.processes - workers.len());
        workers.extend(try_join_all((0..group).map(|_| start(url, campaign.candidates))).await?);
    }
    observe(workers, reader).await
}

/// Allows this process as many open files as the system permits, because it has pipes to each
/// worker.
fn raise_file_limit() {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    // If this fails, the start of a worker may fail, which is reported.
    let _ = setrlimit(Resource::Nofile, files);
}

/// Waits until the workers are idle, counts for a time and ends them.
async fn observe(mut workers: Vec<Worker>, reader: &Reader) -> Result<(Usage, Option<Counts>)> {
    sleep(SETTLE).await;
    let before = server_counts::read(reader).await;
    for worker in &mut workers {
        worker.order("count").await?;
    }
    sleep(LENGTH).await;
    let counts = server_counts::between(before, server_counts::read(reader).await);
    for worker in &mut workers {
        worker.order("stop").await?;
    }
    let mut used = Usage::default();
    for worker in workers {
        let report = worker.report().await?;
        used.calls += report.calls.iter().flatten().map(|(_, count)| count).sum::<u64>();
        used.processor_time += report.processor_time;
        used.connections += report.connections;
    }
    Ok((used, counts))
}

fn add(table: &mut Table, row: &str, used: &Usage, counts: Option<Counts>, before: Option<Counts>) {
    let minutes = LENGTH.as_secs_f64() / 60.0;
    let open = counts.and_then(|counts| counts.open);
    let open_before = before.and_then(|before| before.open);
    let values = vec![
        Some(used.calls as f64 / minutes),
        counts.map(|counts| counts.calls / minutes),
        Some(millis(used.processor_time) / minutes),
        Some(used.processor_time.as_secs_f64() / LENGTH.as_secs_f64() * 100.0),
        Some(used.connections as f64),
        open.zip(open_before).map(|(open, before)| open - before),
    ];
    table.add(row, values, Vec::new());
}
