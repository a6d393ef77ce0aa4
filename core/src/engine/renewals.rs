//! The renewals of one lease that were asked for and are unanswered.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use super::{Answer, Beat, Engine, Renewing};
use crate::{RenewOptions, RenewOutcome, Timing};

/// The renewals of one lease: those under way, and the next, which has not gone out.
///
/// At most one more than the [retries](crate::Settings::heartbeat_retries) are under way, and two
/// at the least, however slow the store is. Dropping this takes back what has not gone out, and
/// ignores the rest.
#[derive(Debug)]
pub(crate) struct Renewals {
    engine: Arc<Engine>,
    lease: RenewOptions,
    most: usize,
    asked: Vec<Renewing>,
}

impl Renewals {
    pub(crate) fn new(engine: Arc<Engine>, lease: RenewOptions, timing: &Timing) -> Self {
        let most = usize::try_from(timing.heartbeat_retries).unwrap_or(usize::MAX);
        Self { engine, lease, most: most.saturating_add(1).max(2), asked: Vec::new() }
    }

    /// Asks for another renewal, in place of one that has not gone out.
    ///
    /// While as many are under way as may be, it takes the place of the youngest of them: the older
    /// ones are the next to be answered by a slow store, and a new one is answered by a store that
    /// lost the others and is well again.
    pub(crate) fn ask(&mut self, beat: Beat) {
        self.asked.retain(Renewing::has_gone_out);
        self.asked.truncate(self.most - 1);
        self.asked.push(self.engine.heartbeat.renew(self.lease.clone(), beat));
    }

    /// Whether one has gone out and is unanswered.
    pub(crate) fn under_way(&self) -> bool {
        self.asked.iter().any(Renewing::has_gone_out)
    }

    /// The next answer; pending while none was asked for.
    ///
    /// # Cancel safety
    /// Dropping the future loses no answer.
    pub(crate) async fn next(&mut self) -> Answer<RenewOutcome> {
        poll_fn(|context| {
            for at in 0..self.asked.len() {
                if let Poll::Ready(answer) = Pin::new(&mut self.asked[at]).poll(context) {
                    self.asked.remove(at);
                    return Poll::Ready(answer);
                }
            }
            Poll::Pending
        })
        .await
    }
}
