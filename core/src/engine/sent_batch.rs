//! A batch that was sent counts the held leases that still wait for its reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::Moment;

/// A sent batch is shared with the held leases that it renews, and counts those that wait for it.
#[derive(Debug)]
pub(crate) struct SentBatch {
    sent_at: Moment,
    /// This many leases wait for the reply.
    waiting: AtomicUsize,
    /// This is notified when the last of them no longer waits.
    unawaited: Notify,
}

/// A lease keeps this value for as long as it waits for the reply to its renewal.
#[derive(Debug)]
pub(crate) struct AwaitedReply(Arc<SentBatch>);

impl SentBatch {
    /// Creates a batch that is sent at that moment, for whose reply no lease waits yet.
    pub(super) fn new(sent_at: Moment) -> Arc<Self> {
        Arc::new(Self { sent_at, waiting: AtomicUsize::new(0), unawaited: Notify::new() })
    }

    /// Returns when the batch was sent.
    pub(super) fn sent_at(&self) -> Moment {
        self.sent_at
    }

    /// Lets a lease wait for the reply, until the returned value is dropped.
    pub(crate) fn await_reply(self: &Arc<Self>) -> AwaitedReply {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        AwaitedReply(self.clone())
    }

    /// Waits until no lease waits for the reply. One task at a time may call this.
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn unawaited(&self) {
        while self.waiting.load(Ordering::SeqCst) > 0 {
            self.unawaited.notified().await;
        }
    }
}

impl AwaitedReply {
    /// Returns when the renewal was sent.
    pub(crate) fn sent_at(&self) -> Moment {
        self.0.sent_at
    }
}

impl Drop for AwaitedReply {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.unawaited.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_batch_is_unawaited_when_its_last_lease_no_longer_waits() {
        let batch = SentBatch::new(Moment::from_secs(1));
        let is_unawaited = || batch.unawaited().now_or_never().is_some();
        let first = batch.await_reply();
        assert_eq!(first.sent_at(), Moment::from_secs(1));
        drop(first);
        // The first lease may end before the others begin to wait.
        let [second, third] = [(); 2].map(|()| batch.await_reply());
        assert!(!is_unawaited());
        drop(second);
        assert!(!is_unawaited());
        drop(third);
        assert!(is_unawaited());
    }
}
