//! Acquire and release by 64 tasks, each of its own name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use tokio::task::JoinSet;

use crate::contender::Contender;
use crate::floor::FLOOR;
use crate::slices::{Plan, interleave, run_alone, warm_up};
use crate::statistics::{median, of_slices, quantile, ratio};
use crate::table::{Table, Unit};

const TASKS: usize = 64;
const SLICE: Duration = Duration::from_millis(500);

const COLUMNS: [(&str, Unit); 6] = [
    ("locks per second", Unit::PerSecond),
    ("lower quartile", Unit::PerSecond),
    ("upper quartile", Unit::PerSecond),
    ("rate to the floor's", Unit::Ratio),
    ("median of a lock", Unit::Micros),
    ("p99 of a lock", Unit::Micros),
];

/// Returns the name of a task's lock.
pub(crate) fn name(task: usize) -> String {
    format!("bench-{task}")
}

/// Returns the names of all locks.
pub(crate) fn names() -> Vec<String> {
    (0..TASKS).map(name).collect()
}

pub(crate) async fn measure(contenders: &[Arc<dyn Contender>], plan: Plan) -> Result<Table> {
    let series = interleave(contenders, plan, slice).await?;
    let floor = contenders.iter().position(|contender| contender.name() == FLOOR);
    let floor = floor.and_then(|at| median(&series[at].rates));
    let title = format!("{TASKS} tasks on {TASKS} names");
    let mut table = Table::new(&title, "contender", &COLUMNS);
    for (contender, series) in contenders.iter().zip(&series) {
        let rate = median(&series.rates);
        let [median, _, _, p99] = of_slices(&series.times);
        let quartile = |share| quantile(&series.rates, share);
        let values = [rate, quartile(0.25), quartile(0.75), ratio(rate, floor), median, p99];
        table.add(contender.name(), values.to_vec(), series.rates.clone());
    }
    Ok(table)
}

async fn slice(contender: &Arc<dyn Contender>) -> Result<(Vec<f64>, Duration)> {
    let names = names();
    // All connections are opened before the slice begins.
    try_join_all(names.iter().map(|name| warm_up(contender, name))).await?;
    let (mut tasks, start) = (JoinSet::new(), Instant::now());
    for name in names {
        let contender = contender.clone();
        tasks.spawn(async move { run_alone(&contender, &name, SLICE).await });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    Ok((times, start.elapsed()))
}
