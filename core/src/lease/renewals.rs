//! The renewals of one lease that were asked for and are unanswered.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use super::RenewalWindow;
use crate::engine::{Engine, Renewing, TimedReply};
use crate::{RenewOptions, RenewOutcome, Timing};

/// The renewals of one lease: those under way, and the next one, which was not sent yet.
///
/// However slow the store is, at most one renewal more than the
/// [retries](crate::Settings::heartbeat_retries) is under way, and three at the least. Dropping
/// this value cancels what was not sent, and ignores the answers to the rest.
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
        Self { engine, lease, most: most.saturating_add(1).max(3), asked: Vec::new() }
    }

    /// Asks for another renewal, which replaces one that was not sent yet.
    ///
    /// If as many are under way as there may be, it replaces the second oldest of them. A slow
    /// store answers the oldest next. The newer ones may wait on a connection that was opened for
    /// them, and each of them has the same time for that.
    pub(crate) fn ask(&mut self, window: RenewalWindow) {
        self.asked.retain(Renewing::has_gone_out);
        if self.asked.len() >= self.most {
            self.asked.remove(1);
        }
        self.asked.push(self.engine.heartbeat.renew(self.lease.clone(), window));
    }

    /// Returns whether a renewal was sent and is unanswered.
    pub(crate) fn under_way(&self) -> bool {
        self.asked.iter().any(Renewing::has_gone_out)
    }

    /// Waits for the next answer; it stays pending while no renewal was asked for.
    ///
    /// # Cancel safety
    /// Dropping the future loses no answer.
    pub(crate) async fn next(&mut self) -> TimedReply<RenewOutcome> {
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
