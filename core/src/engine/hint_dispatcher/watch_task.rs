//! The task that watches the store: it opens the watch, follows it, and reopens it when it ends.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tracing::{debug, warn};

use super::HintDispatcher;
use crate::engine::BoundedStore;
use crate::{Error, ErrorKind, Hint, HintStream, Result};

impl HintDispatcher {
    /// An unused watch stays open for this long. On most stores an open watch occupies a
    /// connection, and opening one takes a new connection and some round trips: a client that often
    /// waits for a moment must not pay for that each time.
    const LINGER: Duration = Duration::from_secs(10);

    /// After a failed watch the pause is the first of these, and it doubles each time up to the
    /// second.
    pub(super) const RECONNECT_BACKOFF: (Duration, Duration) =
        (Duration::from_millis(50), Duration::from_secs(5));

    /// A watch may take this long to open.
    const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

    /// Starts the watch if there is none, and returns whether it did.
    pub(super) fn ensure_watched(self: &Arc<Self>, delay: Duration) -> bool {
        let begin = self.enabled && !std::mem::replace(&mut self.state().watching, true);
        if begin {
            // The state is unlocked here: without a runtime, the task is dropped at once.
            let task = WatchTask { dispatcher: self.clone(), stopped: false };
            self.background.runtime().spawn(run_watch(task, delay));
        }
        begin
    }

    /// Adds a random duration of up to half the pause, so that clients do not all reconnect at once
    /// after an outage.
    fn jittered(&self, pause: Duration) -> Duration {
        pause + self.random.up_to(pause / 2)
    }

    /// Dispatches hints until the stream ends.
    async fn follow(&self, mut hints: HintStream) {
        while let Some(hint) = hints.next().await {
            self.state().subscribers.dispatch(&hint);
            // A stream that is always ready must not keep others from running.
            tokio::task::consume_budget().await;
        }
    }

    /// Notes that the watch has ended, and returns whether it stays so because there are no
    /// subscribers. This is decided under the lock, so that no new subscriber relies on a watch
    /// that ends.
    fn watch_ended(&self) -> bool {
        let mut state = self.state();
        state.end_watch();
        state.watching = !state.subscribers.is_empty();
        !state.watching
    }

    /// Waits until the watch is no longer needed, and notes under the lock that it has ended.
    async fn until_unneeded(&self) {
        let clock = self.store.clock();
        loop {
            let check_at = {
                let mut state = self.state();
                let ends_at = state.unused_since.map(|since| since + Self::LINGER);
                if ends_at.is_some_and(|at| state.closed || at <= clock.now()) {
                    state.end_watch();
                    return;
                }
                state.checks_later = ends_at.is_some();
                ends_at
            };
            tokio::select! {
                biased;
                () = self.unused.notified() => {}
                () = async { clock.sleep_until(check_at.unwrap_or_default()).await },
                    if check_at.is_some() => {}
            }
        }
    }
}

/// The task owns this value, which marks the dispatcher as unwatched however the task ends.
struct WatchTask {
    dispatcher: Arc<HintDispatcher>,
    /// The dispatcher already knows that the watch has ended.
    stopped: bool,
}

impl Drop for WatchTask {
    fn drop(&mut self) {
        if !self.stopped {
            let mut state = self.dispatcher.state();
            state.end_watch();
            state.subscribers.dispatch(&Hint::Anything);
        }
    }
}

/// Opens a watch within a time limit; without a watch, every waiter polls.
async fn open_watch(store: &BoundedStore) -> Result<HintStream> {
    const LIMIT: Duration = HintDispatcher::OPEN_TIMEOUT;
    let late = |_| {
        Err(Error::new(ErrorKind::Unavailable, format!("no reply within {LIMIT:?}"))
            .during("watch")
            .on_store(store.label()))
    };
    let opened =
        async { tokio::time::timeout(LIMIT, store.inner().watch()).await.unwrap_or_else(late) };
    store.traced("watch", None, opened).await
}

async fn run_watch(mut task: WatchTask, delay: Duration) {
    let dispatcher = task.dispatcher.clone();
    let mut unneeded = pin!(dispatcher.until_unneeded());
    let (shortest, longest) = HintDispatcher::RECONNECT_BACKOFF;
    let mut pause = delay;
    let mut failures = 0_u64;
    loop {
        let wait = dispatcher.jittered(pause);
        let opened = tokio::select! {
            biased;
            () = &mut unneeded => {
                task.stopped = true;
                return;
            }
            opened = async {
                tokio::time::sleep(wait).await;
                open_watch(&dispatcher.store).await
            } => opened,
        };
        pause = (pause * 2).clamp(shortest, longest);
        match opened {
            Ok(hints) => {
                failures = 0;
                let from = tokio::time::Instant::now();
                dispatcher.state().subscribers.watch_opened();
                let ended = tokio::select! {
                    biased;
                    () = &mut unneeded => true,
                    () = dispatcher.follow(hints) => dispatcher.watch_ended(),
                };
                if ended {
                    task.stopped = true;
                    return;
                }
                // A watch that ends again and again must not make every waiter call the store each
                // time.
                if from.elapsed() > longest {
                    pause = shortest;
                }
                debug!(store = dispatcher.store.inner().label(), "the watch ended; reopening it");
            }
            Err(error) => {
                failures += 1;
                if failures == 1 {
                    dispatcher.state().subscribers.watch_failed();
                    warn!(%error, "cannot watch the store; waiters poll until the watch opens");
                } else {
                    debug!(%error, failures, "cannot watch the store");
                }
            }
        }
    }
}
