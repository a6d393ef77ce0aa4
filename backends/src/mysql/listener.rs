//! The waiter's side of release notifications: a few connections per store, which wait for the
//! user-level locks of the holders that keep the store from a lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::error::READ_ONLY;
use super::user_lock::{UserLockConnection, UserLockNames, WaitResult};
use crate::LockName;

/// A store listens for at most this many holders at once, and polls for the releases of others.
const MAX_CONNECTIONS: usize = 3;

/// The seconds for which a waiter waits for a user-level lock: 0 at first, which tells whether a
/// session keeps it, and then this many before the waiter checks whether it still has to wait.
const TRY_SECONDS: u32 = 0;
const WAIT_SECONDS: u32 = 5;

/// A name counts as disabled for this long after an attempt found it so.
const DISABLED: Duration = Duration::from_secs(120);

/// A connection that waits for no holder is kept for this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The pauses after an answer that came at once: no session keeps the user-level lock, or it is passed
/// on all the time.
const INSTANT_REPLY_BACKOFF: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_secs(5));

/// The longest pause after a user-level lock that was granted at once.
const MAX_PAUSE_AFTER_GRANT: Duration = Duration::from_millis(200);

/// The longest pause after an error.
const MAX_ERROR_BACKOFF: Duration = Duration::from_secs(60);

/// An answer that comes sooner than this did not wait for a session.
const INSTANT_REPLY: Duration = Duration::from_millis(5);

/// Waits for user-level locks, in tasks that run while there is a watch and a holder to listen for.
pub(super) struct Listener(Arc<Inner>);

struct Inner {
    names: UserLockNames,
    state: Mutex<ListenerState>,
    /// Wakes a task that listens for no holder.
    wake: Notify,
    notified: watch::Sender<()>,
}

#[derive(Default)]
struct ListenerState {
    watches: usize,
    /// The names that were refused, with their holders and when their leases end unless they are
    /// renewed. A waiter that still waits then asks again.
    awaited: HashMap<LockName, (Uuid, Instant)>,
    /// The names that an attempt found disabled, and when. No user-level lock announces that a name
    /// is enabled.
    disabled: HashMap<LockName, Instant>,
    /// The holders for which a task listens, and whether it waits for their user-level lock.
    listened: HashMap<Uuid, bool>,
    tasks: Vec<AbortHandle>,
}

impl ListenerState {
    /// Returns a holder for which no task listens yet.
    fn next_unlistened(&self) -> Option<Uuid> {
        let mut holders = self.awaited.values().map(|(holder, _)| *holder);
        holders.find(|holder| !self.listened.contains_key(holder))
    }
}

impl Listener {
    pub(super) fn new(names: UserLockNames) -> Self {
        let (state, wake, notified) = (Mutex::default(), Notify::new(), watch::Sender::new(()));
        Self(Arc::new(Inner { names, state, wake, notified }))
    }

    /// Listens for as long as the returned value lives, which belongs to a watch.
    pub(super) fn subscribe(&self) -> ListenerSubscription {
        self.0.state().watches += 1;
        ListenerSubscription { inner: Arc::clone(&self.0), notified: self.0.notified.subscribe() }
    }

    /// Notes that the holder has the name, and listens for its release.
    pub(super) fn await_holder(&self, name: &LockName, holder: Uuid, left: Duration) {
        let mut state = self.0.state();
        if state.watches == 0 {
            return;
        }
        state.disabled.remove(name);
        state.awaited.insert(name.clone(), (holder, Instant::now() + left));
        if state.listened.contains_key(&holder) {
            return;
        }
        // A task may have ended with its runtime.
        state.tasks.retain(|task| !task.is_finished());
        if state.tasks.len() > state.listened.len() {
            self.0.wake.notify_one();
        } else if state.tasks.len() < MAX_CONNECTIONS {
            let task = tokio::spawn(run(Arc::clone(&self.0)));
            state.tasks.push(task.abort_handle());
        }
    }

    /// Notes that the name was granted, or that this store's own watches are told of its release.
    pub(super) fn forget(&self, name: &LockName) {
        let mut state = self.0.state();
        state.awaited.remove(name);
        state.disabled.remove(name);
    }

    /// Notes that the name is disabled.
    pub(super) fn disabled(&self, name: &LockName) {
        let mut state = self.0.state();
        state.awaited.remove(name);
        if state.watches > 0 {
            state.disabled.insert(name.clone(), Instant::now());
        }
    }

    /// Makes the watches read what was signalled.
    pub(super) fn notify_watches(&self) {
        self.0.notified.send_replace(());
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.state().tasks.drain(..).for_each(|task| task.abort());
    }
}

/// Keeps the listener running for one watch.
pub(super) struct ListenerSubscription {
    inner: Arc<Inner>,
    notified: watch::Receiver<()>,
}

impl ListenerSubscription {
    /// Returns once a holder notified its waiters since the last return.
    pub(super) async fn notified(&mut self) {
        // The sender lives as long as this does.
        _ = self.notified.changed().await;
    }

