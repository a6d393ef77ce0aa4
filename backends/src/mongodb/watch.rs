//! Hints, from a task of their own: a stream that is not polled keeps no connection waiting.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::changes::{AWAIT, Changes};
use super::shared::MongoInner;
use crate::common::timeout::{CALL_LIMIT, timed_out};
use crate::{ErrorKind, Hint, HintStream, Result};

/// How long a hint takes at most, where the server does not push.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);

/// The pauses between attempts, while the server cannot be watched. An attempt waits for a server
/// that is not there, so they need not be long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A look takes so long only where something is wrong: servers answer within [`AWAIT`], though
/// nothing changed.
const LATE: Duration = AWAIT.saturating_mul(2);

/// How many hints wait for a stream that is not polled, before the task waits too.
const WAITING: usize = 64;

/// Begins to watch: what changes from now on is hinted at.
pub(super) async fn hints(shared: Arc<MongoInner>) -> Result<HintStream> {
    let changes = Changes::open(&shared).await?;
    let (sender, receiver) = channel(WAITING);
    let task = Task(tokio::spawn(run(shared, changes, sender)));
    Ok(Box::pin(stream::unfold((receiver, task), next)))
}

async fn next(
    (mut receiver, task): (Receiver<Hint>, Task),
) -> Option<(Hint, (Receiver<Hint>, Task))> {
    receiver.recv().await.map(|hint| (hint, (receiver, task)))
}

/// Ends with the stream.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(shared: Arc<MongoInner>, mut changes: Changes, sender: Sender<Hint>) {
    loop {
        let error = match look(&shared, &mut changes, &sender).await {
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
async fn look(
    shared: &MongoInner,
    changes: &mut Changes,
    sender: &Sender<Hint>,
) -> Result<Vec<Hint>> {
    let mut looking = pin!(changes.look(shared));
    let mut late = false;
    loop {
        match timeout(LATE, &mut looking).await {
            Ok(hints) if late => return hints.map(|hints| [hints, vec![Hint::Anything]].concat()),
            Ok(hints) => return hints,
            Err(_) => late = true,
        }
        tell_meanwhile(sender);
    }
}

/// Begins anew as soon as the server lets it.
async fn reopen(shared: &MongoInner, sender: &Sender<Hint>) -> Changes {
    let mut pause = FIRST_PAUSE;
    loop {
        tell_meanwhile(sender);
        // With jitter, so that the clients of a server that comes back do not come all at once.
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        let opening = timeout(CALL_LIMIT, Changes::open(shared)).await;
        match opening.unwrap_or_else(|_| Err(timed_out(ErrorKind::Unavailable))) {
            Ok(changes) => return changes,
            Err(error) => tracing::debug!(%error, "the watch cannot go on yet"),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Has waiters look for themselves, unless they have as much to read already.
fn tell_meanwhile(sender: &Sender<Hint>) {
    _ = sender.try_send(Hint::Anything);
}
