//! Hints from notifications, through one listener that all watches of a store share.
//!
//! A task of its own reads the connection, whether or not a stream is polled: a server that cannot
//! get rid of its notifications keeps those of all sessions.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream;
use sqlx::postgres::{PgConnectOptions, PgPool};
use tokio::sync::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::error;
use super::listen::Ear;
use super::shared::Shared;
use crate::{Clock, Hint, HintStream, Moment, Result, SystemClock};

/// How often waiters are told to look, while no notifications come through.
const INTERVAL: Duration = Duration::from_secs(1);

/// The pauses between attempts to listen again.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a connection that hears nothing is left at that.
const DEAF: Duration = Duration::from_secs(60);

/// How many hints a stream may lag behind before it is told that anything may have happened.
const BACKLOG: usize = 1024;

/// Where the watches of a store meet.
#[derive(Default)]
pub(super) struct Hub {
    listening: Mutex<Weak<Listening>>,
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
        options: Arc::unwrap_or_clone(shared.pool.connect_options()),
        pool: shared.pool.clone(),
        channel: shared.sql.table.clone(),
        label: shared.label.clone(),
        sender,
        warned: false,
    };
    let ear = watch.listen().await;
    let task = tokio::spawn(async move {
        let closed = watch.pool.close_event();
        tokio::select! {
            () = watch.run(ear) => {}
            () = closed => {}
        }
    });
    Listening { hints, task }
}

struct Watch {
    options: PgConnectOptions,
    pool: PgPool,
    channel: String,
    label: String,
    sender: Sender<Hint>,
    /// Whether the present trouble was told of.
    warned: bool,
}

impl Watch {
    /// Runs for ever, through whatever outages.
    async fn run(&mut self, mut ear: Option<Ear>) {
        let mut pause = PAUSE;
        // A watch that listened from its start has missed nothing.
        let mut missed = ear.is_none();
        loop {
            if let Some(open) = ear.as_mut() {
                match open.hears(&self.pool, |hint| self.hint(hint)).await {
                    Ok(true) => {
                        self.warned = false;
                        pause = PAUSE;
                        if missed {
                            self.hint(Hint::Anything);
                        }
                        self.warn(&self.relay(open).await.to_string());
                    }
                    Ok(false) => {
                        self.warn("notifications do not come through, as with a pooler");
                        drop(ear.take());
                        self.poll_until(SystemClock.now() + DEAF).await;
                    }
                    Err(error) => self.warn(&error.to_string()),
                }
            }
            drop(ear.take());
            missed = true;
            self.hint(Hint::Anything);
            // In time for servers that start again, out of step with other clients.
            let jitter = pause.mul_f64(fastrand::f64() / 2.0);
            self.poll_until(SystemClock.now() + pause + jitter).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            ear = self.listen().await;
        }
    }

    async fn listen(&mut self) -> Option<Ear> {
        match Ear::open(&self.options, &self.channel).await {
            Ok(ear) => Some(ear),
            Err(error) => {
                self.warn(&error.to_string());
                None
            }
        }
    }

    /// Passes hints on until the connection is lost.
    async fn relay(&self, ear: &mut Ear) -> sqlx::Error {
        loop {
            match ear.next().await {
                Ok(hint) => self.hint(hint),
                Err(error) => return error,
            }
        }
    }

    /// Tells waiters to look for themselves, meanwhile.
    async fn poll_until(&self, end: Moment) {
        loop {
            let left = end.saturating_since(SystemClock.now());
            if left.is_zero() {
                return;
            }
            sleep(left.min(INTERVAL)).await;
            self.hint(Hint::Anything);
        }
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
                "waiters are not woken by the server; they look once a second instead"
            );
        }
    }
}
