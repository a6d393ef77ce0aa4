//! Opens, raises and checks a fence, by whatever driver.

use std::slice;
use std::time::{Duration, Instant};

use leasehold_core::{ErrorKind, LockName, Namespace};

use super::failure::{Class, Failure};
use super::limit;
use super::session::Session;
use super::statement::{Database, Statement};
use super::statements::Statements;
use super::table::Table;
use super::values::Values;
use super::verdict::{not_stale, verdict};
use crate::error::{Blocked, Error, Result, Session as BlockingSession};
use crate::schema::Schema;
use crate::term::Term;

/// A step that fails sooner, as SQLite reports some conflicts at once, is repeated after this time.
const SHORTEST_ROUND: Duration = Duration::from_millis(5);

/// A statement without placeholders takes these values.
const NO_VALUES: Values<'static> = Values { name: "", floor: 0, token: 0 };

/// Finds the tables, or creates them if that is allowed, and returns the statements on them.
///
/// The statements name the schema of each table, since the search path may differ between the
/// connections of a pool.
pub(crate) async fn open<S: Session>(
    session: &mut S,
    namespace: &Namespace,
    schema: Schema,
) -> Result<Statements> {
    if session.in_transaction() {
        // On MySQL, creating the table would commit it.
        let message = "a fence's table is opened outside of a transaction, and this one is open";
        return Err(leasehold_core::Error::invalid(message)
            .with_fix("use another connection, or end the transaction first")
            .into());
    }
    let mut names = Vec::new();
    for table in Table::all(S::DATABASE) {
        names.push(find_or_create(session, *table, namespace, schema).await?);
    }
    let fence = names.first().map_or("", String::as_str);
    let intent = names.get(1).map_or("", String::as_str);
    Ok(Statements::on_tables(S::DATABASE, fence, intent, &Table::Fence.name(namespace)))
}

async fn find_or_create<S: Session>(
    session: &mut S,
    table: Table,
    namespace: &Namespace,
    schema: Schema,
) -> Result<String> {
    if let Some(found) = find(session, table, namespace).await? {
        return Ok(found);
    }
    if schema == Schema::Require {
        return Err(table.missing(namespace).into());
    }
    let created = session.run_script(&table.script(S::DATABASE, namespace)).await;
    match find(session, table, namespace).await? {
        // Another process created it, and this user may not set its comment.
        Some(found) => Ok(found),
        None => Err(created.err().map_or_else(|| table.missing(namespace), |it| it.error).into()),
    }
}

async fn find<S: Session>(
    session: &mut S,
    table: Table,
    namespace: &Namespace,
) -> Result<Option<String>> {
    let description = session.texts(&table.describe(S::DATABASE, namespace), NO_VALUES).await;
    let description = description.map_err(|failure| failure.error)?;
    Ok(table.find(S::DATABASE, namespace, &description)?)
}

/// Checks within the application's transaction that the term may write.
pub(crate) async fn check<S: Session>(
    session: &mut S,
    statements: &Statements,
    term: &Term,
) -> Result<()> {
    if !session.in_transaction() {
        let message = "the fence was checked outside a transaction, which protects nothing";
        return Err(leasehold_core::Error::invalid(message)
            .with_fix("begin one first, or use the guard in a single statement")
            .for_lock(term.name())
            .into());
    }
    if S::DATABASE == Database::Postgres && session.in_savepoint() {
        let message = "the fence was checked after a savepoint, which gives up the check's lock if \
                       it is rolled back";
        return Err(leasehold_core::Error::invalid(message)
            .with_fix("check first in the outermost transaction")
            .for_lock(term.name())
            .into());
    }
    let passed = session.number(&statements.check, values(term)).await;
    match passed.map_err(|failure| checking(failure, term.name()))? {
        Some(_) => Ok(()),
        None => refusal(session, statements, term).await,
    }
}

/// Says why a check did not pass.
async fn refusal<S: Session>(session: &mut S, statements: &Statements, term: &Term) -> Result<()> {
    verify(session, statements, term).await?;
    // It was raised after the check.
    let message = "the fence was raised at the same time";
    Err(Error::Conflict(
        leasehold_core::Error::new(ErrorKind::Unavailable, message)
            .with_fix("roll back, and run the transaction again")
            .for_lock(term.name()),
    ))
}

