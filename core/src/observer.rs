//! Who leads, for those who do not campaign.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use futures_util::stream;

use crate::engine::{Engine, Subscription};
use crate::{Disablement, FencingToken, Holder, LockName, LockRecord, Result, Timing};

/// Who leads a name, as of a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Who holds the name, if anybody does.
    pub leader: Option<Leader>,
    /// Set while an operator keeps the name from being granted.
    pub disabled: Option<Disablement>,
}

/// Who holds a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The instance.
    pub holder: Holder,
    /// The term.
    pub token: FencingToken,
}

/// A stream of [`Observation`]s, one for each change; it never ends.
///
/// An error is an item too, and the stream goes on after it. Dropping it is safe at any time.
pub type Observations = Pin<Box<dyn Stream<Item = Result<Observation>> + Send>>;

struct Observer {
    engine: Arc<Engine>,
    name: LockName,
    timing: Timing,
    hints: Subscription,
    last: Option<Observation>,
    /// Until when not to look again, unless a hint comes.
    pause: Duration,
    polls_without_leader: u32,
}

/// Called within a runtime.
pub(crate) fn observe(engine: Arc<Engine>, name: LockName, timing: Timing) -> Observations {
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
            let again = self.engine.now() + self.pause;
            tokio::select! {
                biased;
                () = self.engine.store.clock().sleep_until(again) => {}
                () = self.hints.changed() => {}
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
            let observation = Observation {
                leader: record
                    .lease
                    .zip(record.token)
                    .map(|(lease, token)| Leader { holder: lease.holder, token }),
                disabled: record.disabled,
            };
            if self.last.as_ref().is_none_or(|last| !last.is_same_state(&observation)) {
                self.last = Some(observation.clone());
                return Ok(observation);
            }
        }
    }

    /// Grants are not hinted at, so a vacant name is looked at again soon, then less and less.
    fn next_pause(&mut self, record: &LockRecord) -> Duration {
        let poll = self.timing.poll_interval;
        match (&record.lease, &record.disabled) {
            (Some(lease), _) => {
                self.polls_without_leader = 0;
                lease.left.max(self.timing.retry_interval()).min(poll)
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

impl Observation {
    /// Whether both tell of the same state; for how long it has been so does not count.
    fn is_same_state(&self, other: &Self) -> bool {
        fn disabled(observation: &Observation) -> Option<(&crate::Reason, &Option<String>)> {
            observation.disabled.as_ref().map(|disabled| (&disabled.reason, &disabled.by))
        }
        self.leader == other.leader && disabled(self) == disabled(other)
    }
}
