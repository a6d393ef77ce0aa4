//! An observer follows who leads a name without campaigning.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use futures_util::stream;

use crate::engine::{Engine, Subscription};
use crate::{
    Disablement, EntryRecord, FencingToken, Holder, LockName, LockRecord, QueueRecord, Result,
    Timing,
};

/// An observation says who led a name a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observation {
    /// This leader holds the name; `None` means that nobody holds it. It is the first of several in
    /// an election of [several leaders](crate::Election::leaders).
    pub leader: Option<Leader>,
    /// These are all leaders that hold the name, in the order of their tokens.
    pub leaders: Vec<Leader>,
    /// The name is disabled if this is set.
    pub disabled: Option<Disablement>,
}

/// A leader is the holder of a name, and its term.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// This instance leads.
    pub holder: Holder,
    /// The leader's term has this fencing token.
    pub token: FencingToken,
}

/// This stream yields an [`Observation`] for each change and never ends.
///
/// An error is an item too, and the stream continues after it. It can be dropped at any time.
pub type Observations = Pin<Box<dyn Stream<Item = Result<Observation>> + Send>>;

struct Observer {
    engine: Arc<Engine>,
    name: LockName,
    timing: Arc<Timing>,
    hints: Subscription,
    last: Option<Observation>,
    /// The observer waits this long for a hint before the next read.
    pause: Duration,
    polls_without_leader: u32,
}

/// Starts to observe the name. This must be called within a runtime.
pub(crate) fn observe(engine: Arc<Engine>, name: LockName, timing: Arc<Timing>) -> Observations {
    let observer = Observer {
        hints: engine.hint_dispatcher.subscribe(name.clone()),
        engine,
        name,
        timing,
        last: None,
        pause: Duration::ZERO,
        polls_without_leader: 0,
    };
    Box::pin(stream::unfold(observer, |mut observer| async move {
        let observation = observer.next().await;
        Some((observation, observer))
    }))
}

impl Observer {
    async fn next(&mut self) -> Result<Observation> {
        loop {
            let next_read = self.engine.now() + self.pause;
            tokio::select! {
                biased;
                () = self.engine.store.clock().sleep_until(next_read) => {}
                _ = self.hints.changed() => {}
            }
            let record = self.engine.store.get(&self.name, self.timing.call_limit()).await;
            let record = record.and_then(|record| {
                record.map_or_else(
                    || Ok(LockRecord::unused(self.name.clone())),
                    LockRecord::into_result,
                )
            });
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    let pause = self.timing.poll_interval;
                    self.pause = pause + self.engine.jitter(pause / 10);
                    return Err(error);
                }
            };
            self.pause = self.next_pause(&record);
            let leaders = leaders(&record);
            let leader = leaders.first().cloned();
            let observation = Observation { leader, leaders, disabled: record.disabled };
            if self.last.as_ref().is_none_or(|last| !last.is_same_state(&observation)) {
                self.last = Some(observation.clone());
                return Ok(observation);
            }
        }
    }

    /// Returns how long to wait for a hint. Grants cause no hints, so a free name is read again
    /// soon, and then less and less often.
    fn next_pause(&mut self, record: &LockRecord) -> Duration {
        let poll = self.timing.poll_interval;
        // Of several leaders, the first that may have crashed is followed first.
        let of_entries = holding(record).iter().map(|entry| entry.left).min();
        match (record.lease.as_ref().map(|lease| lease.left).or(of_entries), &record.disabled) {
            (Some(left), _) => {
                self.polls_without_leader = 0;
                left.max(self.timing.retry_interval()).min(poll)
            }
            (None, Some(_)) => {
                self.polls_without_leader = 0;
                poll
            }
            (None, None) => {
                self.polls_without_leader = self.polls_without_leader.saturating_add(1);
                self.timing.backoff(self.polls_without_leader)
            }
        }
    }
}

/// Returns the entries of the name that hold it.
fn holding(record: &LockRecord) -> &[EntryRecord] {
    record.queue.as_ref().map(QueueRecord::holders).unwrap_or_default()
}

/// Returns the leaders that hold the name.
fn leaders(record: &LockRecord) -> Vec<Leader> {
    let of_lease = record.lease.as_ref().zip(record.token);
    let of_lease = of_lease.map(|(lease, token)| Leader { holder: lease.holder.clone(), token });
    let of_entries = holding(record)
        .iter()
        .map(|entry| Leader { holder: entry.holder.clone(), token: entry.token });
    of_lease.into_iter().chain(of_entries).collect()
}

impl Observation {
    /// Returns whether both describe the same state, regardless of how long it has lasted.
    fn is_same_state(&self, other: &Self) -> bool {
        fn disabled(observation: &Observation) -> Option<(&crate::Reason, &Option<String>)> {
            observation.disabled.as_ref().map(|disabled| (&disabled.reason, &disabled.by))
        }
        self.leaders == other.leaders && disabled(self) == disabled(other)
    }
}
