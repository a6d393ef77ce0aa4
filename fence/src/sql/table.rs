//! A namespace has these tables in an SQL database.

use leasehold_core::Namespace;

use super::statement::Database;

/// This text stands before the version of the schema in a comment or a definition.
pub(crate) const VERSION: &str = "leasehold schema ";

/// This program creates this version of the schema, which is also the newest that it can use.
pub(crate) const SCHEMA: u32 = 1;

/// A fence has a table of tokens, and on servers one of intents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// This table has the tokens; checks lock its rows.
    Fence,
    /// This table has the intents; no check locks its rows.
    Intent,
}

impl Table {
    /// Returns the tables of a database. SQLite needs no intents: it has one writer at a
    /// time, so that a transaction which is refused delays nobody.
    pub(crate) fn all(database: Database) -> &'static [Self] {
        match database {
            Database::Postgres | Database::MySql => &[Self::Fence, Self::Intent],
            Database::Sqlite => &[Self::Fence],
        }
    }

    /// Returns the name of the table.
    pub(crate) fn name(self, namespace: &Namespace) -> String {
        match self {
            Self::Fence => format!("{namespace}_fence"),
            Self::Intent => format!("{namespace}_fence_intent"),
        }
    }

    /// Returns the statements that create the table if it is missing.
    pub(crate) fn create(self, database: Database, namespace: &Namespace) -> String {
        let table = self.name(namespace);
        match database {
            Database::Postgres => format!(
                "CREATE TABLE IF NOT EXISTS {table} (
    name text COLLATE \"C\" NOT NULL PRIMARY KEY,
    token bigint NOT NULL
);
COMMENT ON TABLE {table} IS '{VERSION}{SCHEMA}';
"
            ),
            Database::MySql => format!(
                "CREATE TABLE IF NOT EXISTS {table} (
    name varbinary(255) NOT NULL PRIMARY KEY,
    token bigint NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC COMMENT = '{VERSION}{SCHEMA}';
"
            ),
            Database::Sqlite => format!(
                "CREATE TABLE IF NOT EXISTS {table} (
    name TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
    token INTEGER NOT NULL /* {VERSION}{SCHEMA} */
) STRICT, WITHOUT ROWID;
"
            ),
        }
    }
}

/// Returns the statements that create a namespace's tables, for an application's migrations.
///
/// ```
/// use leasehold_fence::Namespace;
/// use leasehold_fence::sql::{Database, schema};
///
/// let text = schema(Database::Postgres, &Namespace::new("billing")?);
/// assert!(text.contains("CREATE TABLE IF NOT EXISTS billing_fence ("));
/// # Ok::<(), leasehold_core::Error>(())
/// ```
#[must_use]
pub fn schema(database: Database, namespace: &Namespace) -> String {
    let tables = Table::all(database).iter().map(|table| table.create(database, namespace));
    format!(
        "-- Version {SCHEMA} of the schema. Each statement can be repeated.\n{}",
        tables.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_table_of_intents() {
        let namespace = Namespace::default();
        let created = schema(Database::Postgres, &namespace);
        assert!(
            created.contains("leasehold_fence ") && created.contains("leasehold_fence_intent ")
        );
        assert!(!schema(Database::Sqlite, &namespace).contains("intent"));
    }
}
