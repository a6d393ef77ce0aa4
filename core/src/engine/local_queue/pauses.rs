//! A client whose tasks hand a lock over among themselves pauses from time to time, so that other
//! clients get it too. This is pure.

use std::time::Duration;

use crate::Moment;

/// These are the pauses of one name.
///
/// A client is refused only if another one holds the lock. So while its tasks hand the lock over
/// among themselves, it cannot know whether others wait: they are the ones that are refused. It
/// therefore always pauses, but seldom if it was not refused lately, because a lock that only one
/// process uses must not wait for others often.
#[derive(Debug, Default)]
pub(super) struct HandOverPauses {
    /// Since then the lock was handed over within this client, as far as it knows.
    kept_since: Option<Moment>,
    /// The store refused a waiter at this moment, because another client held the lock.
    refused_at: Option<Moment>,
    /// The first waiter does not ask before this moment.
    paused_until: Option<Moment>,
}

impl HandOverPauses {
    /// While other clients use the lock too, it is handed over within the client for this many
    /// pauses before there is one, so a pause costs little.
    const PAUSES_APART: u32 = 20;

    /// Other clients use the lock if a waiter was refused within this time.
    const REFUSAL_COUNTS_FOR: Duration = Duration::from_secs(10);

    /// Without such a refusal a pause comes after this time at the earliest, so a client that
    /// begins to wait may wait that long for it.
    const APART_WITHOUT_REFUSAL: Duration = Duration::from_secs(4);

    /// Notes that the lock is handed over to a waiter of this client, which pauses first if the
    /// lock was kept for long.
    pub(super) fn hand_over(&mut self, now: Moment, pause: Duration) {
        self.paused_until = None;
        let kept_since = *self.kept_since.get_or_insert(now);
        if now >= kept_since + self.apart(now, pause) {
            self.kept_since = None;
            self.paused_until = Some(now + pause);
        }
    }

    /// Notes that another client held the lock when a waiter asked.
    pub(super) fn record_refusal(&mut self, now: Moment) {
        self.kept_since = None;
        self.refused_at = Some(now);
    }

    /// Returns the end of the pause, if there is one now.
    pub(super) fn paused_until(&self, now: Moment) -> Option<Moment> {
        self.paused_until.filter(|until| now < *until)
    }

    /// Returns for how long the lock is handed over within this client before there is a pause.
    fn apart(&self, now: Moment, pause: Duration) -> Duration {
        let often = pause * Self::PAUSES_APART;
        let refused = self.refused_at.is_some_and(|at| now < at + Self::REFUSAL_COUNTS_FOR);
        if refused { often } else { often.max(Self::APART_WITHOUT_REFUSAL) }
    }
}