    /// Returns whether a change is waited for that no user-level lock will announce.
    pub(super) fn must_poll(&self) -> bool {
        let now = Instant::now();
        let mut state = self.inner.state();
        state.awaited.retain(|_, (_, until)| *until > now);
        state.disabled.retain(|_, asked| now.duration_since(*asked) < DISABLED);
        let ListenerState { awaited, disabled, listened, .. } = &*state;
        let told = |holder| listened.get(holder).copied().unwrap_or(false);
        !disabled.is_empty() || awaited.values().any(|(of, _)| !told(of))
    }
}

impl Drop for ListenerSubscription {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        state.watches -= 1;
        if state.watches == 0 {
            state.awaited.clear();
            state.disabled.clear();
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, ListenerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether this store still waits for a name of this holder.
    fn is_awaited(&self, holder: Uuid) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        state.awaited.retain(|_, (_, until)| *until > now);
        state.awaited.values().any(|(of, _)| *of == holder)
    }

    /// Returns the next holder to listen for.
    fn next_holder(&self) -> Option<ListenedHolder<'_>> {
        let now = Instant::now();
        let mut state = self.state();
        state.awaited.retain(|_, (_, until)| *until > now);
        let holder = state.next_unlistened()?;
        state.listened.insert(holder, false);
        if state.next_unlistened().is_some() {
            self.wake.notify_one();
        }
        Some(ListenedHolder { inner: self, holder })
    }
}

/// A holder for which a task listens, until this value is dropped.
struct ListenedHolder<'a> {
    inner: &'a Inner,
    holder: Uuid,
}

impl ListenedHolder<'_> {
    /// Notes whether the task waits for this holder's user-level lock.
    fn set_waiting(&self, waits: bool) {
        if let Some(listened) = self.inner.state().listened.get_mut(&self.holder) {
            *listened = waits;
        }
    }
}

impl Drop for ListenedHolder<'_> {
    fn drop(&mut self) {
        self.inner.state().listened.remove(&self.holder);
    }
}

async fn run(inner: Arc<Inner>) {
    let mut connection = None;
    let closed = inner.names.pool.close_event();
    tokio::select! {
        () = serve(&inner, &mut connection) => {}
        () = closed => {}
    }
    if let Some(connection) = connection {
        connection.close().await;
    }
}

async fn serve(inner: &Inner, connection: &mut Option<UserLockConnection>) {
    let mut close_all = inner.names.close_all_signal();
    loop {
        match inner.next_holder() {
            Some(listened) => listen_for(&listened, connection, &mut close_all).await,
            None => {
                if timeout(IDLE_TIMEOUT, inner.wake.notified()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Listens for one holder while this store waits for a name of that holder.
async fn listen_for(
    listened: &ListenedHolder<'_>,
    connection: &mut Option<UserLockConnection>,
    close_all: &mut watch::Receiver<()>,
) {
    let ListenedHolder { inner, holder } = listened;
    let name = inner.names.name_of(*holder);
    let (mut pause, longest) = INSTANT_REPLY_BACKOFF;
    let mut seconds = TRY_SECONDS;
    while inner.is_awaited(*holder) {
        let asked = Instant::now();
        let answer = tokio::select! {
            answer = listen(&inner.names, connection, &name, seconds) => answer,
            // The next connection follows the address.
            Ok(()) = close_all.changed() => Err(sqlx::Error::Protocol(READ_ONLY.into())),
        };
        let waited = asked.elapsed() >= INSTANT_REPLY;
        let waits = match answer {
            Ok(WaitResult::TimedOut) => waited || seconds == TRY_SECONDS,
            Ok(WaitResult::Granted) => waited,
            Ok(WaitResult::NotHeld) | Err(_) => false,
        };
        listened.set_waiting(waits);
        seconds = if waits { WAIT_SECONDS } else { TRY_SECONDS };
        let most = match answer {
            Ok(result) => {
                if result == WaitResult::Granted {
                    inner.notified.send_replace(());
                }
                if waited {
                    pause = INSTANT_REPLY_BACKOFF.0;
                }
                if waits {
                    continue;
                }
                // The server is not asked all the time, whatever it answers.
                if result == WaitResult::Granted { MAX_PAUSE_AFTER_GRANT } else { longest }
            }
            Err(error) => {
                tracing::debug!(%error, "cannot listen for releases; waiters poll instead");
                *connection = None;
                MAX_ERROR_BACKOFF
            }
        };
        sleep(pause.min(most).mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(most);
    }
}

async fn listen(
    names: &UserLockNames,
    connection: &mut Option<UserLockConnection>,
    name: &str,
    seconds: u32,
) -> sqlx::Result<WaitResult> {
    let connection = match connection {
        Some(connection) => connection,
        empty => empty.insert(UserLockConnection::open(names).await?),
    };
    connection.wait(name, seconds).await
}
