//! The subscription to hints that all watches of a store in one runtime share.

use std::sync::{Arc, Weak};

use futures_util::stream;
use parking_lot::Mutex;
use tokio::runtime::{self, Handle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::backend::Backend;
use super::backoff::Backoff;
use super::hints::{Hints, Progress};
use crate::{Error, ErrorKind, Hint, HintStream, Result};

/// The subscriptions of a store. Each runtime has its own, so that one whose threads are blocked
/// does not delay the hints of another.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Mutex<Vec<(runtime::Id, Weak<Subscription>)>>);

/// A task that keeps a subscription open for as long as a stream uses it.
#[derive(Debug)]
struct Subscription {
    /// New streams are copies of this receiver, from which nothing reads.
    hints: Receiver<Hint>,
    progress: watch::Receiver<Progress>,
    task: AbortOnDropHandle<()>,
}

impl Subscriptions {
    /// Returns a stream of all hints from now on, as soon as the subscription is complete.
    pub(super) async fn watch<B: Backend>(&self, backend: &Arc<B>) -> Result<HintStream> {
        let subscription = self.current(backend);
        let hints = subscription.hints.resubscribe();
        let mut progress = subscription.progress.clone();
        let started = progress.wait_for(|progress| !matches!(progress, Progress::Starting)).await;
        match started.map(|progress| progress.clone()) {
            Ok(Progress::Failed(error)) => Err(error),
            Ok(_) => Ok(Box::pin(stream::unfold((hints, subscription), next))),
            Err(_) => Err(closed()),
        }
    }

    /// Returns the subscription of this runtime, or a new one.
    fn current<B: Backend>(&self, backend: &Arc<B>) -> Arc<Subscription> {
        let runtime = Handle::current().id();
        let mut all = self.0.lock();
        all.retain(|(_, subscription)| subscription.strong_count() > 0);
        let known = all.iter().filter(|(id, _)| *id == runtime);
        let mut known = known.filter_map(|(_, subscription)| subscription.upgrade());
        if let Some(running) = known.find(|subscription| !subscription.task.is_finished()) {
            return running;
        }
        let hints = Hints::new();
        let (receiver, progress) = (hints.subscribe(), hints.progress());
        let task = tokio::spawn(run(Arc::clone(backend), hints));
        let task = AbortOnDropHandle::new(task);
        let subscription = Arc::new(Subscription { hints: receiver, progress, task });
        all.push((runtime, Arc::downgrade(&subscription)));
        subscription
    }
}

type Stream = (Receiver<Hint>, Arc<Subscription>);

async fn next((mut hints, subscription): Stream) -> Option<(Hint, Stream)> {
    let hint = match hints.recv().await {
        Ok(hint) => hint,
        Err(RecvError::Lagged(_)) => Hint::Anything,
        Err(RecvError::Closed) => return None,
    };
    Some((hint, (hints, subscription)))
}

/// Subscribes repeatedly, until the store is closed or the first subscription fails.
async fn run<B: Backend>(backend: Arc<B>, hints: Hints) {
    let (mut backoff, mut warned) = (Backoff::default(), false);
    loop {
        let ended = backend.watch_once(&hints).await;
        if hints.is_starting() {
            hints.fail(ended.err().unwrap_or_else(closed));
            return;
        }
        let Err(error) = ended else { return };
        if hints.interrupted() {
            backoff.reset();
            warned = false;
        }
        if !std::mem::replace(&mut warned, true) {
            tracing::warn!(
                store = backend.label(),
                %error,
                "hints are interrupted; waiters poll until the store can be watched again"
            );
        }
        sleep(backoff.pause()).await;
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the store is closed")
}

#[cfg(test)]
mod tests;
