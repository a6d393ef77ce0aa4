//! The time from the start of a process to the end of its first lock.

use std::time::Instant;

use anyhow::Result;
use futures_util::future::join_all;

use crate::leasehold_client::LEASEHOLD;
use crate::slices::Plan;
use crate::statistics::{median, millis, quantile};
use crate::table::{Table, Unit};
use crate::worker::{Job, Task, Worker};

/// This many processes start at once.
const AT_ONCE: usize = 100;

const COLUMNS: [(&str, Unit); 4] = [
    ("median", Unit::Millis),
    ("p99", Unit::Millis),
    ("slowest", Unit::Millis),
    ("failed", Unit::Count),
];

pub(crate) async fn measure(url: &str, plan: Plan) -> Result<Table> {
    let mut table = Table::new("Cold start", "processes", &COLUMNS);
    let mut alone = Vec::new();
    for _ in 0..plan.slices {
        alone.push(start(url).await);
    }
    add(&mut table, "one at a time", &alone);
    let at_once = join_all((0..AT_ONCE).map(|_| start(url))).await;
    add(&mut table, &format!("{AT_ONCE} at once"), &at_once);
    Ok(table)
}

/// Returns how long a process took, in milliseconds.
async fn start(url: &str) -> Result<f64> {
    let job = Job { url: url.to_owned(), library: LEASEHOLD.to_owned(), task: Task::ColdStart };
    let begin = Instant::now();
    let mut worker = Worker::start(&job).await?;
    worker.ready().await?;
    let took = millis(begin.elapsed());
    worker.order("stop").await?;
    worker.report().await?;
    Ok(took)
}

fn add(table: &mut Table, row: &str, started: &[Result<f64>]) {
    let times: Vec<f64> = started.iter().filter_map(|took| took.as_ref().ok().copied()).collect();
    let failed = started.len() - times.len();
    let slowest = times.iter().copied().reduce(f64::max);
    let values = vec![median(&times), quantile(&times, 0.99), slowest, Some(failed as f64)];
    table.add(row, values, times);
}
