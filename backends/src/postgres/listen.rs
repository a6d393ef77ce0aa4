//! One connection that listens, outside of the pool.

use std::mem;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::{Acquire, Connection};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::common::limit::CALL_LIMIT;
use crate::{Hint, LeaseId, LockName};

/// A connection on which nothing came for so long is tested, since a dead one says nothing either.
const QUIET: Duration = Duration::from_secs(15);

/// How long a notification to oneself may take.
const ECHO_LIMIT: Duration = Duration::from_secs(5);

/// Hears the notifications of one table.
pub(super) struct Ear {
    /// Taken only when it is dropped.
    listener: Option<PgListener>,
    channel: String,
}

impl Ear {
    /// Connects and listens; what is changed after that is heard.
    pub(super) async fn open(options: &PgConnectOptions, channel: &str) -> sqlx::Result<Self> {
        let open = async {
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(CALL_LIMIT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                .connect_lazy_with(options.clone());
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            let mut ear = Self { listener: Some(listener), channel: channel.to_owned() };
            ear.listener()?.listen(channel).await?;
            Ok(ear)
        };
        timeout(CALL_LIMIT, open).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    fn listener(&mut self) -> sqlx::Result<&mut PgListener> {
        self.listener.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Whether notifications from connections of that pool come through. Behind PgBouncer in
    /// transaction mode they do not: it listened on a connection that others use by now.
    pub(super) async fn hears(
        &mut self,
        pool: &PgPool,
        meanwhile: impl Fn(Hint),
    ) -> sqlx::Result<bool> {
        let channel = format!("leasehold_echo_{}", LeaseId::new());
        let listener = self.listener()?;
        let echo = async {
            listener.listen(&channel).await?;
            sqlx::query("SELECT pg_notify($1, 'echo')")
                .persistent(false)
                .bind(&channel)
                .execute(pool)
                .await?;
            loop {
                match listener.try_recv().await? {
                    Some(heard) if heard.channel() == channel => break,
                    Some(heard) => meanwhile(hint(heard.payload())),
                    None => return Err(sqlx::Error::PoolClosed),
                }
            }
            listener.unlisten(&channel).await
        };
        match timeout(ECHO_LIMIT, echo).await {
            Ok(done) => done.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// The next hint; an error when the connection is lost, or hangs.
    pub(super) async fn next(&mut self) -> sqlx::Result<Hint> {
        loop {
            let channel = self.channel.clone();
            let listener = self.listener()?;
            match timeout(QUIET, listener.try_recv()).await {
                Ok(Ok(Some(heard))) if heard.channel() == channel => {
                    return Ok(hint(heard.payload()));
                }
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None)) => return Err(sqlx::Error::PoolClosed),
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let test = async { Acquire::acquire(listener).await?.ping().await };
                    timeout(CALL_LIMIT, test).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
                }
            }
        }
    }
}

fn hint(payload: &str) -> Hint {
    LockName::new(payload).map_or(Hint::Anything, Hint::Name)
}

impl Drop for Ear {
    fn drop(&mut self) {
        // Its own drop takes leave of the server in a task, and panics where there is no runtime.
        if Handle::try_current().is_err() {
            mem::forget(self.listener.take());
        }
    }
}
