//! These limits protect the store and the other callers from any one caller.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::problem::Problem;

/// The limits bound what callers can request. The defaults suit some dozens of people and programs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest accepted body, in bytes; the default is 16 KiB.
    pub body_bytes: usize,
    /// A body must arrive within this time; the default is 10 s.
    pub body_time: Duration,
    /// The maximum reads per second, on average and for all callers together; the default is 200.
    /// The reads of one second may come at once.
    pub reads_per_second: u32,
    /// The maximum writes per second, counted in the same way; the default is 20.
    pub writes_per_second: u32,
    /// The maximum number of requests that wait for the store; the default is 32.
    pub in_flight: usize,
    /// The maximum number of concurrent event streams; the default is 64.
    pub listeners: usize,
    /// The maximum number of open connections of a [`Server`](crate::Server); the default is 512.
    pub connections: usize,
    /// A connection may be this long without a complete request, or without reading a response; the
    /// default is 10 s.
    pub idle_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 16 * 1024,
            body_time: Duration::from_secs(10),
            reads_per_second: 200,
            writes_per_second: 20,
            in_flight: 32,
            listeners: 64,
            connections: 512,
            idle_time: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// Sets the maximum writes per second.
    #[must_use]
    pub fn writes_per_second(self, writes_per_second: u32) -> Self {
        Self { writes_per_second, ..self }
    }

    /// Sets the maximum reads per second.
    #[must_use]
    pub fn reads_per_second(self, reads_per_second: u32) -> Self {
        Self { reads_per_second, ..self }
    }

    /// Sets the maximum number of open connections.
    #[must_use]
    pub fn connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// Sets the time to wait for a body, and the time to wait for a request or a reader.
    #[must_use]
    pub fn times(self, body_time: Duration, idle_time: Duration) -> Self {
        Self { body_time, idle_time, ..self }
    }

    /// Sets the maximum number of concurrent event streams.
    #[must_use]
    pub fn listeners(self, listeners: usize) -> Self {
        Self { listeners, ..self }
    }
}

/// A request that calls the store must first pass this gate.
#[derive(Debug)]
pub(crate) struct Gate {
    reads: Bucket,
    writes: Bucket,
    in_flight: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            reads: Bucket::new(limits.reads_per_second),
            writes: Bucket::new(limits.writes_per_second),
            in_flight: Arc::new(Semaphore::new(limits.in_flight)),
        }
    }

    /// Admits a read, which counts until the permit is dropped.
    pub(crate) fn read(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.pass(&self.reads)
    }

    /// Admits a write, which counts until the permit is dropped.
    pub(crate) fn write(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.pass(&self.writes)
    }

    fn pass(&self, bucket: &Bucket) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = self.in_flight.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Problem::busy("requests"))?;
        if bucket.take(Instant::now()) { Ok(permit) } else { Err(Problem::too_many_requests()) }
    }
}

/// A token bucket fills at a steady rate.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    state: Mutex<(f64, Instant)>,
}

impl Bucket {
    fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, state: Mutex::new((per_second, Instant::now())) }
    }

    fn take(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let (left, last) = *state;
        let added = now.saturating_duration_since(last).as_secs_f64() * self.per_second;
        let left = (left + added).min(self.per_second);
        let granted = left >= 1.0;
        *state = (if granted { left - 1.0 } else { left }, now.max(last));
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_bucket_enforces_its_rate() {
        let start = Instant::now();
        let bucket = Bucket::new(10);
        let take = |millis| bucket.take(start + Duration::from_millis(millis));
        let taken = |millis, tries| (0..tries).filter(|_| take(millis)).count();
        assert!((10..=11).contains(&taken(0, 100)), "the permits of one second at once");
        assert_eq!(taken(50, 100), 0);
        assert_eq!(taken(550, 100), 5);
        assert_eq!(taken(100_000, 100), 10, "unused permits do not accumulate");
        assert!(!Bucket::new(0).take(start + Duration::from_secs(1000)));
    }
}
