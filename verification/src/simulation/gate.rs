//! This module defines the gate that blocks an instance while it is frozen.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The gate is open as long as the instance runs.
///
/// The tasks that wait at the gate continue in the order in which they arrived. With tokio's
/// `watch` they would continue in a random order. After a freeze an instance gets either its timers
/// or its messages first, as the run's seed decides.
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

    /// Lets a message in once the gate is open.
    pub(super) async fn let_message_in(&self) {
        self.passed(&self.messages).await;
    }

    /// Lets a timer fire once the gate is open.
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
