//! Hints from notifications, through one listener that all watches of a store share.
//!
//! A task of its own reads the connection, whether or not a stream is polled: a server that cannot
//! get rid of its notifications keeps those of all sessions.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream;
use sqlx::postgres::PgPool;
use tokio::sync::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::asked::Asked;
use super::error;
use super::listen::{Ear, Opened};
use super::poll::Poller;
use super::shared::Shared;
use super::sql::Sql;
use crate::{Hint, HintStream, LockName, Result};

/// The pauses between attempts to connect again.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// After this many attempts in a row without a notification, the watch polls from then on.
const UNHEARD: u32 = 3;

/// How many hints a stream may lag behind before it is told that anything may have happened.
const BACKLOG: usize = 1024;

/// Where the watches of a store meet.
#[derive(Default)]
pub(super) struct Hub {
    listening: Mutex<Weak<Listening>>,
    asked: Asked,
}

/// A task that listens for as long as a stream needs it.
struct Listening {
    /// Never read from, only subscribed to.
    hints: Receiver<Hint>,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hub {
    /// Notes that this process asked about a name, and may wait for it.
    pub(super) fn asked(&self, name: &LockName) {
        self.asked.note(name);
    }

    pub(super) async fn watch(&self, shared: &Shared) -> Result<HintStream> {
        if shared.pool.is_closed() {
            return Err(error::unwritten(sqlx::Error::PoolClosed));
        }
        let mut current = self.listening.lock().await;
        let running = current.upgrade().filter(|listening| !listening.task.is_finished());
        let listening = match running {
            Some(listening) => listening,
            None => {
                let listening = Arc::new(start(shared).await);
                *current = Arc::downgrade(&listening);
                listening
            }
        };
        let hints = listening.hints.resubscribe();
        Ok(Box::pin(stream::unfold((listening, hints), next)))
    }
}

async fn next(
    (listening, mut hints): (Arc<Listening>, Receiver<Hint>),
) -> Option<(Hint, (Arc<Listening>, Receiver<Hint>))> {
    match hints.recv().await {
        Ok(hint) => Some((hint, (listening, hints))),
        Err(RecvError::Lagged(_)) => Some((Hint::Anything, (listening, hints))),
        Err(RecvError::Closed) => None,
    }
}

/// Listens before it returns, if the server can be reached.
async fn start(shared: &Shared) -> Listening {
    let (sender, hints) = broadcast::channel(BACKLOG);
    let mut watch = Watch {
        pool: shared.pool.clone(),
        sql: shared.sql.clone(),
        asked: shared.hub.asked.clone(),
        label: shared.label.clone(),
        sender,
        warned: false,
        unheard: 0,
    };
    let source = watch.connect().await;
    let task = tokio::spawn(async move {
        let closed = watch.pool.close_event();
        tokio::select! {
            () = watch.run(source) => {}
            () = closed => {}
        }
    });
    Listening { hints, task }
}

/// The source of the hints.
enum Source {
    Notifications(Ear),
    Polled(Poller),
}

struct Watch {
    pool: PgPool,
    sql: Sql,
    asked: Asked,
    label: String,
    sender: Sender<Hint>,
    /// Whether the present trouble was told of.
    warned: bool,
    /// The number of connections in a row on which no notification arrived.
    unheard: u32,
}

impl Watch {
    /// Runs until it is aborted, and reconnects after each outage.
    async fn run(&mut self, mut source: Option<Source>) {
        let mut pause = PAUSE;
        // A watch that listened from its start has missed nothing.
        let mut missed = !matches!(source, Some(Source::Notifications(_)));
        loop {
            if let Some(open) = source.as_mut() {
                let works = match open {
                    Source::Notifications(ear) => self.listen(ear, missed).await,
                    Source::Polled(poller) => self.poll(poller).await,
                };
                if works {
                    pause = PAUSE;
                }
            }
            drop(source.take());
            missed = true;
            self.hint(Hint::Anything);
            // In time for servers that start again, out of step with other clients.
            sleep(pause + pause.mul_f64(fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            source = self.connect().await;
        }
    }

    /// Connects with the pool's current options, since the password may have changed.
    async fn connect(&mut self) -> Option<Source> {
        let options = self.pool.connect_options();
        let connected = if self.asked.polled() {
            Poller::connect(&options).await.map(Source::Polled)
        } else {
            match Ear::open(&options, &self.sql.channel).await {
                Ok(Opened::Listens(ear)) => Ok(Source::Notifications(ear)),
                Ok(Opened::Shared(connection)) => {
                    self.poll_for_good("a pooler shares the server's sessions between clients");
                    Ok(Source::Polled(Poller::new(connection)))
                }
                Err(error) => Err(error),
            }
        };
        match connected {
            Ok(source) => Some(source),
            Err(error) => {
                self.warn(&error.to_string());
                None
            }
        }
    }

    /// Forwards notifications until the connection is lost, and returns whether any could arrive.
    async fn listen(&mut self, ear: &mut Ear, missed: bool) -> bool {
        match ear.hears(|hint| self.hint(hint)).await {
            Ok(true) => {
                (self.warned, self.unheard) = (false, 0);
                if missed {
                    self.hint(Hint::Anything);
                }
                let error = loop {
                    match ear.next().await {
                        Ok(hint) => self.hint(hint),
                        Err(error) => break error,
                    }
                };
                self.warn(&error.to_string());
                true
            }
            Ok(false) => {
                self.unheard += 1;
                if self.unheard >= UNHEARD {
                    self.poll_for_good("notifications do not come through");
                }
                false
            }
            Err(error) => {
                self.warn(&error.to_string());
                false
            }
        }
    }

    /// Polls for changes until the connection is lost, and returns whether any answer came.
    async fn poll(&mut self, poller: &mut Poller) -> bool {
        // The names that waiters asked about earlier were not noted.
        self.hint(Hint::Anything);
        let mut works = false;
        loop {
            match poller.ask(&self.sql.poll, &self.asked).await {
                Ok((hints, pause)) => {
                    if !std::mem::replace(&mut works, true) {
                        self.warned = false;
                    }
                    hints.into_iter().for_each(|hint| self.hint(hint));
                    sleep(pause).await;
                }
                Err(error) => {
                    self.warn(&error.to_string());
                    return works;
                }
            }
        }
    }

    /// Makes the watch poll from now on, for as long as the store exists.
    fn poll_for_good(&mut self, why: &str) {
        self.asked.poll();
        // This is logged even if an earlier outage was logged.
        self.warned = false;
        self.warn(why);
    }

    fn hint(&self, hint: Hint) {
        // Without a stream to hear it there is nothing to tell.
        _ = self.sender.send(hint);
    }

    fn warn(&mut self, why: &str) {
        if !self.warned {
            self.warned = true;
            tracing::warn!(
                store = self.label,
                why,
                "the server does not wake waiters; they find out by polling"
            );
        }
    }
}
