//! Contenders are measured in slices, in random order, so that what changes on the machine during
//! a run affects all of them alike.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::contender::{Contender, Named};
use crate::statistics::micros;

/// The plan of all measurements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Each contender is measured in this many slices.
    pub(crate) slices: usize,
}

/// Each slice begins with this many operations that are not counted, because connections were idle.
pub(crate) const WARM_UP: usize = 20;

/// The times of one contender, in microseconds, by slice, and its operations per second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    pub(crate) times: Vec<Vec<f64>>,
    pub(crate) rates: Vec<f64>,
}

/// Runs each contender for a slice in each round, in random order.
///
/// `slice` returns the times of a slice, in microseconds, and for how long it ran.
pub(crate) async fn interleave<C: Named>(
    contenders: &[C],
    plan: Plan,
    mut slice: impl AsyncFnMut(&C) -> Result<(Vec<f64>, Duration)>,
) -> Result<Vec<Series>> {
    let mut series = vec![Series::default(); contenders.len()];
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    for _ in 0..plan.slices {
        fastrand::shuffle(&mut order);
        for at in order.iter().copied() {
            let contender = &contenders[at];
            let named = || format!("{} failed", contender.name());
            let (times, took) = slice(contender).await.with_context(named)?;
            series[at].rates.push(times.len() as f64 / took.as_secs_f64());
            series[at].times.push(times);
        }
    }
    Ok(series)
}

/// Runs a contender in one task for that long, and returns the time of each operation.
pub(crate) async fn run_alone(
    contender: &Arc<dyn Contender>,
    lock: &str,
    length: Duration,
) -> Result<Vec<f64>> {
    let (mut times, start) = (Vec::new(), Instant::now());
    while start.elapsed() < length {
        let begin = Instant::now();
        contender.run(lock).await?;
        times.push(micros(begin.elapsed()));
    }
    Ok(times)
}

/// Runs operations that are not counted.
pub(crate) async fn warm_up(contender: &Arc<dyn Contender>, lock: &str) -> Result<()> {
    for _ in 0..WARM_UP {
        contender.run(lock).await?;
    }
    Ok(())
}
