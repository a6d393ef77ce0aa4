//! Hints from notifications, through one listener that all watches of a store share.
//!
//! A task of its own reads the connection, whether or not a stream is polled: a server that cannot
//! get rid of its notifications keeps those of all sessions.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::error;
use super::listener::{ListenResult, Listener};
use super::notifications::ListenTask;
use super::poll::Poller;
use super::shared::PostgresInner;
use crate::{Hint, HintStream, Result};

/// The pauses between attempts to connect again.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// After this many connections in a row without a notification, the watch polls.
const MAX_SILENT_CONNECTIONS: u32 = 3;

/// A watch that polls for that reason tries to listen again after this long: the reason may pass.
const RELISTEN_INTERVAL: Duration = Duration::from_secs(600);

/// How many hints a stream may lag behind before it is told that anything may have happened.
const BACKLOG: usize = 1024;

/// Returns the hints from the listener that all watches of the store share.
pub(super) async fn hints(shared: &Arc<PostgresInner>) -> Result<HintStream> {
    if shared.pool.is_closed() {
        return Err(error::not_written(sqlx::Error::PoolClosed));
    }
    let mut current = shared.notifications.listening.lock().await;
    let running = current.upgrade().filter(|listening| !listening.task.is_finished());
    let listening = match running {
        Some(listening) => listening,
        None => {
            let listening = Arc::new(start(Arc::clone(shared)).await);
            *current = Arc::downgrade(&listening);
            listening
        }
    };
    let hints = listening.hints.resubscribe();
    Ok(Box::pin(stream::unfold((listening, hints), next)))
}

async fn next(
    (listening, mut hints): (Arc<ListenTask>, Receiver<Hint>),
) -> Option<(Hint, (Arc<ListenTask>, Receiver<Hint>))> {
    match hints.recv().await {
        Ok(hint) => Some((hint, (listening, hints))),
        Err(RecvError::Lagged(_)) => Some((Hint::Anything, (listening, hints))),
        Err(RecvError::Closed) => None,
    }
}

/// Listens before it returns, if the server can be reached.
async fn start(shared: Arc<PostgresInner>) -> ListenTask {
    let (sender, hints) = broadcast::channel(BACKLOG);
    let close_all = shared.connections.close_all_signal();
    let mut watch = WatchTask {
        shared,
        close_all,
        sender,
        warned: false,
        silent_connections: 0,
        listen_again: None,
    };
    let source = watch.connect().await;
    let task = tokio::spawn(async move {
        let closed = watch.shared.pool.close_event();
        tokio::select! {
            () = watch.run(source) => {}
            () = closed => {}
        }
    });
    ListenTask { hints, task }
}

/// The source of the hints.
enum HintSource {
    Notifications(Listener),
    Polled(Poller),
}

struct WatchTask {
    shared: Arc<PostgresInner>,
    /// Changes when a call found that the server accepts no more writes or shuts down.
    close_all: watch::Receiver<()>,
    sender: Sender<Hint>,
    /// This is true once the current outage was logged.
    warned: bool,
    /// The number of connections in a row on which no notification arrived.
    silent_connections: u32,
    /// When a watch that polls tries to listen again, unless it polls because of a pooler.
    listen_again: Option<Instant>,
}

