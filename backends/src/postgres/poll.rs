//! Hints where notifications do not come through: one small query for all names.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions, Row, SqlStr};
use tokio::time::timeout;

use super::asked::Asked;
use crate::common::limit::CALL_LIMIT;
use crate::{Clock, Hint, LockName, SystemClock};

/// How often the query runs, while its answers are quick.
const INTERVAL: Duration = Duration::from_secs(1);

/// A server that answers slowly is asked less often, so that the query takes a small part of its
/// time only.
const PART: u32 = 20;
const LONGEST: Duration = Duration::from_secs(30);

/// How many rounds pass between two hints of anything, where no name was asked about: what reads
/// the store for a display waits for no name of its own.
const ROUNDS: u32 = 5;

/// A connection that asks for changes.
pub(super) struct Poller {
    connection: PgConnection,
    known: HashMap<LockName, State>,
    rounds: u32,
}

/// What a row says, as far as waiters care.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    lease: Option<String>,
    disabled: bool,
}

impl Poller {
    pub(super) async fn connect(options: &PgConnectOptions) -> sqlx::Result<Self> {
        let connect = options.connect();
        let connection = timeout(CALL_LIMIT, connect).await;
        connection.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(Self::new)
    }

    pub(super) fn new(connection: PgConnection) -> Self {
        Self { connection, known: HashMap::new(), rounds: 0 }
    }

    /// Asks once; the hints, and how long to pause before the next time.
    pub(super) async fn ask(
        &mut self,
        sql: &SqlStr,
        asked: &Asked,
    ) -> sqlx::Result<(Vec<Hint>, Duration)> {
        let names = asked.names();
        if names.is_empty() {
            self.known.clear();
            self.rounds += 1;
            let hint = self.rounds.is_multiple_of(ROUNDS).then_some(Hint::Anything);
            return Ok((hint.into_iter().collect(), INTERVAL));
        }
        let began = SystemClock.now();
        let texts: Vec<&str> = names.iter().map(LockName::as_str).collect();
        let query = sqlx::query(sql.clone()).bind(texts).fetch_all(&mut self.connection);
        let rows = timeout(CALL_LIMIT, query).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        let took = SystemClock.now().saturating_since(began);
        let hints = self.changes(names, &rows)?;
        Ok((hints, pause(took)))
    }

    fn changes(&mut self, names: Vec<LockName>, rows: &[PgRow]) -> sqlx::Result<Vec<Hint>> {
        let mut found = HashMap::new();
        for row in rows {
            let state = State { lease: row.try_get("lease")?, disabled: row.try_get("disabled")? };
            found.insert(row.try_get::<String, _>("name")?, state);
        }
        let known = std::mem::take(&mut self.known);
        let mut hints = Vec::new();
        for name in names {
            let now = found.remove(name.as_str()).unwrap_or_default();
            if matters(known.get(&name), &now) {
                hints.push(Hint::Name(name.clone()));
            }
            self.known.insert(name, now);
        }
        Ok(hints)
    }
}

/// Whether a waiter, or the holder, has to be told. A grant to somebody does not matter to others;
/// at the first look, it is unknown what the name was when it was asked about.
fn matters(before: Option<&State>, now: &State) -> bool {
    match before {
        None => now.lease.is_none() || now.disabled,
        Some(before) => {
            before.disabled != now.disabled || before.lease.is_some() && before.lease != now.lease
        }
    }
}

fn pause(took: Duration) -> Duration {
    took.saturating_mul(PART).clamp(INTERVAL, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(lease: &str, disabled: bool) -> State {
        State { lease: (!lease.is_empty()).then(|| lease.to_owned()), disabled }
    }

    #[test]
    fn what_frees_or_disables_or_enables_a_name_is_told() {
        for (before, now, told) in [
            (None, state("", false), true),
            (None, state("a", false), false),
            (None, state("a", true), true),
            (Some(state("a", false)), state("", false), true),
            (Some(state("a", false)), state("b", false), true),
            (Some(state("a", false)), state("a", false), false),
            (Some(state("", false)), state("", false), false),
            (Some(state("", false)), state("a", false), false),
            (Some(state("", false)), state("", true), true),
            (Some(state("", true)), state("", false), true),
            (Some(state("a", true)), state("", true), true),
        ] {
            assert_eq!(matters(before.as_ref(), &now), told, "{before:?} {now:?}");
        }
    }

    #[test]
    fn a_slow_answer_makes_the_pause_longer_within_bounds() {
        assert_eq!(pause(Duration::from_millis(1)), INTERVAL);
        assert_eq!(pause(Duration::from_millis(500)), Duration::from_secs(10));
        assert_eq!(pause(Duration::from_secs(9)), LONGEST);
    }
}
