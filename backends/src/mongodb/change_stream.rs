//! Reads changes from a change stream, or by polling for recent signals.

use std::collections::HashMap;
use std::time::Duration;

use mongodb::bson::Document;
use mongodb::change_stream::ChangeStream;
use mongodb::options::ReadConcern;
use tokio::time::{Instant, timeout};

use super::commands::Mongo;
use super::permits::PermitKind;
use super::{error_codes, pipeline, record, stored_queue};
use crate::common::timeout::{CALL_LIMIT, timed_out};
use crate::{Error, ErrorKind, Hint, LockName, Result};

/// A poll reads the signals of this many milliseconds. A write may become visible after another
/// whose time is later, but never later than this.
const WINDOW: i64 = 15_000;

/// At most this many names have their latest signal remembered.
const MAX_REMEMBERED: usize = 10_000;

/// A server waits this long for a change before it replies that there is none.
pub(super) const MAX_AWAIT_TIME: Duration = Duration::from_secs(1);

pub(super) enum ChangeSource {
    Stream(Stream),
    Poll(Poll),
}

impl ChangeSource {
    /// Starts to read changes that happen from now on.
    pub(super) async fn open(store: &Mongo) -> Result<Self> {
        if store.push {
            let opening = store.run(None, |at| async move {
                let watch = at.locks.watch().pipeline(pipeline::signal_changes());
                watch.read_concern(ReadConcern::majority()).max_await_time(MAX_AWAIT_TIME).await
            });
            match opening.await? {
                Ok(stream) => {
                    let signals = HashMap::new();
                    return Ok(Self::Stream(Stream { stream: stream.with_type(), signals }));
                }
                Err(cause) if error_codes::is_unauthorized(&cause) => {
                    tracing::warn!(
                        collection = store.locks(),
                        "the user lacks the changeStream permission, so the watch polls"
                    );
                }
                Err(cause) => return Err(error_codes::reading(cause)),
            }
        }
        let latest = latest(store).await?;
        let signals = latest.into_iter().map(|(name, (signal, _))| (name, signal)).collect();
        Ok(Self::Poll(Poll { signals, looked: Instant::now() }))
    }

    pub(super) fn is_polled(&self) -> bool {
        matches!(self, Self::Poll(_))
    }

    /// Returns the changes since the last call, if any. After an error, changes may be missing.
    pub(super) async fn next_changes(&mut self, store: &Mongo) -> Result<Vec<Hint>> {
        match self {
            Self::Stream(pushed) => pushed.next_changes().await,
            Self::Poll(polled) => polled.next_changes(store).await,
        }
    }
}

pub(super) struct Stream {
    stream: ChangeStream<Document>,
    /// The latest signal by name. A grant may be written as a whole new document with an unchanged
    /// signal, which is not a change for waiters.
    signals: HashMap<String, i64>,
}

impl Stream {
    async fn next_changes(&mut self) -> Result<Vec<Hint>> {
        let event = timeout(CALL_LIMIT, self.stream.next_if_any())
            .await
            .map_err(|_| timed_out(ErrorKind::Unavailable))?
            .map_err(error_codes::reading)?;
        match event {
            Some(event) => Ok(self.hint(&event).into_iter().collect()),
            None if self.stream.is_alive() => Ok(Vec::new()),
            None => Err(Error::new(ErrorKind::Unavailable, "the change stream ended")),
        }
    }

    fn hint(&mut self, event: &Document) -> Option<Hint> {
        let name = event.get_document("documentKey").and_then(|key| key.get_str("_id"));
        let Ok(name) = name.map(str::to_owned) else { return Some(Hint::Anything) };
        let fields = fields_of(event);
        let signal = fields.and_then(|fields| fields.get_i64("signal").ok());
        if signal.is_some() && self.signals.get(&name).copied() == signal {
            return None;
        }
        if self.signals.len() >= MAX_REMEMBERED {
            self.signals.clear();
        }
        let hint = match (LockName::new(&name), fields) {
            (Ok(name), Some(fields)) => stored_queue::pushed_hint(name, fields, signal),
            (Ok(name), None) => Hint::Name(name),
            (Err(_), _) => Hint::Anything,
        };
        if let Some(signal) = signal {
            self.signals.insert(name, signal);
        }
        Some(hint)
    }
}

/// Returns the fields that the event says were changed, or the whole document.
fn fields_of(event: &Document) -> Option<&Document> {
    let whole = event.get_document("fullDocument").ok();
    let changed = event.get_document("updateDescription").ok();
    let changed = changed.and_then(|changed| changed.get_document("updatedFields").ok());
    changed.or(whole)
}

pub(super) struct Poll {
    signals: HashMap<LockName, i64>,
    looked: Instant,
}

impl Poll {
    async fn next_changes(&mut self, store: &Mongo) -> Result<Vec<Hint>> {
        let now = Instant::now();
        let since = now.duration_since(self.looked);
        let latest = latest(store).await?;
        self.looked = now;
        let mut hints: Vec<_> = latest
            .iter()
            .filter(|(name, (signal, _))| self.signals.get(*name) != Some(signal))
            .map(|(_, (_, hint))| hint.clone())
            .collect();
        self.signals = latest.into_iter().map(|(name, (signal, _))| (name, signal)).collect();
        if since.as_millis() * 2 > WINDOW.unsigned_abs().into() {
            hints.push(Hint::Anything);
        }
        Ok(hints)
    }
}

/// Returns the signals within the window, each with its hint.
async fn latest(store: &Mongo) -> Result<HashMap<LockName, (i64, Hint)>> {
    let found = store.read_locks(PermitKind::Other, pipeline::signals(WINDOW), 1_000).await?;
    let signal = |document: &Document| {
        // A corrupt document is reported to the callers that use it.
        let name = record::name(document, store.locks()).ok()?;
        let hint = stored_queue::polled_hint(name.clone(), document);
        Some((name, (document.get_i64("signal").ok()?, hint)))
    };
    Ok(found.iter().filter_map(signal).collect())
}
