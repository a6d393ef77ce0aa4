//! One connection listens, outside of the pool.

use std::mem;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions};
use sqlx::{Acquire, AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::error_codes::READ_ONLY;
use super::pooler;
use crate::common::timeout::CALL_LIMIT;
use crate::shell::hint_text;
use crate::{Hint, LeaseId};

/// A connection is tested after this silence, since a dead one is silent too.
const TEST_AFTER_SILENCE: Duration = Duration::from_secs(15);

/// A notification from the probe connection may take this long.
const ECHO_TIMEOUT: Duration = Duration::from_secs(5);

/// An attempt to listen has one of these results.
pub(super) enum ListenResult {
    Listening(Listener),
    /// A pooler shares the server's sessions, so no `LISTEN` was sent.
    SharedSessions,
}

/// Receives the notifications of one table.
pub(super) struct Listener {
    /// It becomes `None` only when this value is dropped.
    listener: Option<PgListener>,
    channel: String,
    /// This second connection is kept until a notification that it sent has arrived.
    probe_connection: Option<PgConnection>,
}

impl Listener {
    /// Connects and listens: changes after that are notified.
    ///
    /// Behind a pooler that shares sessions it does not listen: the server would send notifications
    /// to clients that did not ask for them, and whose driver treats them as an error.
    pub(super) async fn open(
        options: &PgConnectOptions,
        channel: &str,
    ) -> sqlx::Result<ListenResult> {
        let open = async {
            let mut probe_connection = options.connect().await?;
            if pooler::probe(&mut probe_connection).await?.renamed {
                return Ok(ListenResult::SharedSessions);
            }
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(CALL_LIMIT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                .connect_lazy_with(options.clone());
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            let mut this = Self {
                listener: Some(listener),
                channel: channel.to_owned(),
                probe_connection: None,
            };
            let connection = Acquire::acquire(this.listener()?).await?;
            if pooler::share_session(&mut probe_connection, connection).await? {
                return Ok(ListenResult::SharedSessions);
            }
            this.probe_connection = Some(probe_connection);
            this.listener()?.listen(channel).await?;
            Ok(ListenResult::Listening(this))
        };
        timeout(CALL_LIMIT, open).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    fn listener(&mut self) -> sqlx::Result<&mut PgListener> {
        self.listener.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Returns whether notifications from another connection arrive.
    pub(super) async fn notifications_arrive(
        &mut self,
        on_hint: impl Fn(Hint),
    ) -> sqlx::Result<bool> {
        let channel = format!("leasehold_echo_{}", LeaseId::new());
        let Some(mut probe_connection) = self.probe_connection.take() else { return Ok(true) };
        let listener = self.listener()?;
        let echo = async {
            // An outage like any other until the address leads elsewhere.
            accepts_writes(&mut probe_connection).await?;
            listener.listen(&channel).await?;
            let notify = format!("SELECT pg_notify('{channel}', 'echo')");
            probe_connection.execute(sqlx::raw_sql(AssertSqlSafe(notify))).await?;
            loop {
                match listener.try_recv().await? {
                    Some(heard) if heard.channel() == channel => break,
                    Some(heard) => on_hint(hint_text::read(heard.payload())),
                    None => return Err(sqlx::Error::PoolClosed),
                }
            }
            listener.unlisten(&channel).await?;
            _ = probe_connection.close().await;
            Ok(())
        };
        match timeout(ECHO_TIMEOUT, echo).await {
            Ok(done) => done.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Returns the next hint, or an error if the connection is lost or hangs.
    pub(super) async fn next(&mut self) -> sqlx::Result<Hint> {
        loop {
            let channel = self.channel.clone();
            let listener = self.listener()?;
            match timeout(TEST_AFTER_SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(heard))) if heard.channel() == channel => {
                    return Ok(hint_text::read(heard.payload()));
                }
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None)) => return Err(sqlx::Error::PoolClosed),
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let test = async { accepts_writes(Acquire::acquire(listener).await?).await };
                    let test = timeout(CALL_LIMIT, test).await;
                    test.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
                }
            }
        }
    }
}

/// Returns an error if the server accepts no more writes: nothing is changed there, so no
/// notification will come.
async fn accepts_writes(connection: &mut PgConnection) -> sqlx::Result<()> {
    let query = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool";
    let row = connection.fetch_one(sqlx::raw_sql(query)).await?;
    if row.try_get(0)? { Err(sqlx::Error::Protocol(READ_ONLY.into())) } else { Ok(()) }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The driver closes the connection in a task, and panics if there is no runtime.
        if Handle::try_current().is_err() {
            mem::forget(self.listener.take());
        }
    }
}
