//! Produces hints where notifications do not arrive, with one small query for all names.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::postgres::PgRow;

use super::calls::Postgres;
use crate::sql::purpose::Purpose;
use crate::sql::row::get;
use crate::{Clock, Hint, LeaseId, LockName, Result, SystemClock};

/// The query runs this often while its answers are fast.
const INTERVAL: Duration = Duration::from_secs(1);

/// A server that answers slowly is asked less often, so that the query takes only a small part of
/// its time.
const MAX_LOAD_SHARE: u32 = 20;
const MAX_INTERVAL: Duration = Duration::from_secs(30);

/// While no name was asked about, a hint of any change is sent every this many rounds: a display
/// that reads the store asks about no particular name.
const ROUNDS: u32 = 5;

/// Polls for changes, on the connections for calls.
#[derive(Default)]
pub(super) struct Poller {
    known: HashMap<LockName, PolledState>,
    rounds: u32,
}

/// This is the part of a row that matters to waiters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PolledState {
    lease: Option<String>,
    disabled: bool,
    /// These entries hold the lock of a name with a queue.
    holding: Vec<LeaseId>,
}

impl Poller {
    /// Polls once, and returns the hints and how long to pause before the next poll.
    pub(super) async fn read_states(&mut self, store: &Postgres) -> Result<(Vec<Hint>, Duration)> {
        let names = store.polled_names.names();
        if names.is_empty() {
            self.known.clear();
            self.rounds += 1;
            let hint = self.rounds.is_multiple_of(ROUNDS).then_some(Hint::Anything);
            return Ok((hint.into_iter().collect(), INTERVAL));
        }
        let began = SystemClock.now();
        let texts: Vec<&str> = names.iter().map(LockName::as_str).collect();
        let poll = || sqlx::query(store.sql.poll.clone()).bind(&texts);
        let rows = store.connections.read_rows(Purpose::Read, poll).await?;
        let took = SystemClock.now().saturating_since(began);
        let hints = self.changes(store, names, &rows)?;
        Ok((hints, pause(took)))
    }

    fn changes(
        &mut self,
        store: &Postgres,
        names: Vec<LockName>,
        rows: &[PgRow],
    ) -> Result<Vec<Hint>> {
        let mut found = HashMap::new();
        for row in rows {
            let read = || {
                let holding: Option<String> = get(row, "holding")?;
                // Those that cannot be read get no hint, and find that out by themselves.
                let holding = holding.iter().flat_map(|leases| leases.split(','));
                let state = PolledState {
                    lease: get(row, "lease")?,
                    disabled: get(row, "disabled")?,
                    holding: holding.filter_map(|lease| lease.parse().ok()).collect(),
                };
                Ok((get::<_, String>(row, "name")?, state))
            };
            let (name, state) = read().map_err(|corrupt| store.corrupt_row(corrupt))?;
            found.insert(name, state);
        }
        let known = std::mem::take(&mut self.known);
        let mut hints = Vec::new();
        for name in names {
            let now = found.remove(name.as_str()).unwrap_or_default();
            hints.extend(hint(&name, known.get(&name), &now));
            self.known.insert(name, now);
        }
        Ok(hints)
    }
}

/// Returns the hint about a name, if one is needed. In a queue, those that hold the lock since the last
/// read need one.
fn hint(name: &LockName, before: Option<&PolledState>, now: &PolledState) -> Option<Hint> {
    if is_hint(before, now) {
        return Some(Hint::Name(name.clone()));
    }
    let held = |lease: &LeaseId| before.is_some_and(|before| before.holding.contains(lease));
    let is_granted = now.holding.iter().any(|lease| !held(lease));
    is_granted.then(|| Hint::Entries(name.clone(), now.holding.clone()))
}

/// Returns whether a waiter, or the holder, needs a hint. A grant does not matter to others. At the
/// first read, the state of the name when it was asked about is unknown.
fn is_hint(before: Option<&PolledState>, now: &PolledState) -> bool {
    match before {
        None => now.lease.is_none() || now.disabled,
        Some(before) => {
            before.disabled != now.disabled || before.lease.is_some() && before.lease != now.lease
        }
    }
}

fn pause(took: Duration) -> Duration {
    took.saturating_mul(MAX_LOAD_SHARE).clamp(INTERVAL, MAX_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(lease: &str, disabled: bool) -> PolledState {
        let lease = (!lease.is_empty()).then(|| lease.to_owned());
        PolledState { lease, disabled, holding: Vec::new() }
    }

    #[test]
    fn entries_that_hold_the_lock_since_the_last_read_get_a_hint() {
        let name = LockName::new("a").unwrap();
        let [first, second] = [LeaseId::new(), LeaseId::new()];
        let queue = |holding: &[LeaseId]| PolledState {
            holding: holding.to_vec(),
            ..state("marker", false)
        };
        let both = queue(&[first, second]);
        let entries = |holding: &[LeaseId]| Some(Hint::Entries(name.clone(), holding.to_vec()));
        for (before, now, told) in [
            (None, &both, entries(&[first, second])),
            (Some(queue(&[first])), &both, entries(&[first, second])),
            (Some(queue(&[first])), &queue(&[second]), entries(&[second])),
            (Some(both.clone()), &both, None),
            (Some(both.clone()), &queue(&[second]), None),
            (Some(both.clone()), &state("", false), Some(Hint::Name(name.clone()))),
            (Some(both.clone()), &state("marker", true), Some(Hint::Name(name.clone()))),
        ] {
            assert_eq!(hint(&name, before.as_ref(), now), told, "{before:?} {now:?}");
        }
    }

    #[test]
    fn release_disable_and_enable_cause_hints() {
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
            assert_eq!(is_hint(before.as_ref(), &now), told, "{before:?} {now:?}");
        }
    }

    #[test]
    fn a_slow_answer_makes_the_pause_longer_within_bounds() {
        assert_eq!(pause(Duration::from_millis(1)), INTERVAL);
        assert_eq!(pause(Duration::from_millis(500)), Duration::from_secs(10));
        assert_eq!(pause(Duration::from_secs(9)), MAX_INTERVAL);
    }
}
