//! Thousands of locks and elections begin and end for minutes while the resources of the process
//! are measured: memory, tasks, files and connections must not grow. Names are reused, because a
//! store keeps a record of each name for its tokens.

mod churn;
mod resources;
mod verdict;

use std::fmt;
use std::time::Duration;

use leasehold::{OpenOptions, Result, url};
use tokio::time::Instant;

use churn::Churn;
pub use churn::{Leak, Load};
use resources::ResourceSampler;
pub use resources::Sample;
pub use verdict::{Growth, growth};

/// This is the result of a soak.
#[derive(Clone, Debug)]
pub struct SoakResult {
    /// This is the number of locks that were acquired.
    pub locks: u64,
    /// This is the number of terms that were led.
    pub terms: u64,
    /// These are the resources in use, second by second.
    pub samples: Vec<Sample>,
    /// This is the number of tasks that were left after everything was shut down.
    pub left: usize,
}

/// Uses locks and elections on that store for that time.
///
/// A load that the store cannot serve in time ends in timeouts alone, and shows little.
///
/// # Errors
/// Returns an error if the store cannot be opened.
pub async fn soak(
    store: &str,
    time: Duration,
    load: Load,
    leak: Option<Leak>,
) -> Result<SoakResult> {
    let mut meter = ResourceSampler::new();
    let churn = Churn::begin(url::open(store, &OpenOptions::default()).await?, load, leak)?;
    let end = Instant::now() + time;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(1)).await;
        meter.sample();
    }
    let (locks, terms) = churn.end().await;
    Ok(SoakResult { locks, terms, samples: meter.samples, left: resources::tasks_left().await })
}

impl fmt::Display for SoakResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { locks, terms, samples, left } = self;
        let seconds = samples.len();
        write!(f, "{locks} locks and {terms} terms in {seconds} s, {left} tasks left; ")?;
        let Sample { memory, tasks, files, connections } =
            samples.last().copied().unwrap_or_default();
        write!(
            f,
            "at the end {} MiB, {tasks} tasks, {files} files, {connections} connections",
            memory / 1024
        )?;
        growth(samples).iter().try_for_each(|growth| write!(f, "\n{growth}"))
    }
}
