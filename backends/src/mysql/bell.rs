//! A bell: how a waiter learns at once that a lease was released.
//!
//! A holder's bell is a user-level lock (`GET_LOCK`) that the holder's store keeps on a connection of
//! its own, and lets go of for a moment after it released a lease. Who waits for that holder stands
//! in line for the same lock, passes it on when it comes, and looks at what was signalled.
//!
//! A bell is never the lock: whether it is heard decides nothing. Where user-level locks are refused
//! or known to one node only, where a connection fails or there are too many, and for what rings no
//! bell (disable, enable, a lease released over another store), waiters look for themselves.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPool};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::error;
use super::listen::Ears;
use super::ring::Ringer;
use crate::common::limit::CALL_LIMIT;
use crate::{
    AcquireOptions, AcquireOutcome, Grant, LeaseId, LockName, ReleaseOutcome, RenewOptions,
    RenewOutcome,
};

/// The seconds that a holder waits for those in line to pass its bell on.
const PASSING: u32 = 2;

/// What a store knows of bells: it rings for its own leases, and listens for others'.
pub(super) struct Bells {
    ringer: Ringer,
    pub(super) ears: Ears,
}

impl Bells {
    pub(super) fn new(
        pool: &MySqlPool,
        database: &str,
        table: &str,
        left: watch::Receiver<()>,
    ) -> Self {
        let tower = Tower::new(pool, database, table, left);
        Self { ringer: Ringer::new(tower.clone()), ears: Ears::new(tower) }
    }

    /// Learns from the answer to an acquire.
    pub(super) fn asked(&self, name: &LockName, ask: &AcquireOptions, answer: &AcquireOutcome) {
        match answer {
            AcquireOutcome::Granted(Grant { left, .. }) => {
                self.ears.forget(name);
                self.ringer.granted(ask.holder.instance, ask.lease, *left);
            }
            // What this store releases itself, its watches are told without a bell.
            AcquireOutcome::Held(held) if self.ringer.rings_for(held.holder.instance) => {
                self.ears.forget(name);
            }
            AcquireOutcome::Held(held) => {
                self.ears.refused(name, held.holder.instance, held.left);
            }
            AcquireOutcome::Disabled(_) => self.ears.disabled(name),
        }
    }

    /// Learns from the answers to a renewal.
    pub(super) fn renewed(&self, leases: &[RenewOptions], answers: &[RenewOutcome]) {
        self.ringer.renewed(leases.iter().map(|asked| asked.lease).zip(answers));
    }

    /// Rings, after the answer to a release: whoever hears it is to see the lease gone.
    pub(super) fn released(&self, lease: LeaseId, answer: ReleaseOutcome) {
        let rings = answer == ReleaseOutcome::Released;
        self.ringer.over(lease, rings);
        if rings {
            self.ears.rang();
        }
    }
}

/// Where bells hang: one server, database and table.
#[derive(Clone)]
pub(super) struct Tower {
    pub(super) pool: MySqlPool,
    place: u64,
    left: watch::Receiver<()>,
}

impl Tower {
    fn new(pool: &MySqlPool, database: &str, table: &str, left: watch::Receiver<()>) -> Self {
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

/// Connects; what answers there may be no server of MySQL's.
pub(super) async fn connect(options: &MySqlConnectOptions) -> sqlx::Result<MySqlConnection> {
    // sqlx panics at some messages that no server sends: strangers must not get that far.
    AssertUnwindSafe(options.connect())
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Protocol("an impossible message".into())))
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