impl WatchTask {
    /// Runs until it is aborted, and reconnects after each outage.
    async fn run(&mut self, mut source: Option<HintSource>) {
        let mut pause = MIN_BACKOFF;
        // A watch that listened from its start has missed nothing.
        let mut missed = !matches!(source, Some(HintSource::Notifications(_)));
        loop {
            if let Some(open) = source.as_mut() {
                let works = match open {
                    HintSource::Notifications(listener) => self.listen(listener, missed).await,
                    HintSource::Polled(poller) => self.poll(poller).await,
                };
                if works {
                    pause = MIN_BACKOFF;
                }
            }
            drop(source.take());
            missed = true;
            self.hint(Hint::Anything);
            // In time for servers that start again, out of step with other clients.
            sleep(pause + pause.mul_f64(fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(MAX_BACKOFF);
            source = self.connect().await;
        }
    }

    /// Connects with the pool's current options, since the password may have changed.
    async fn connect(&mut self) -> Option<HintSource> {
        if self.polls() {
            return Some(HintSource::Polled(Poller::default()));
        }
        self.close_all.mark_unchanged();
        let options = self.shared.pool.connect_options();
        match Listener::open(&options, &self.shared.sql.channel).await {
            Ok(ListenResult::Listening(listener)) => Some(HintSource::Notifications(listener)),
            Ok(ListenResult::SharedSessions) => {
                self.listen_again = None;
                self.poll_from_now("a pooler shares the server's sessions between clients");
                Some(HintSource::Polled(Poller::default()))
            }
            Err(error) => {
                self.warn(&error.to_string());
                if !self.shared.notifications.polled_names.is_polling() {
                    return None;
                }
                self.listen_again = Some(Instant::now() + RELISTEN_INTERVAL);
                Some(HintSource::Polled(Poller::default()))
            }
        }
    }

    /// Returns whether the watch polls instead of trying to listen.
    fn polls(&self) -> bool {
        let again = self.listen_again.is_some_and(|again| Instant::now() >= again);
        self.shared.notifications.polled_names.is_polling() && !again
    }

    /// Forwards notifications until the connection is lost, and returns whether any could arrive.
    async fn listen(&mut self, listener: &mut Listener, missed: bool) -> bool {
        match listener.notifications_arrive(|hint| self.hint(hint)).await {
            Ok(true) => {
                (self.warned, self.silent_connections, self.listen_again) = (false, 0, None);
                self.shared.notifications.polled_names.stop();
                if missed {
                    self.hint(Hint::Anything);
                }
                let mut close_all = self.close_all.clone();
                loop {
                    tokio::select! {
                        next = listener.next() => match next {
                            Ok(hint) => self.hint(hint),
                            Err(error) => {
                                self.warn(&error.to_string());
                                return true;
                            }
                        },
                        // The next connection follows the address.
                        Ok(()) = close_all.changed() => return false,
                    }
                }
            }
            Ok(false) => {
                self.silent_connections += 1;
                if self.silent_connections >= MAX_SILENT_CONNECTIONS {
                    self.listen_again = Some(Instant::now() + RELISTEN_INTERVAL);
                    self.poll_from_now("notifications do not come through");
                }
                false
            }
            Err(error) => {
                self.warn(&error.to_string());
                false
            }
        }
    }

    /// Polls for changes until that fails or is to end, and returns whether any answer came.
    async fn poll(&mut self, poller: &mut Poller) -> bool {
        // The names that waiters asked about earlier were not noted.
        self.hint(Hint::Anything);
        let mut works = false;
        while self.polls() {
            match poller.read_states(&self.shared).await {
                Ok((hints, pause)) => {
                    if !std::mem::replace(&mut works, true) {
                        self.warned = false;
                    }
                    hints.into_iter().for_each(|hint| self.hint(hint));
                    sleep(pause).await;
                }
                Err(error) => {
                    self.warn(&error.to_string());
                    break;
                }
            }
        }
        works
    }

    /// Makes the watch poll from now on.
    fn poll_from_now(&mut self, why: &str) {
        if !self.shared.notifications.polled_names.is_polling() {
            self.shared.notifications.polled_names.poll();
            // This is logged even if an earlier outage was logged.
            self.warned = false;
            self.warn(why);
        }
    }

    fn hint(&self, hint: Hint) {
        // Without a stream, no hint is needed.
        _ = self.sender.send(hint);
    }

    fn warn(&mut self, why: &str) {
        if !self.warned {
            self.warned = true;
            tracing::warn!(
                store = self.shared.label,
                why,
                "the server does not wake waiters; they find out by polling"
            );
        }
    }
}
