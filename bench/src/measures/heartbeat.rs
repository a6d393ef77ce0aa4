//! The heartbeat of one process that holds few or many leases, beside the bare driver.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::floor;
use crate::leasehold_client::LEASEHOLD;
use crate::monotonic;
use crate::server_counts::{self, Reader};
use crate::statistics::{median, millis};
use crate::table::{Table, Unit};
use crate::worker::{Held, Job, Task, Worker};

const LEASES: [usize; 5] = [1, 100, 1_000, 10_000, 100_000];

/// The bare driver extends this many leases, if the server has such a floor.
const BARE_DRIVER: [(usize, &str); 2] =
    [(10_000, "10,000, bare driver"), (100_000, "100,000, bare driver")];

/// What could not be acquired within this time is left out.
const LIMIT: Duration = Duration::from_secs(300);

/// Leases that were acquired at different times join one heartbeat in this time: two intervals of
/// the default settings.
const SETTLE: Duration = Duration::from_secs(6);

/// These are five intervals of the default settings.
const LENGTH: Duration = Duration::from_secs(15);

/// The bare driver sends this many heartbeats in that time.
const HEARTBEATS: u32 = 5;

const COLUMNS: [(&str, Unit); 11] = [
    ("a beat, median", Unit::Millis),
    ("slowest beat", Unit::Millis),
    ("all leases once, without pauses", Unit::Millis),
    ("renewals of a lease in 15 s", Unit::Count),
    ("calls of a beat", Unit::Count),
    ("calls at the server per beat", Unit::Count),
    ("processor", Unit::Percent),
    ("memory of a lease", Unit::Kibibytes),
    ("least trust left", Unit::Millis),
    ("acquired", Unit::Count),
    ("lost", Unit::Count),
];

pub(crate) async fn measure(url: &str) -> Result<Table> {
    let reader = server_counts::open(url).await;
    let mut table = Table::new("Heartbeat of a process", "leases", &COLUMNS);
    for leases in LEASES {
        eprintln!("    {leases} leases");
        match hold(url, &reader, leases).await {
            Ok(done) => {
                add(&mut table, leases, &done);
                if done.held.acquired < leases {
                    // More leases would take as long, and say nothing more.
                    break;
                }
            }
            // Fewer leases were measured already.
            Err(error) => {
                eprintln!("    {leases} leases failed: {error:#}");
                break;
            }
        }
    }
    for (leases, row) in BARE_DRIVER {
        match bare_driver(url, &reader, leases).await {
            Ok(Some(done)) => add_bare_driver(&mut table, row, &done),
            Ok(None) => {}
            Err(error) => eprintln!("    {row} failed: {error:#}"),
        }
    }
    Ok(table)
}

/// What a worker and the server counted.
struct Measured {
    held: Held,
    /// This is the share of one core, in percent.
    processor: f64,
    calls: Option<f64>,
}

async fn hold(url: &str, reader: &Reader, leases: usize) -> Result<Measured> {
    let task = Task::Hold { leases, limit: LIMIT };
    let job = Job { url: url.to_owned(), library: LEASEHOLD.to_owned(), task };
    let mut worker = Worker::start(&job).await?;
    worker.ready().await?;
    worker.order("go").await?;
    worker.ready().await?;
    sleep(SETTLE).await;
    let before = server_counts::read(reader).await;
    worker.order("count").await?;
    sleep(LENGTH).await;
    let counts = server_counts::between(before, server_counts::read(reader).await);
    worker.order("stop").await?;
    let report = worker.report().await?;
    Ok(Measured {
        held: report.held.context("the worker reports no leases")?,
        processor: report.processor_time.as_secs_f64() / LENGTH.as_secs_f64() * 100.0,
        calls: counts.map(|counts| counts.calls),
    })
}

fn add(table: &mut Table, leases: usize, done: &Measured) {
    let Measured { held, processor, calls } = done;
    let times: Vec<f64> = held.beats.iter().map(|beat| millis(beat.took)).collect();
    let beats = held.beats.len().max(1) as f64;
    let own: usize = held.beats.iter().map(|beat| beat.calls).sum();
    let busy = millis(held.beats.iter().map(|beat| beat.busy).sum());
    // Leases may be renewed in several beats of an interval, and beats without a pause are one.
    let renewed: usize = held.beats.iter().map(|beat| beat.leases).sum();
    let rounds = renewed as f64 / held.acquired.max(1) as f64;
    let values = vec![
        median(&times),
        times.iter().copied().reduce(f64::max),
        (rounds > 0.0).then(|| busy / rounds),
        Some(rounds),
        Some(own as f64 / beats),
        calls.map(|calls| calls / beats),
        Some(*processor),
        Some(held.kibibytes as f64 / held.acquired.max(1) as f64),
        Some(millis(held.least_trust)),
        Some(held.acquired as f64),
        Some(held.lost as f64),
    ];
    table.add(&leases.to_string(), values, times);
}

/// The bare driver's heartbeats took this.
struct BareHeartbeats {
    times: Vec<f64>,
    /// The bare driver sent this many statements.
    sent: usize,
    /// The server counted this many calls.
    calls: Option<f64>,
    /// This is the share of one core, in percent.
    processor: f64,
}

/// Returns `None` if the server has no such floor.
async fn bare_driver(url: &str, reader: &Reader, leases: usize) -> Result<Option<BareHeartbeats>> {
    let Some(mut floor) = floor::heartbeat::open(url, leases).await? else { return Ok(None) };
    eprintln!("    {leases} leases, bare driver");
    // The first heartbeat, which prepares the statement, is not counted.
    floor.send().await?;
    let mut intervals = interval(LENGTH / HEARTBEATS);
    intervals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let before = server_counts::read(reader).await;
    let (start, used) = (Instant::now(), monotonic::processor_time());
    let (mut times, mut sent) = (Vec::new(), 0);
    for _ in 0..HEARTBEATS {
        intervals.tick().await;
        let begin = Instant::now();
        sent += floor.send().await?;
        times.push(millis(begin.elapsed()));
    }
    let used = monotonic::processor_time().saturating_sub(used);
    // The interval after the last heartbeat is counted too.
    let length = start.elapsed().max(LENGTH);
    let counts = server_counts::between(before, server_counts::read(reader).await);
    Ok(Some(BareHeartbeats {
        times,
        sent,
        calls: counts.map(|counts| counts.calls),
        processor: used.as_secs_f64() / length.as_secs_f64() * 100.0,
    }))
}

fn add_bare_driver(table: &mut Table, row: &str, done: &BareHeartbeats) {
    let heartbeats = f64::from(HEARTBEATS);
    let measured = [
        median(&done.times),
        done.times.iter().copied().reduce(f64::max),
        median(&done.times),
        Some(heartbeats),
        Some(done.sent as f64 / heartbeats),
        done.calls.map(|calls| calls / heartbeats),
        Some(done.processor),
    ];
    // The other columns are about memory, and leases that are trusted and may be lost.
    let values = measured.into_iter().chain([None; COLUMNS.len() - 7]).collect();
    table.add(row, values, done.times.clone());
}
