//! Hints, from a task of their own: a stream that is not polled keeps no connection waiting.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::change_stream::{ChangeSource, MAX_AWAIT_TIME};
use super::shared::MongoInner;
use crate::common::timeout::{CALL_LIMIT, timed_out};
use crate::{ErrorKind, Hint, HintStream, Result};

/// How long a hint takes at most, where the server does not push.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);

/// The pauses between attempts, while the server cannot be watched. An attempt waits for a server
/// that is not there, so they need not be long.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// A look takes so long only where something is wrong: servers answer within [`MAX_AWAIT_TIME`], though
/// nothing changed.
const SLOW_POLL: Duration = MAX_AWAIT_TIME.saturating_mul(2);

/// How many hints wait for a stream that is not polled, before the task waits too.
const HINT_BUFFER: usize = 64;

/// Begins to watch: what changes from now on is hinted at.
pub(super) async fn hints(shared: Arc<MongoInner>) -> Result<HintStream> {
    let changes = ChangeSource::open(&shared).await?;
    let (sender, receiver) = channel(HINT_BUFFER);
    let task = WatchTask(tokio::spawn(run(shared, changes, sender)));
    Ok(Box::pin(stream::unfold((receiver, task), next)))
}

async fn next(
    (mut receiver, task): (Receiver<Hint>, WatchTask),
) -> Option<(Hint, (Receiver<Hint>, WatchTask))> {
    receiver.recv().await.map(|hint| (hint, (receiver, task)))
}

/// Ends with the stream.
struct WatchTask(JoinHandle<()>);

impl Drop for WatchTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(shared: Arc<MongoInner>, mut changes: ChangeSource, sender: Sender<Hint>) {
    loop {
        let error = match next_hints(&shared, &mut changes, &sender).await {
            Ok(hints) => {
                for hint in hints {
                    if sender.send(hint).await.is_err() {
                        return;
                    }
                }
                if changes.is_polled() {
                    sleep(INTERVAL).await;
                }
                continue;
            }
            Err(error) => error,
        };
        tracing::warn!(%error, store = shared.label, "the watch was interrupted");
        changes = reopen(&shared, &sender).await;
        if sender.send(Hint::Anything).await.is_err() {
            return;
        }
    }
}

/// Looks once, and sees to it that waiters look for themselves where that takes too long.
///
/// The driver resumes a change stream that broke off without a word, and takes as long for it as
/// it takes the server to come back.
async fn next_hints(
    shared: &MongoInner,
    changes: &mut ChangeSource,
    sender: &Sender<Hint>,
) -> Result<Vec<Hint>> {
    let mut next = pin!(changes.next_changes(shared));
    let mut late = false;
    loop {
        match timeout(SLOW_POLL, &mut next).await {
            Ok(hints) if late => return hints.map(|hints| [hints, vec![Hint::Anything]].concat()),
            Ok(hints) => return hints,
            Err(_) => late = true,
        }
        hint_while_reopening(sender);
    }
}

/// Begins anew as soon as the server lets it.
async fn reopen(shared: &MongoInner, sender: &Sender<Hint>) -> ChangeSource {
    let mut pause = MIN_BACKOFF;
    loop {
        hint_while_reopening(sender);
        // With jitter, so that the clients of a server that comes back do not come all at once.
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        let opening = timeout(CALL_LIMIT, ChangeSource::open(shared)).await;
        match opening.unwrap_or_else(|_| Err(timed_out(ErrorKind::Unavailable))) {
            Ok(changes) => return changes,
            Err(error) => tracing::debug!(%error, "the watch cannot go on yet"),
        }
        pause = (pause * 2).min(MAX_BACKOFF);
    }
}

/// Has waiters look for themselves, unless they have as much to read already.
fn hint_while_reopening(sender: &Sender<Hint>) {
    _ = sender.try_send(Hint::Anything);
}
