//! This module checks that the tables exist, and creates those that do not.
//!
//! Every statement here is sent by the simple protocol, in one message: a pooler in transaction
//! mode may parse an unnamed statement on one of the server's sessions and run it on another, where
//! it then runs the statement of another client. No values are bound, so what the text contains is
//! either a namespace (`a` to `z`, `0` to `9` and `_`) or was quoted by the server.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::sql::Sql;
use super::{error_codes, pooler, table_check, tables};
use crate::sql::create::create;
use crate::sql::schema::{self, Column, VERSION};
use crate::{Error, ErrorKind, Namespace, OpenOptions, Result, Schema};

/// This program creates this version of the schema, which is also the newest that it can use.
const SCHEMA: u32 = 1;

/// The printed schema begins with these lines.
const HEADING: &str = "\
-- Version 1 of the schema. Each statement can be repeated.
-- Tables without a comment were created before the schema had a version, and have the columns of
-- version 1: the statements COMMENT ON TABLE are all that takes them to version 1.
-- ALTER TABLE adds the columns of queues to a table that was created without them.
";

/// This is a table of a namespace.
struct Table {
    /// The table has this name without its schema.
    name: String,
    columns: &'static [Column],
    /// Returns the statement that creates the table under a qualified name if it is missing.
    create: fn(&str) -> String,
}

impl Table {
    fn all(namespace: &Namespace) -> [Self; 2] {
        [
            Self {
                name: format!("{namespace}_locks"),
                columns: &tables::EXPECTED,
                create: tables::create,
            },
            Self {
                name: format!("{namespace}_instances"),
                columns: &tables::INSTANCE_COLUMNS,
                create: tables::create_instances,
            },
        ]
    }

    /// Returns the statements that create the table under that name and set its version.
    fn script(&self, name: &str) -> String {
        format!("{};\n{};\n", (self.create)(name), comment(name))
    }

    fn missing(&self) -> Error {
        schema::missing(&self.name)
    }
}

/// Returns the statement that states the version of a table.
fn comment(table: &str) -> String {
    format!("COMMENT ON TABLE {table} IS '{VERSION}{SCHEMA}'")
}

/// Returns the statements that an application's migrations may contain.
pub(super) fn text(namespace: &Namespace) -> String {
    let [locks, instances] = Table::all(namespace);
    let add = tables::add_columns(&locks.name);
    let (locks, instances) = (locks.script(&locks.name), instances.script(&instances.name));
    format!("{HEADING}{locks}{add};\n{instances}")
}

/// Makes sure that the server can be used and that the tables are there; it writes nothing, and
/// needs no right to create, where they are.
///
/// The returned statements name the schema of each table, since the search path may differ between
/// the connections of a pool, and between the sessions behind a pooler.
///
/// A table that an earlier version created lacks the columns of queues. They are added if that is
/// allowed; otherwise the store works without them.
pub(super) async fn open(
    connection: &mut PgConnection,
    options: &OpenOptions,
    connect: &PgConnectOptions,
) -> Result<Sql> {
    check_server(connection).await?;
    pooler::check(connection, connect).await?;
    let [locks, instances] = Table::all(&options.namespace);
    let (name, has_queues) = find_schema(connection, &locks, options.schema).await?;
    let has_queues = has_queues || add_queues(connection, &locks, &name, options.schema).await?;
    let (instances, _) = find_schema(connection, &instances, options.schema).await?;
    Ok(Sql::new(&options.namespace, name, instances, has_queues))
}

/// Adds the columns of queues to the table with that qualified name, and returns whether it has them.
///
/// While this waits for the table, the statements of all others wait for this. So it waits for a
/// short time only. The setting ends with the transaction, also behind a pooler.
async fn add_queues(
    connection: &mut PgConnection,
    table: &Table,
    qualified: &str,
    allowed: Schema,
) -> Result<bool> {
    let add = tables::add_columns(qualified);
    let mut error = None;
    if allowed != Schema::Require {
        // Several statements in one message are one transaction.
        let script = format!("SET LOCAL lock_timeout = '2s'; {}; {add}", one_at_a_time(table));
        error = create::<sqlx::Postgres>(connection, &script).await.err();
        // The name was quoted by the server, and what it quotes may contain these.
        let literal = format!("E'{}'", qualified.replace('\\', "\\\\").replace('\'', "''"));
        if let Some((_, true)) = find(connection, table, &literal).await? {
            return Ok(true);
        }
    }
    tracing::warn!(
        error = error.as_ref().map(tracing::field::display),
        "the table {qualified} has no columns kind and queue as leasehold creates them, so that the \
         store has exclusive locks only; to add them, run: {add}"
    );
    Ok(false)
}

