//! A fence is raised here, with any driver.

use std::slice;
use std::time::{Duration, Instant};

use leasehold_core::{ErrorKind, LockName};

use super::failure::{Class, Failure};
use super::limit;
use super::may_write::refuse_stale;
use super::session::Session;
use super::statement::{Database, Statement};
use super::statements::Statements;
use super::values::Values;
use crate::error::{Blocked, Error, Result, Session as BlockingSession};
use crate::term::Term;

/// Raises the fence: afterwards no transaction of an older term can commit.
pub(crate) async fn raise<S: Session>(
    session: &mut S,
    statements: &Statements,
    term: &Term,
    limit: Duration,
) -> Result<()> {
    let began = Instant::now();
    session.finish_rollback().await.map_err(|failure| failure.error)?;
    if session.in_transaction() {
        let message = "the fence must be raised in transactions of its own, and one is open";
        return Err(leasehold_core::Error::invalid(message)
            .with_fix("use another connection, or end the transaction first")
            .for_lock(term.name())
            .into());
    }
    let mut saved = Vec::new();
    for query in limit::settings_of_session(S::DATABASE) {
        saved.extend(session.number(&query, Values::NONE).await.map_err(|failure| failure.error)?);
    }
    let mut raising = Raising { session: &mut *session, statements, term, began, limit };
    let raised = raising.run().await;
    match limit::restore(S::DATABASE, &saved) {
        Some(restore) => match session.run_script(&restore).await {
            Ok(()) => raised,
            Err(failure) => Err(not_restored(raised, failure, term.name())),
        },
        None => raised,
    }
}

/// A step of a raise is repeated until it succeeds.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// The statement changes and locks nothing.
    Read(&'a Statement),
    /// The statements run in a transaction of their own.
    Write(&'a [Statement]),
}

/// This is a raise in progress.
struct Raising<'a, S> {
    session: &'a mut S,
    statements: &'a Statements,
    term: &'a Term,
    began: Instant,
    limit: Duration,
}

impl<S: Session> Raising<'_, S> {
    async fn run(&mut self) -> Result<()> {
        let (statements, term) = (self.statements, self.term);
        let mut target = Values::of(term);
        if !statements.set_intent.is_empty() {
            target.floor = self.set_intent(target).await?;
            refuse_stale(term, Some(target.floor))?;
            // The row is locked only if it must change: transactions of this term may hold it.
            let raised = self.repeat(Step::Read(&statements.raised), target).await?;
            refuse_stale(term, raised)?;
            if raised.is_some_and(|raised| raised >= target.floor) {
                return Ok(());
            }
        }
        let raised = self.write(&statements.raise, target).await?;
        refuse_stale(term, Some(raised))
    }

    /// Sets the intent, and returns it: it may be a larger one of another term.
    ///
    /// Checks at SERIALIZABLE on MySQL lock the intent, so writing it waits for the transactions of
    /// this term. There it is written only if it must change: a write that changes nothing would not
    /// reach the log either. On PostgreSQL no check locks it, and the write also waits until an
    /// earlier raise has reached a synchronous standby.
    async fn set_intent(&mut self, values: Values<'_>) -> Result<i64> {
        let statements = self.statements;
        if let (Database::MySql, Some(intent)) = (S::DATABASE, &statements.intent) {
            let found = self.repeat(Step::Read(intent), values).await?;
            if let Some(found) = found.filter(|found| *found >= values.floor) {
                return Ok(found);
            }
        }
        self.write(&statements.set_intent, values).await
    }

    async fn write(&mut self, statements: &[Statement], values: Values<'_>) -> Result<i64> {
        self.repeat(Step::Write(statements), values).await?.ok_or_else(|| {
            let message = "the fence's row was deleted while it was raised";
            leasehold_core::Error::new(ErrorKind::Corrupt, message)
                .with_fix("look for another program that deletes rows of this table")
                .for_lock(self.term.name())
                .into()
        })
    }

    /// Repeats a step until it succeeds or the time limit expires.
    async fn repeat(&mut self, step: Step<'_>, values: Values<'_>) -> Result<Option<i64>> {
        loop {
            let attempted = Instant::now();
            let failure = match self.attempt(step, values).await {
                Ok(number) => return Ok(number),
                Err(failure) => failure,
            };
            let waited = self.began.elapsed();
            match failure.class {
                Class::Limit | Class::Conflict if waited < self.limit => {}
                Class::Limit => return Err(self.blocked(waited).await),
                _ => return Err(raise_error(failure, self.term.name())),
            }
            self.session.pause(limit::pause_after(S::DATABASE, attempted.elapsed())).await;
        }
    }

    async fn attempt(
        &mut self,
        step: Step<'_>,
        values: Values<'_>,
    ) -> Result<Option<i64>, Failure> {
        let left = self.limit.saturating_sub(self.began.elapsed());
        if let Some(before) = limit::before_transaction(S::DATABASE, left) {
            self.session.run_script(&before).await?;
        }
        let first = limit::first_in_transaction(S::DATABASE, left);
        let statements = match step {
            // At SERIALIZABLE, MySQL locks what a transaction reads.
            Step::Read(statement) if first.is_none() => {
                return self.session.number(statement, values).await;
            }
            Step::Read(statement) => slice::from_ref(statement),
            Step::Write(statements) => statements,
        };
        let last = limit::before_commit(S::DATABASE, left);
        self.session.transact(first.as_deref(), statements, values, last.as_deref()).await
    }

    async fn blocked(&mut self, waited: Duration) -> Error {
        let mut sessions = Vec::new();
        for query in &self.statements.sessions {
            // A server may not show them, or not to this user, which does not change the outcome.
            let rows = self.session.texts(query, Values::of(self.term)).await.unwrap_or_default();
            sessions.extend(rows.iter().filter_map(|row| {
                let (id, description) = row.split_once('|')?;
                Some(BlockingSession::new(id.parse().ok()?, description))
            }));
            if !sessions.is_empty() {
                break;
            }
        }
        Error::Blocked(Blocked::new(self.term.name(), self.term.token(), waited, sessions))
    }
}

/// Describes a failure to raise a fence, which may be repeated.
fn raise_error(failure: Failure, name: &LockName) -> Error {
    let error = match failure.class {
        Class::Unanswered => {
            let message = "the fence may or may not have been raised";
            leasehold_core::Error::new(ErrorKind::OutcomeUnknown, message)
                .with_fix("raise it again")
                .with_source(failure.error)
        }
        Class::Conflict | Class::Limit | Class::Refused => failure.error,
    };
    let error = error.during("fence raise").for_lock(name);
    if failure.class == Class::Conflict { Error::Conflict(error) } else { Error::Datastore(error) }
}

/// Returns the error of a raise after which the session still has the raise's own settings, so that
/// the caller closes the connection.
fn not_restored(raised: Result<()>, failure: Failure, name: &LockName) -> Error {
    let outcome = match raised {
        Ok(()) => "the fence was raised".to_owned(),
        Err(error @ Error::Datastore(_)) => return error,
        Err(error) => error.to_string(),
    };
    let message = format!("{outcome}; then the connection's own settings could not be restored");
    leasehold_core::Error::new(ErrorKind::Unavailable, message)
        .with_fix("close the connection, and raise the fence again on another one")
        .with_source(failure.error)
        .during("fence raise")
        .for_lock(name)
        .into()
}

#[cfg(test)]
mod tests;
