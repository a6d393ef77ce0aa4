//! This store loses replies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use leasehold_core::intercept::{Interceptor, Reply, Request};
use leasehold_core::{Error, ErrorKind, LockStore, Result};

/// Forwards each call to its store, and loses the replies to the next writes on request.
#[derive(Debug)]
pub struct LossyStore {
    store: Arc<dyn LockStore>,
    to_lose: AtomicUsize,
}

impl LossyStore {
    /// Creates a store that loses nothing yet.
    #[must_use]
    pub fn new(store: Arc<dyn LockStore>) -> Self {
        Self { store, to_lose: AtomicUsize::new(0) }
    }

    /// Loses the replies to that many writes, from now on.
    pub fn lose(&self, replies: usize) {
        self.to_lose.store(replies, Ordering::SeqCst);
    }

    fn loses_next(&self) -> bool {
        self.to_lose
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok()
    }
}

#[async_trait]
impl Interceptor for LossyStore {
    fn inner(&self) -> &dyn LockStore {
        &*self.store
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        let is_write = request.is_write();
        let reply = request.send_to(self.inner()).await;
        if is_write && self.loses_next() {
            return Err(Error::new(ErrorKind::OutcomeUnknown, "the answer was lost"));
        }
        reply
    }
}
