//! What one caller can make the others, and the store, put up with.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::problem::Problem;

/// Bounds on what callers can ask for. The defaults suit some dozens of people and programs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest body that is read, in bytes: 16 KiB.
    pub body_bytes: usize,
    /// How long a body may take to arrive: 10 s.
    pub body_time: Duration,
    /// Reads a second, on average and all callers together: 200. A second's worth at once.
    pub reads_per_second: u32,
    /// Writes a second, likewise: 20.
    pub writes_per_second: u32,
    /// Requests that may wait for the store at a time: 32.
    pub in_flight: usize,
    /// Callers that may follow the stream of changes at a time: 64.
    pub listeners: usize,
    /// Connections that [`Server`](crate::Server) has open at a time: 512.
    pub connections: usize,
    /// How long a connection may be without a whole request, or without taking in an answer: 10 s.
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
    /// With another number of writes a second.
    #[must_use]
    pub fn writes_per_second(self, writes_per_second: u32) -> Self {
        Self { writes_per_second, ..self }
    }

    /// With another number of reads a second.
    #[must_use]
    pub fn reads_per_second(self, reads_per_second: u32) -> Self {
        Self { reads_per_second, ..self }
    }

    /// With another number of connections at a time.
    #[must_use]
    pub fn connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// With other times to wait for a body, and for a request or a reader.
    #[must_use]
    pub fn times(self, body_time: Duration, idle_time: Duration) -> Self {
        Self { body_time, idle_time, ..self }
    }

    /// With another number of followers of the stream of changes at a time.
    #[must_use]
    pub fn listeners(self, listeners: usize) -> Self {
        Self { listeners, ..self }
    }
}

/// Where a request that goes to the store asks first.
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

    /// Lets a read pass; it counts as long as the permit lives.
    pub(crate) fn read(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.pass(&self.reads)
    }

    /// Lets a write pass; it counts as long as the permit lives.
    pub(crate) fn write(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.pass(&self.writes)
    }

    fn pass(&self, bucket: &Bucket) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = self.in_flight.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Problem::busy("requests"))?;
        if bucket.take(Instant::now()) { Ok(permit) } else { Err(Problem::too_many_requests()) }
    }
}

/// A bucket of permissions that fills up at a steady rate.
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
        let gained = now.saturating_duration_since(last).as_secs_f64() * self.per_second;
        let left = (left + gained).min(self.per_second);
        let granted = left >= 1.0;
        *state = (if granted { left - 1.0 } else { left }, now.max(last));
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_not_more() {
        let start = Instant::now();
        let bucket = Bucket::new(10);
        let take = |millis| bucket.take(start + Duration::from_millis(millis));
        let taken = |millis, tries| (0..tries).filter(|_| take(millis)).count();
        assert!((10..=11).contains(&taken(0, 100)), "a second's worth at once");
        assert_eq!(taken(50, 100), 0);
        assert_eq!(taken(550, 100), 5);
        assert_eq!(taken(100_000, 100), 10, "what is not taken does not pile up");
        assert!(!Bucket::new(0).take(start + Duration::from_secs(1000)));
    }
}