/// Finds or creates the table, and returns its qualified name, and whether it has the columns of
/// queues.
async fn find_schema(
    connection: &mut PgConnection,
    table: &Table,
    allowed: Schema,
) -> Result<(String, bool)> {
    let name = &table.name;
    if let Some(found) = find(connection, table, &format!("'{name}'")).await? {
        return Ok(found);
    }
    if allowed == Schema::Require {
        return Err(table.missing());
    }
    let here = format!(
        "SELECT quote_ident(current_schema()) || '.{name}' AS qualified, \
             quote_literal(quote_ident(current_schema()) || '.{name}') AS literal"
    );
    let row = one(connection, here).await?;
    let missing_schema =
        || Error::invalid(error_codes::NO_SCHEMA).with_fix(error_codes::SET_SEARCH_PATH);
    let of = |column| row.try_get::<Option<String>, _>(column).map_err(error_codes::not_written);
    let qualified = of("qualified")?.ok_or_else(missing_schema)?;
    let literal = of("literal")?.ok_or_else(missing_schema)?;
    let created = create_table(connection, table, &qualified).await;
    match find(connection, table, &literal).await? {
        // Another process created it, and this user may not set its comment.
        Some(found) => Ok(found),
        None => Err(created.err().unwrap_or_else(|| table.missing())),
    }
}

async fn check_server(connection: &mut PgConnection) -> Result<()> {
    let query = "SELECT current_setting('server_encoding') AS encoding, \
             pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only";
    let row = one(connection, query.to_owned()).await?;
    let encoding: String = row.try_get("encoding").map_err(error_codes::not_written)?;
    if encoding != "UTF8" {
        let message = format!("the database encoding {encoding} cannot store every name");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_fix("use a database that was created with ENCODING 'UTF8'"));
    }
    if row.try_get("read_only").map_err(error_codes::not_written)? {
        return Err(Error::new(ErrorKind::Denied, error_codes::READ_ONLY)
            .with_fix(error_codes::USE_PRIMARY));
    }
    Ok(())
}

/// Returns the statement with which starters queue for an advisory lock, since `IF NOT EXISTS` alone
/// is not safe against others who create the same.
fn one_at_a_time(table: &Table) -> String {
    format!("SELECT pg_advisory_xact_lock(hashtext('leasehold'), hashtext('{}'))", table.name)
}

async fn create_table(connection: &mut PgConnection, table: &Table, qualified: &str) -> Result<()> {
    // Several statements in one message are one transaction.
    let script = format!("{}; {}", one_at_a_time(table), table.script(qualified));
    create::<sqlx::Postgres>(connection, &script).await
}

/// Returns the qualified name of the table if it exists, and whether it has the columns of queues, or
/// an error if it is not one of Leasehold's.
///
/// `literal` is the table's name as an SQL literal, qualified or resolved by the search path.
async fn find(
    connection: &mut PgConnection,
    table: &Table,
    literal: &str,
) -> Result<Option<(String, bool)>> {
    let query = table_check::query(literal);
    let rows = all(connection, query).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let name = &table.name;
    let difference =
        table_check::difference(&rows, table.columns).map_err(error_codes::not_written)?;
    if let Some(difference) = difference {
        return Err(schema::differs(name, &difference));
    }
    let comment: Option<String> = first.try_get("comment").map_err(error_codes::not_written)?;
    schema::check_version(name, &comment.unwrap_or_default(), SCHEMA)?;
    let of: String = first.try_get("schema").map_err(error_codes::not_written)?;
    let has_queues = table_check::has_queues(&rows).map_err(error_codes::not_written)?;
    Ok(Some((format!("{of}.{name}"), has_queues)))
}

async fn all(connection: &mut PgConnection, query: String) -> Result<Vec<PgRow>> {
    sqlx::raw_sql(AssertSqlSafe(query))
        .fetch_all(connection)
        .await
        .map_err(error_codes::not_written)
}

async fn one(connection: &mut PgConnection, query: String) -> Result<PgRow> {
    let rows = all(connection, query).await?;
    rows.into_iter().next().ok_or_else(|| error_codes::not_written(sqlx::Error::RowNotFound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_namespace_is_safe_in_a_statement() {
        for refused in ["a'b", "a\"b", "a b", "a;b", "a\\b", "a.b", "a\0", "A", "é", "$a", "-", ""]
        {
            assert!(Namespace::new(refused).is_err(), "{refused:?}");
        }
        for accepted in ["a", "z_9", &"a".repeat(32)] {
            for table in Table::all(&Namespace::new(accepted).unwrap()) {
                let safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                assert!(table.name.bytes().all(safe) && table.name.len() < 64, "{}", table.name);
            }
        }
    }

    #[test]
    fn the_printed_text_says_how_a_table_gets_its_version() {
        let text = text(&Namespace::new("billing").unwrap());
        for table in ["billing_locks", "billing_instances"] {
            let comment = format!("COMMENT ON TABLE {table} IS 'leasehold schema 1';\n");
            assert!(text.contains(&comment), "{text}");
        }
        let add = "ALTER TABLE billing_locks ADD COLUMN IF NOT EXISTS kind text, ";
        assert!(text.contains(add), "{text}");
        assert!(text.starts_with("-- "), "{text}");
    }
}