/// Reads, without a lock, whether the term may write now.
pub(crate) async fn verify<S: Session>(
    session: &mut S,
    statements: &Statements,
    term: &Term,
) -> Result<()> {
    let read = |failure| checking(failure, term.name());
    let intent = match &statements.intent {
        Some(intent) => session.number(intent, values(term)).await.map_err(read)?,
        None => None,
    };
    let raised = session.number(&statements.raised, values(term)).await.map_err(read)?;
    verdict(term, intent, raised)
}

/// Raises the fence: afterwards no transaction of an older term can commit.
pub(crate) async fn raise<S: Session>(
    session: &mut S,
    statements: &Statements,
    term: &Term,
    limit: Duration,
) -> Result<()> {
    let began = Instant::now();
    if session.in_transaction() {
        let message = "a fence is raised in transactions of its own, and this one is open";
        return Err(leasehold_core::Error::invalid(message)
            .with_fix("use another connection, or end the transaction first")
            .for_lock(term.name())
            .into());
    }
    let mut saved = Vec::new();
    for query in limit::of_session(S::DATABASE) {
        saved.extend(session.number(&query, NO_VALUES).await.map_err(|failure| failure.error)?);
    }
    let mut raising = Raising { session: &mut *session, statements, term, began, limit };
    let raised = raising.run().await;
    if let Some(restore) = limit::restore(S::DATABASE, &saved) {
        // A connection on which this fails will fail for its next user too.
        _ = session.run_script(&restore).await;
    }
    raised
}

/// A step of a raise is repeated until it succeeds.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// The statement changes and locks nothing.
    Read(&'a Statement),
    /// The statements run in a transaction of their own.
    Write(&'a [Statement]),
}

/// A fence that is being raised.
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
        let mut target = values(term);
        if !statements.set_intent.is_empty() {
            target.floor = self.set_intent(target).await?;
            not_stale(term, Some(target.floor))?;
            // The row is locked only if it must change: transactions of this term may hold it.
            let raised = self.repeat(Step::Read(&statements.raised), target).await?;
            not_stale(term, raised)?;
            if raised.is_some_and(|raised| raised >= target.floor) {
                return Ok(());
            }
        }
        let raised = self.write(&statements.raise, target).await?;
        not_stale(term, Some(raised))
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
            let message = "the fence's row vanished while it was raised";
            leasehold_core::Error::new(ErrorKind::Corrupt, message)
                .with_fix("look for another program that deletes rows of this table")
                .for_lock(self.term.name())
                .into()
        })
    }

    /// Repeats a step until it succeeds or the time limit expires.
    async fn repeat(&mut self, step: Step<'_>, values: Values<'_>) -> Result<Option<i64>> {
        loop {
            let tried = Instant::now();
            let failure = match self.attempt(step, values).await {
                Ok(number) => return Ok(number),
                Err(failure) => failure,
            };
            let waited = self.began.elapsed();
            match failure.class {
                Class::Limit | Class::Conflict if waited < self.limit => {}
                Class::Limit => return Err(self.blocked(waited).await),
                _ => return Err(raising(failure, self.term.name())),
            }
            self.session.pause(SHORTEST_ROUND.saturating_sub(tried.elapsed())).await;
        }
    }

    async fn attempt(
        &mut self,
        step: Step<'_>,
        values: Values<'_>,
    ) -> Result<Option<i64>, Failure> {
        let left = self.limit.saturating_sub(self.began.elapsed());
        if let Some(before) = limit::before(S::DATABASE, left) {
            self.session.run_script(&before).await?;
        }
        let first = limit::within(S::DATABASE, left);
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
            // A server may not tell it, or not to this user, which is not an error of its own.
            let rows = self.session.texts(query, values(self.term)).await.unwrap_or_default();
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

fn values(term: &Term) -> Values<'_> {
    Values { name: term.name().as_str(), floor: term.floor().into(), token: term.token().into() }
}

/// Describes a failure of a check, which writes nothing.
fn checking(failure: Failure, name: &LockName) -> Error {
    let error = failure.error.during("fence check").for_lock(name);
    match failure.class {
        Class::Conflict | Class::Limit => Error::Conflict(error),
        Class::Refused | Class::Unanswered => Error::Datastore(error),
    }
}

/// Describes a failure to raise a fence, which may be repeated.
fn raising(failure: Failure, name: &LockName) -> Error {
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
