//! Each task of a listener waits for the user-level lock of one holder at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::error_codes::READ_ONLY;
use super::listener_state::{Inner, ListenedHolder};
use super::user_lock::{UserLockConnection, UserLockNames, WaitResult};

/// A waiter waits for a user-level lock for 0 seconds at first, which tells whether a session keeps
/// it, and then for this many. Proxies often cut a connection on which nothing was sent for 50 or
/// 60 seconds.
const TRY_SECONDS: u32 = 0;
const WAIT_SECONDS: u32 = 45;

/// After this many waits in a row that were cut off, waits are short: the server or a proxy may
/// limit how long a statement takes, or how long a connection is silent.
const MAX_CUT_OFF: u32 = 2;
const SHORT_WAIT_SECONDS: u32 = 5;

/// A grant mostly means that the lease is over, so the next wait is short: it ends before the task
/// checks whether to close the connection. Servers count and log a connection that is closed during
/// a wait.
const WAIT_AFTER_GRANT_SECONDS: u32 = 3;

/// A wait that ended sooner than this has not reached such a limit.
const MIN_CUT_OFF_WAIT: Duration = Duration::from_secs(5);

/// A connection that waits for no holder is kept for this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// A task pauses for this long, at first and at most, after an answer that came at once: no session
/// keeps the user-level lock, or it is passed on all the time.
const INSTANT_REPLY_BACKOFF: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_secs(5));

/// Pauses grow by this factor. They grow slower while no session keeps the user-level lock, since
/// the holder may have been killed, and another process mostly releases its lease after some 100 ms.
const BACKOFF_FACTOR: f64 = 2.0;
const BACKOFF_FACTOR_OF_NO_HOLDER: f64 = 1.15;

/// A task pauses for at most this long after a user-level lock that was granted at once.
const MAX_PAUSE_AFTER_GRANT: Duration = Duration::from_millis(200);

/// A task pauses for at most this long after an error.
const MAX_ERROR_BACKOFF: Duration = Duration::from_secs(60);

/// An answer that comes sooner than this did not wait for a session.
const INSTANT_REPLY: Duration = Duration::from_millis(5);

/// Listens until the pool is closed, or there was no holder to listen for.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut connection = None;
    let closed = inner.names.pool.close_event();
    tokio::select! {
        () = serve(&inner, &mut connection) => {}
        // A server whose command waits does not notice an orderly close, but that the socket closes.
        () = closed => return,
    }
    if let Some(connection) = connection {
        connection.close().await;
    }
}

async fn serve(inner: &Inner, connection: &mut Option<UserLockConnection>) {
    let mut close_all = inner.names.close_all_signal();
    loop {
        match inner.next_holder() {
            Some(listened) => listen_for(&listened, connection, &mut close_all).await,
            None => {
                if timeout(IDLE_TIMEOUT, inner.wake.notified()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Listens for one holder while this store waits for a name of that holder.
async fn listen_for(
    listened: &ListenedHolder<'_>,
    connection: &mut Option<UserLockConnection>,
    close_all: &mut watch::Receiver<()>,
) {
    let ListenedHolder { inner, holder } = listened;
    let name = inner.names.name_of(*holder);
    let (mut pause, longest) = INSTANT_REPLY_BACKOFF;
    let (mut seconds, mut cut_off) = (TRY_SECONDS, 0);
    while inner.is_awaited(*holder) {
        let asked = Instant::now();
        let answer = tokio::select! {
            answer = listen(&inner.names, connection, &name, seconds) => answer,
            // The next connection follows the address.
            Ok(()) = close_all.changed() => Err(sqlx::Error::Protocol(READ_ONLY.into())),
            // The server notices within about a second that the connection of a wait is closed.
            () = inner.until_not_awaited(*holder) => {
                *connection = None;
                return;
            }
        };
        let waited = asked.elapsed() >= INSTANT_REPLY;
        let waits = match answer {
            Ok(WaitResult::TimedOut) => waited || seconds == TRY_SECONDS,
            Ok(WaitResult::Granted) => waited,
            Ok(WaitResult::NotHeld) | Err(_) => false,
        };
        if listened.set_waiting(waits) {
            // A release since the refusal was announced before this task waits.
            inner.notify(None);
        }
        match answer {
            Ok(WaitResult::TimedOut) if seconds == WAIT_SECONDS => cut_off = 0,
            Ok(WaitResult::NotHeld) | Err(_) if asked.elapsed() >= MIN_CUT_OFF_WAIT => cut_off += 1,
            _ => {}
        }
        seconds = match answer {
            Ok(result) if waits => next_wait(result, cut_off),
            _ => TRY_SECONDS,
        };
        let mut factor = BACKOFF_FACTOR;
        let most = match answer {
            Ok(result) => {
                match result {
                    WaitResult::Granted => inner.released_by(*holder),
                    // The holder may have been killed, and another process releases its lease about
                    // now: the watch reads at growing intervals for a while.
                    WaitResult::NotHeld => {
                        inner.notify(None);
                        factor = BACKOFF_FACTOR_OF_NO_HOLDER;
                    }
                    WaitResult::TimedOut => {}
                }
                // The answer that no session keeps it takes time only on the network.
                if waited && result != WaitResult::NotHeld {
                    pause = INSTANT_REPLY_BACKOFF.0;
                }
                if waits {
                    continue;
                }
                // The server is not asked all the time, whatever it answers.
                if result == WaitResult::Granted { MAX_PAUSE_AFTER_GRANT } else { longest }
            }
            Err(error) => {
                tracing::debug!(%error, "cannot listen for releases; waiters poll instead");
                *connection = None;
                MAX_ERROR_BACKOFF
            }
        };
        sleep(pause.min(most).mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        pause = pause.mul_f64(factor).min(most);
    }
}

async fn listen(
    names: &UserLockNames,
    connection: &mut Option<UserLockConnection>,
    name: &str,
    seconds: u32,
) -> sqlx::Result<WaitResult> {
    let connection = match connection {
        Some(connection) => connection,
        empty => empty.insert(UserLockConnection::open_for_waits(names).await?),
    };
    connection.wait(name, seconds).await
}

/// Returns how many seconds the next command waits after that result of a wait.
fn next_wait(result: WaitResult, cut_off: u32) -> u32 {
    if result == WaitResult::Granted {
        WAIT_AFTER_GRANT_SECONDS
    } else if cut_off < MAX_CUT_OFF {
        WAIT_SECONDS
    } else {
        SHORT_WAIT_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::super::listener_state::AWAITED_CHECK_INTERVAL;
    use super::*;

    #[test]
    fn the_wait_after_a_grant_ends_before_the_connection_would_be_closed() {
        let seconds = next_wait(WaitResult::Granted, 0);
        assert!(Duration::from_secs(seconds.into()) < AWAITED_CHECK_INTERVAL);
        let waits = [0, 1, 2].map(|cut_off| next_wait(WaitResult::TimedOut, cut_off));
        assert_eq!(waits, [WAIT_SECONDS, WAIT_SECONDS, SHORT_WAIT_SECONDS]);
    }
}
