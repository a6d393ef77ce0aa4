//! What an instance waits at while it is frozen.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Open as long as the instance runs.
///
/// Those that wait go on in the order in which they came; of tokio's `watch` they would do so in
/// an order drawn at random.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: AtomicBool,
    opened: Notify,
}

impl Gate {
    pub(super) fn set_open(&self, open: bool) {
        self.closed.store(!open, Ordering::SeqCst);
        if open {
            self.opened.notify_waiters();
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::SeqCst)
    }

    /// Returns when it is open.
    pub(super) async fn passed(&self) {
        loop {
            let mut opened = pin!(self.opened.notified());
            opened.as_mut().enable();
            if self.is_open() {
                return;
            }
            opened.await;
        }
    }
}
