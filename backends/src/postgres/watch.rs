//! Reports changes by notifications, or by polling where those do not arrive.

use tokio::time::sleep;

use super::calls::Postgres;
use super::error_codes;
use super::listener::{ListenResult, Listener};
use super::poll::Poller;
use crate::shell::Hints;
use crate::sql::error::reading;
use crate::sql::pool::CallError;
use crate::{Error, ErrorKind, Hint, Result};

/// Reports changes until the connection is lost.
pub(super) async fn listen_or_poll(store: &Postgres, hints: &Hints) -> Result<()> {
    loop {
        if polls(store) {
            poll(store, hints).await?;
        }
        let mut close_all = store.connections.close_all_signal();
        // The pool's current options, since the password may have changed.
        let options = store.pool.connect_options();
        match Listener::open(&options, &store.sql.channel).await {
            Ok(ListenResult::Listening(listener)) => {
                hints.listening();
                return tokio::select! {
                    ended = listen(store, hints, listener) => ended,
                    // The next connection follows the address.
                    Ok(()) = close_all.changed() => Err(interrupted(error_codes::READ_ONLY)),
                };
            }
            Ok(ListenResult::SharedSessions) => {
                store.listen_state.poll_for_good();
                poll_from_now(store, "a pooler shares the server's sessions between clients");
            }
            Err(error) if store.polled_names.is_polling() => {
                tracing::debug!(%error, store = store.label, "cannot listen again");
                store.listen_state.listen_later();
            }
            Err(error) => return Err(reading::<sqlx::Postgres>(CallError::NotSent(error))),
        }
    }
}

/// Returns whether the watch polls instead of trying to listen.
fn polls(store: &Postgres) -> bool {
    store.polled_names.is_polling() && !store.listen_state.is_due()
}

/// Forwards notifications until the connection is lost.
async fn listen(store: &Postgres, hints: &Hints, mut listener: Listener) -> Result<()> {
    let lost = |error| reading::<sqlx::Postgres>(CallError::Failed(error));
    if listener.notifications_arrive(|hint| hints.send(hint)).await.map_err(lost)? {
        store.listen_state.heard();
        if store.polled_names.is_polling() {
            // Nothing told of a change since the last poll.
            hints.send(Hint::Anything);
        }
        store.polled_names.stop();
        loop {
            hints.send(listener.next().await.map_err(lost)?);
        }
    }
    if store.listen_state.silent() {
        store.listen_state.listen_later();
        poll_from_now(store, "notifications do not arrive");
    }
    Err(interrupted("notifications do not arrive"))
}

/// Polls for changes until that fails, or until it is time to listen again.
async fn poll(store: &Postgres, hints: &Hints) -> Result<()> {
    // The names that waiters asked about earlier were not noted.
    hints.send(Hint::Anything);
    let mut poller = Poller::default();
    while polls(store) {
        let (changes, pause) = poller.read_states(store).await?;
        hints.listening();
        changes.into_iter().for_each(|hint| hints.send(hint));
        sleep(pause).await;
    }
    Ok(())
}

/// Makes the watch poll from now on.
fn poll_from_now(store: &Postgres, why: &str) {
    if !store.polled_names.is_polling() {
        store.polled_names.poll();
        tracing::warn!(store = store.label, why, "cannot listen for notifications; waiters poll");
    }
}

fn interrupted(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, why)
}
