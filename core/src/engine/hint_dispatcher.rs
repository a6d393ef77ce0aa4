//! One watch serves all waiters of a client: the store's hints are dispatched by name.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::subscribers::{Change, Subscribers, Wakeup, WatchPosition};
use super::{BackgroundRuntime, BoundedStore, SeededRandom};
use crate::{Error, ErrorKind, Hint, HintStream, LockName, Moment, Result};

/// The dispatcher passes the store's hints to the subscribers of each name.
///
/// The watch runs while there are subscribers and for [some time](Self::LINGER) after that, in the
/// client's [background](BackgroundRuntime).
#[derive(Debug)]
pub(crate) struct HintDispatcher {
    store: BoundedStore,
    background: Arc<BackgroundRuntime>,
    random: Arc<SeededRandom>,
    /// This is false if the client does not watch the store, so waiters poll.
    enabled: bool,
    state: Mutex<State>,
    /// This is notified when the watch may have to end, unless its task checks that at a later
    /// moment by itself.
    unused: Notify,
}

#[derive(Debug, Default)]
struct State {
    subscribers: Subscribers,
    /// A task opens the watch or follows it.
    watching: bool,
    /// There were no subscribers from this moment on.
    unused_since: Option<Moment>,
    /// The watch's task checks at a later moment whether the watch is still unused.
    checks_later: bool,
    /// The client was dropped.
    closed: bool,
}

/// A subscription wakes its owner when the name may have changed. Several hints may wake it once.
#[derive(Debug)]
pub(crate) struct Subscription {
    dispatcher: Arc<HintDispatcher>,
    name: LockName,
    wakeup: Arc<Wakeup>,
}

impl HintDispatcher {
    /// An unused watch stays open for this long. On most stores an open watch occupies a
    /// connection, and opening one takes a new connection and some round trips: a client that often
    /// waits for a moment must not pay for that each time.
    const LINGER: Duration = Duration::from_secs(10);

    /// After a failed watch the pause is the first of these, and it doubles each time up to the
    /// second.
    const RECONNECT_BACKOFF: (Duration, Duration) =
        (Duration::from_millis(50), Duration::from_secs(5));

    /// A watch may take this long to open.
    const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

    pub(crate) fn new(
        store: BoundedStore,
        background: Arc<BackgroundRuntime>,
        random: Arc<SeededRandom>,
        enabled: bool,
    ) -> Self {
        let (state, unused) = (Mutex::default(), Notify::new());
        Self { store, background, random, enabled, state, unused }
    }

    /// Returns the present position in the hints, or `None` if the watch is not open.
    pub(crate) fn position(&self) -> Option<WatchPosition> {
        self.state().subscribers.position()
    }

    /// Subscribes to a name before the store is asked about it. This must be called within a
    /// runtime.
    pub(crate) fn subscribe(self: &Arc<Self>, name: LockName) -> Subscription {
        let position = self.position();
        self.subscribe_since(name, position)
    }

    /// Subscribes to a name after the store was asked about it; `since` is the position from before
    /// that. This must be called within a runtime.
    ///
    /// The subscriber is woken at once if there may have been a hint in between. If the watch is
    /// not open yet, the subscriber is woken when it is.
    pub(crate) fn subscribe_since(
        self: &Arc<Self>,
        name: LockName,
        since: Option<WatchPosition>,
    ) -> Subscription {
        let mut state = self.state();
        state.unused_since = None;
        let wakeup = state.subscribers.add(name.clone(), since);
        drop(state);
        let subscription = Subscription { dispatcher: self.clone(), name, wakeup };
        self.ensure_watched(Duration::ZERO);
        subscription
    }

    /// Ends the watch as soon as it has no subscribers, because the client was dropped.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.unused.notify_one();
    }

    /// Starts the watch if there is none, and returns whether it did.
    fn ensure_watched(self: &Arc<Self>, delay: Duration) -> bool {
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
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

impl State {
    fn end_watch(&mut self) {
        self.subscribers.watch_ended();
        (self.watching, self.checks_later) = (false, false);
    }
}

impl Subscription {
    /// Waits until the name may have changed since the last return.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn changed(&self) -> Change {
        poll_fn(|context| self.poll_changed(context)).await
    }

    /// Does the same as [`changed`](Self::changed) for the task that polls this.
    pub(crate) fn poll_changed(&self, context: &Context<'_>) -> Poll<Change> {
        ready!(self.wakeup.poll_woken(context));
        // The watch may have ended with its runtime, or panicked.
        if !self.dispatcher.ensure_watched(HintDispatcher::RECONNECT_BACKOFF.1) {
            return Poll::Ready(self.wakeup.take_change());
        }
        // In a runtime that shuts down, a new watch is dropped at once, which wakes this waiter
        // again. Without a pause this would loop forever, and the runtime would wait for it.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.dispatcher.state();
        state.subscribers.remove(&self.name, &self.wakeup);
        if state.subscribers.is_empty() {
            state.unused_since = Some(self.dispatcher.store.clock().now());
            if state.closed || !state.checks_later {
                self.dispatcher.unused.notify_one();
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
                    warn!(%error, "cannot watch the store; waiters poll until the watch opens");
                } else {
                    debug!(%error, failures, "cannot watch the store");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
