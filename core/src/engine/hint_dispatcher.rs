//! One watch serves all waiters of a client: the store's hints are dispatched by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::{BackgroundRuntime, BoundedStore, SeededRandom};
use crate::{Error, ErrorKind, Hint, HintStream, LockName, Result};

/// The dispatcher passes the store's hints to the waiters of each name.
///
/// The watch runs while there are waiters, in the client's [background](BackgroundRuntime).
#[derive(Debug)]
pub(crate) struct HintDispatcher {
    store: BoundedStore,
    background: Arc<BackgroundRuntime>,
    random: Arc<SeededRandom>,
    /// This is false if the client does not watch the store, so waiters poll.
    enabled: bool,
    state: Mutex<State>,
    /// This is notified when the last subscription is dropped.
    idle: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The map is ordered so that a replayed history wakes waiters in the same order.
    waiters: BTreeMap<LockName, Vec<Arc<Notify>>>,
    watching: bool,
}

/// A subscription wakes its waiter when the name may have changed. Several hints may wake it once.
#[derive(Debug)]
pub(crate) struct Subscription {
    dispatcher: Arc<HintDispatcher>,
    name: LockName,
    woken: Arc<Notify>,
}

impl HintDispatcher {
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
        let (state, idle) = (Mutex::default(), Notify::new());
        Self { store, background, random, enabled, state, idle }
    }

    /// Subscribes to a name. This must be called within a runtime.
    pub(crate) fn subscribe(self: &Arc<Self>, name: LockName) -> Subscription {
        let woken = Arc::new(Notify::new());
        let mut state = self.state();
        state.waiters.entry(name.clone()).or_default().push(woken.clone());
        drop(state);
        let subscription = Subscription { dispatcher: self.clone(), name, woken };
        self.ensure_watched(Duration::ZERO);
        subscription
    }

    /// Starts the watch if there is none, and returns whether it did.
    fn ensure_watched(self: &Arc<Self>, delay: Duration) -> bool {
        let begin = self.enabled && !std::mem::replace(&mut self.state().watching, true);
        if begin {
            // The state is unlocked here: without a runtime, the task is dropped at once.
            let watching = WatchTask { dispatcher: self.clone(), stopped: false };
            self.background.runtime().spawn(run_watch(watching, delay));
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

    fn dispatch(&self, hint: &Hint) {
        let state = self.state();
        match hint {
            Hint::Name(name) => {
                state.waiters.get(name).into_iter().flatten().for_each(|woken| woken.notify_one());
            }
            Hint::Anything => {
                state.waiters.values().flatten().for_each(|woken| woken.notify_one());
            }
        }
    }
}

impl Subscription {
    /// Waits until the name may have changed since the last return.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn changed(&self) {
        loop {
            self.woken.notified().await;
            // The watch may have ended with its runtime, or panicked.
            if !self.dispatcher.ensure_watched(HintDispatcher::RECONNECT_BACKOFF.1) {
                return;
            }
            // In a runtime that shuts down, a new watch is dropped at once, which wakes this waiter
            // again. Without a pause this would loop forever, and the runtime would wait for it.
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.dispatcher.state();
        if let Some(waiters) = state.waiters.get_mut(&self.name) {
            waiters.retain(|woken| !Arc::ptr_eq(woken, &self.woken));
            if waiters.is_empty() {
                state.waiters.remove(&self.name);
            }
        }
        if state.waiters.is_empty() {
            self.dispatcher.idle.notify_one();
        }
    }
}

/// The task owns this value, which marks the dispatcher as unwatched however the task ends.
struct WatchTask {
    dispatcher: Arc<HintDispatcher>,
    stopped: bool,
}

impl Drop for WatchTask {
    fn drop(&mut self) {
        if !self.stopped {
            self.dispatcher.state().watching = false;
            self.dispatcher.dispatch(&Hint::Anything);
        }
    }
}

impl WatchTask {
    /// Returns whether to stop. The decision is recorded under the same lock, so that no new
    /// waiter relies on a watch that ends.
    fn stop_if_idle(&mut self) -> bool {
        let mut state = self.dispatcher.state();
        if state.waiters.is_empty() {
            state.watching = false;
            self.stopped = true;
        }
        self.stopped
    }

    /// Waits until there are no waiters.
    async fn until_idle(&mut self) {
        let dispatcher = self.dispatcher.clone();
        while !self.stop_if_idle() {
            dispatcher.idle.notified().await;
        }
    }

    /// Dispatches hints until the stream ends (`false`) or there are no waiters (`true`).
    async fn follow(&mut self, mut hints: HintStream) -> bool {
        loop {
            let dispatcher = self.dispatcher.clone();
            tokio::select! {
                biased;
                () = dispatcher.idle.notified() => if self.stop_if_idle() { return true },
                hint = hints.next() => match hint {
                    Some(hint) => {
                        dispatcher.dispatch(&hint);
                        // A stream that is always ready must not keep others from running.
                        tokio::task::consume_budget().await;
                    }
                    None => return self.stop_if_idle(),
                },
            }
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

async fn run_watch(mut watching: WatchTask, delay: Duration) {
    let dispatcher = watching.dispatcher.clone();
    let (shortest, longest) = HintDispatcher::RECONNECT_BACKOFF;
    let mut pause = delay;
    let mut failures = 0_u64;
    loop {
        let wait = dispatcher.jittered(pause);
        let opened = tokio::select! {
            biased;
            () = watching.until_idle() => return,
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
                // Changes before the watch was open caused no hint.
                dispatcher.dispatch(&Hint::Anything);
                if watching.follow(hints).await {
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
mod tests {
    use std::sync::mpsc;
    use std::task::{Context, Waker};
    use std::thread;

    use super::*;
    use crate::{MemoryStore, SystemClock};

    fn dispatcher() -> Arc<HintDispatcher> {
        let store = BoundedStore::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock));
        let (background, random) = (BackgroundRuntime::new(false), SeededRandom::new(Some(1)));
        Arc::new(HintDispatcher::new(store, Arc::new(background), Arc::new(random), true))
    }

    /// A waiter once started a watch that was dropped at once, which woke the waiter, in a loop.
    #[test]
    fn a_waiter_does_not_block_runtime_shutdown() {
        let (done, waited) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let handle = runtime.handle().clone();
            let name = LockName::new("job").unwrap();
            let subscription = runtime.block_on(async { dispatcher().subscribe(name) });
            drop(runtime);
            let _entered = handle.enter();
            let mut changed = std::pin::pin!(subscription.changed());
            let polled = changed.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            done.send(polled.is_pending()).unwrap();
        });
        assert_eq!(waited.recv_timeout(Duration::from_secs(30)), Ok(true));
    }

    #[tokio::test]
    async fn names_without_waiters_are_removed() {
        let dispatcher = dispatcher();
        for number in 0..100 {
            let name = LockName::new(format!("lock-{number}")).unwrap();
            let [first, second] = [(); 2].map(|()| dispatcher.subscribe(name.clone()));
            drop(first);
            assert_eq!(dispatcher.state().waiters.len(), 1);
            drop(second);
            assert!(dispatcher.state().waiters.is_empty());
        }
    }
}
