//! What an instance waits at while it is frozen.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Open as long as the instance runs.
///
/// Those that wait go on in the order in which they came; of tokio's `watch` they would do so in
/// an order drawn at random. But an instance that goes on has either timers or messages first: by
/// which of the two it learns first how long it was frozen is not for it to choose.
#[derive(Debug)]
pub(super) struct FreezeGate {
    closed: AtomicBool,
    messages_first: bool,
    messages: Notify,
    timers: Notify,
}

impl FreezeGate {
    pub(super) fn new(messages_first: bool) -> Self {
        let (messages, timers) = (Notify::new(), Notify::new());
        Self { closed: AtomicBool::new(false), messages_first, messages, timers }
    }

    pub(super) fn set_open(&self, open: bool) {
        self.closed.store(!open, Ordering::SeqCst);
        if !open {
            return;
        }
        if self.messages_first {
            self.messages.notify_waiters();
        }
        self.timers.notify_waiters();
        self.messages.notify_waiters();
    }

    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::SeqCst)
    }

    /// Lets a message in when it is open.
    pub(super) async fn let_message_in(&self) {
        self.passed(&self.messages).await;
    }

    /// Lets a timer fire when it is open.
    pub(super) async fn let_timer_fire(&self) {
        self.passed(&self.timers).await;
    }

    async fn passed(&self, opened: &Notify) {
        loop {
            let mut opened = pin!(opened.notified());
            opened.as_mut().enable();
            if self.is_open() {
                return;
            }
            opened.await;
        }
    }
}
