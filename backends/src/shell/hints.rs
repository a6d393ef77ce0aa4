//! How a backend reports hints.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{broadcast, watch};

use crate::{Error, Hint};

/// A stream may lag by this many hints; one that lags further gets [`Hint::Anything`].
const BUFFER: usize = 1024;

/// Receives the hints of one subscription.
#[derive(Debug)]
pub struct Hints {
    sender: broadcast::Sender<Hint>,
    progress: watch::Sender<Progress>,
    /// This is true if hints may have been missed since the last one that was sent.
    gap: AtomicBool,
    /// This is true if the current subscription is complete.
    listening: AtomicBool,
}

/// The progress of the first subscription.
#[derive(Clone, Debug)]
pub(super) enum Progress {
    Starting,
    Started,
    Failed(Error),
}

impl Hints {
    pub(super) fn new() -> Self {
        Self {
            sender: broadcast::Sender::new(BUFFER),
            progress: watch::Sender::new(Progress::Starting),
            gap: AtomicBool::new(false),
            listening: AtomicBool::new(false),
        }
    }

    /// Reports a change.
    ///
    /// Report each release, disable and enable of a name, but neither grants nor renewals.
    pub fn send(&self, hint: Hint) {
        // Without a stream, no hint is needed.
        _ = self.sender.send(hint);
    }

    /// Reports that every later change will be reported.
    ///
    /// After an earlier subscription that broke, this also reports [`Hint::Anything`].
    pub fn listening(&self) {
        if self.gap.swap(false, Ordering::Relaxed) {
            self.send(Hint::Anything);
        }
        self.listening.store(true, Ordering::Relaxed);
        self.progress.send_if_modified(|progress| {
            let starting = matches!(progress, Progress::Starting);
            if starting {
                *progress = Progress::Started;
            }
            starting
        });
    }

    /// Notes that the subscription broke, and returns whether it was complete. Until there is
    /// another one, waiters must poll.
    pub(super) fn interrupted(&self) -> bool {
        self.gap.store(true, Ordering::Relaxed);
        self.send(Hint::Anything);
        self.listening.swap(false, Ordering::Relaxed)
    }

    /// Returns whether there has been no complete subscription yet.
    pub(super) fn is_starting(&self) -> bool {
        matches!(*self.progress.borrow(), Progress::Starting)
    }

    /// Reports that the first subscription failed.
    pub(super) fn fail(&self, error: Error) {
        self.progress.send_replace(Progress::Failed(error));
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Hint> {
        self.sender.subscribe()
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }
}
