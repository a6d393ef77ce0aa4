//! Reports changes, from a change stream or by polling.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::change_stream::{ChangeSource, MAX_AWAIT_TIME};
use super::commands::Mongo;
use crate::common::timeout::{CALL_LIMIT, timed_out};
use crate::shell::Hints;
use crate::{ErrorKind, Hint, Result};

/// A hint takes at most this long if the server does not push.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);

/// A read takes this long only if something is wrong: servers answer within [`MAX_AWAIT_TIME`],
/// even if nothing changed.
const SLOW_READ: Duration = MAX_AWAIT_TIME.saturating_mul(2);

/// Reports changes until they can no longer be read.
pub(super) async fn watch_once(store: &Mongo, hints: &Hints) -> Result<()> {
    let opening = timeout(CALL_LIMIT, ChangeSource::open(store)).await;
    let mut changes = opening.unwrap_or_else(|_| Err(timed_out(ErrorKind::Unavailable)))?;
    hints.listening();
    loop {
        let read = next_changes(store, &mut changes, hints).await?;
        read.into_iter().for_each(|hint| hints.send(hint));
        if changes.is_polled() {
            sleep(INTERVAL).await;
        }
    }
}

/// Reads once, and makes waiters poll while that takes too long.
///
/// The driver silently resumes a change stream that broke. That takes until the server is up again.
async fn next_changes(
    store: &Mongo,
    changes: &mut ChangeSource,
    hints: &Hints,
) -> Result<Vec<Hint>> {
    let mut next = pin!(changes.next_changes(store));
    let mut is_late = false;
    loop {
        match timeout(SLOW_READ, &mut next).await {
            Ok(read) if is_late => return read.map(|read| [read, vec![Hint::Anything]].concat()),
            Ok(read) => return read,
            Err(_) => is_late = true,
        }
        hints.send(Hint::Anything);
    }
}
