//! User-level locks (`GET_LOCK`), which tell waiters of a release: their names, and a connection for
//! them.

use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlPool};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::error;
use super::session::connect;
use crate::common::limit::CALL_LIMIT;

/// The seconds that a holder waits for those in line to pass its bell on.
const PASSING: u32 = 2;

/// Where bells hang: one server, database and table.
#[derive(Clone)]
pub(super) struct Tower {
    pub(super) pool: MySqlPool,
    place: u64,
    left: watch::Receiver<()>,
}

impl Tower {
    pub(super) fn new(
        pool: &MySqlPool,
        database: &str,
        table: &str,
        left: watch::Receiver<()>,
    ) -> Self {
        let place = fnv(database.bytes().chain([0]).chain(table.bytes()));
        Self { pool: pool.clone(), place, left }
    }

    /// Returns a receiver that is told when connections must be closed because the server accepts no
    /// more writes or shuts down.
    pub(super) fn left(&self) -> watch::Receiver<()> {
        let mut left = self.left.clone();
        left.mark_unchanged();
        left
    }

    /// The name of a holder's bell, in the 64 characters that MySQL allows.
    pub(super) fn bell(&self, holder: Uuid) -> String {
        format!("leasehold:{:016x}:{}", self.place, holder.simple())
    }
}

/// FNV-1a, which is the same in every build; the standard library's hash may not be.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What came of standing in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Ring,
    Nothing,
    /// Nobody keeps that bell.
    NoBell,
}

/// A connection for bells, outside of the pool. After an error it is of no use any more.
pub(super) struct Line(MySqlConnection);

impl Line {
    pub(super) async fn open(tower: &Tower) -> sqlx::Result<Self> {
        // Standing in line is no slow statement to warn of.
        let options = Arc::unwrap_or_clone(tower.pool.connect_options());
        limited(connect(&options.disable_statement_logging())).await.map(Self)
    }

    /// Takes a bell to keep; whether it was had.
    pub(super) async fn take(&mut self, bell: &str) -> sqlx::Result<bool> {
        Ok(self.ask(format!("SELECT GET_LOCK('{bell}', {PASSING})")).await? == Some(1))
    }

    /// Returns whether the user-level lock is kept on this connection, or an error if the server
    /// accepts no more writes, since waiters then ask another server.
    pub(super) async fn keeps(&mut self, bell: &str) -> sqlx::Result<bool> {
        let kept = format!("IS_USED_LOCK('{bell}') <=> CONNECTION_ID()");
        match self.ask(format!("SELECT IF(@@read_only, NULL, {kept})")).await? {
            Some(kept) => Ok(kept == 1),
            None => Err(sqlx::Error::Protocol(error::READ_ONLY.into())),
        }
    }

    /// Lets go of a bell that is kept here, and takes it again after all who are in line. One
    /// statement, in order: nobody finds the bell gone in between.
    pub(super) async fn ring(&mut self, bell: &str) -> sqlx::Result<()> {
        self.run(format!("DO RELEASE_LOCK('{bell}'), GET_LOCK('{bell}', {PASSING})")).await
    }

    /// Gives a bell up.
    pub(super) async fn give_up(&mut self, bell: &str) -> sqlx::Result<()> {
        self.run(format!("DO RELEASE_LOCK('{bell}')")).await
    }

    /// Waits for the user-level lock for that many seconds. It is handed to the next waiter within
    /// the same statement, even if this process or the network fails.
    pub(super) async fn listen(&mut self, bell: &str, seconds: u32) -> sqlx::Result<Heard> {
        let turn = format!(
            "SELECT IF(IS_USED_LOCK('{bell}') IS NULL, NULL, GET_LOCK('{bell}', {seconds})), \
                 RELEASE_LOCK('{bell}')"
        );
        Ok(match self.ask(turn).await? {
            None => Heard::NoBell,
            Some(0) => Heard::Nothing,
            Some(_) => Heard::Ring,
        })
    }

    pub(super) async fn close(self) {
        // The socket closes either way.
        _ = timeout(Duration::from_secs(1), self.0.close()).await;
    }

    async fn ask(&mut self, sql: String) -> sqlx::Result<Option<i64>> {
        limited(self.0.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql)))).await?.try_get(0)
    }

    async fn run(&mut self, sql: String) -> sqlx::Result<()> {
        limited(self.0.execute(sqlx::raw_sql(AssertSqlSafe(sql)))).await.map(drop)
    }
}

async fn limited<T>(call: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(CALL_LIMIT, call).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_bells_fit_and_differ_by_place_and_holder() {
        let bell = |place: &str, holder| {
            let pool = super::super::config::pool(
                &super::super::config::from_url(&format!("mysql://app@db/{place}")).unwrap(),
                None,
            );
            let left = watch::Sender::new(()).subscribe();
            Tower::new(&pool, place, "leasehold_locks", left).bell(holder)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(u128::MAX));
        assert!(bell("app", other).len() <= 64);
        assert_eq!(bell("app", one), bell("app", one));
        assert_ne!(bell("app", one), bell("app", other));
        assert_ne!(bell("app", one), bell("ap", one));
    }

    #[test]
    fn fnv_is_as_published() {
        assert_eq!(fnv("foobar".bytes()), 0x8594_4171_f739_67e8);
    }
}
