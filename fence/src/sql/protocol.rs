//! A fence is opened and checked here, with any driver.

use leasehold_core::{ErrorKind, LockName, Namespace};

use super::failure::{Class, Failure};
use super::may_write::may_write;
use super::session::Session;
use super::statement::Database;
use super::statements::Statements;
use super::table::Table;
use super::values::Values;
use crate::error::{Error, Result};
use crate::schema::Schema;
use crate::term::Term;

/// Finds the tables, or creates them if that is allowed, and returns the statements on them.
///
/// The statements name the schema of each table, since the search path may differ between the
/// connections of a pool.
pub(crate) async fn open<S: Session>(
    session: &mut S,
    namespace: &Namespace,
    schema: Schema,
) -> Result<Statements> {
    session.finish_rollback().await.map_err(|failure| failure.error)?;
    if session.in_transaction() {
        // On MySQL, creating a table would commit the transaction.
        let message = "the fence's tables must be opened outside of a transaction, and one is open";
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
    let description = session.texts(&table.describe(S::DATABASE, namespace), Values::NONE).await;
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
        let message = "the fence was checked after a savepoint, and the check's lock would be \
                       released if that is rolled back";
        return Err(leasehold_core::Error::invalid(message)
            .with_fix("check first in the outermost transaction")
            .for_lock(term.name())
            .into());
    }
    let passed = session.number(&statements.check, Values::of(term)).await;
    match passed.map_err(|failure| check_error(failure, term.name()))? {
        Some(_) => Ok(()),
        None => refusal(session, statements, term).await,
    }
}

/// Returns the error that says why a check did not pass.
async fn refusal<S: Session>(session: &mut S, statements: &Statements, term: &Term) -> Result<()> {
    verify(session, statements, term).await?;
    // The fence was raised between the check and this read.
    let message = "the fence was raised during the check";
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
    let read = |failure| check_error(failure, term.name());
    let intent = match &statements.intent {
        Some(intent) => session.number(intent, Values::of(term)).await.map_err(read)?,
        None => None,
    };
    let raised = session.number(&statements.raised, Values::of(term)).await.map_err(read)?;
    may_write(term, intent, raised)
}

/// Describes a failure of a check, which writes nothing.
fn check_error(failure: Failure, name: &LockName) -> Error {
    let error = failure.error.during("fence check").for_lock(name);
    match failure.class {
        Class::Conflict | Class::Limit => Error::Conflict(error),
        Class::Refused | Class::Unanswered => Error::Datastore(error),
    }
}
