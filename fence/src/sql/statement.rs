//! A statement is a text with placeholders, and the values that they take.

use std::sync::Arc;

/// A fence knows these SQL databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Database {
    /// The database is PostgreSQL.
    Postgres,
    /// The database is MySQL or MariaDB.
    MySql,
    /// The database is SQLite.
    Sqlite,
}

/// A placeholder of a [`Statement`] takes one of these values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Parameter {
    /// It takes the name of the lock as text, and on MySQL as bytes, so that no character set
    /// matters.
    Name,
    /// It takes the term's floor, a 64-bit integer. The statements that raise the fence take the
    /// intent instead, as the statements that set it returned it.
    Floor,
    /// It takes the term's token, a 64-bit integer.
    Token,
}

/// A statement has a text and the values of its placeholders, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    database: Database,
    /// The text has `?` for every placeholder.
    template: Arc<str>,
    sql: Arc<str>,
    parameters: &'static [Parameter],
    returns_rows: bool,
}

impl Statement {
    /// Creates a statement that returns rows, from a text with `?` for every placeholder.
    pub(crate) fn query(
        database: Database,
        template: impl Into<Arc<str>>,
        parameters: &'static [Parameter],
    ) -> Self {
        let template: Arc<str> = template.into();
        let sql = render(database, &template, 1).into();
        Self { database, template, sql, parameters, returns_rows: true }
    }

    /// Creates a statement that returns no rows.
    pub(crate) fn command(
        database: Database,
        template: impl Into<Arc<str>>,
        parameters: &'static [Parameter],
    ) -> Self {
        Self { returns_rows: false, ..Self::query(database, template, parameters) }
    }

    /// Returns the text.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Returns what the placeholders take, in their order.
    #[must_use]
    pub fn parameters(&self) -> &'static [Parameter] {
        self.parameters
    }

    /// Returns whether the statement returns rows.
    #[must_use]
    pub fn returns_rows(&self) -> bool {
        self.returns_rows
    }

    /// Returns the statement with placeholders that are numbered from that number on.
    ///
    /// On MySQL placeholders have no numbers, and only their order counts.
    #[must_use]
    pub(crate) fn numbered_from(mut self, first: usize) -> Self {
        self.sql = render(self.database, &self.template, first).into();
        self
    }

    /// Returns a text that can be shared with a driver.
    #[cfg(any(feature = "sqlx-mysql", feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
    pub(crate) fn shared_sql(&self) -> Arc<str> {
        self.sql.clone()
    }

    /// Returns the parts of the text between the placeholders.
    #[cfg(any(
        test,
        feature = "diesel-mysql",
        feature = "diesel-postgres",
        feature = "diesel-sqlite"
    ))]
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &str> {
        self.template.split('?')
    }
}

/// Writes the database's placeholders.
fn render(database: Database, template: &str, first: usize) -> String {
    let mut sql = String::with_capacity(template.len() + 8);
    for (at, piece) in template.split('?').enumerate() {
        if at > 0 {
            let number = first + at - 1;
            match database {
                Database::Postgres => sql.push_str(&format!("${number}")),
                Database::Sqlite => sql.push_str(&format!("?{number}")),
                Database::MySql => sql.push('?'),
            }
        }
        sql.push_str(piece);
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETERS: &[Parameter] = &[Parameter::Name, Parameter::Token];

    #[test]
    fn each_database_gets_its_own_placeholders() {
        for (database, first, expected) in [
            (Database::Postgres, 1, "a = $1 AND b = $2"),
            (Database::Postgres, 4, "a = $4 AND b = $5"),
            (Database::Sqlite, 4, "a = ?4 AND b = ?5"),
            (Database::MySql, 4, "a = ? AND b = ?"),
        ] {
            let statement = Statement::query(database, "a = ? AND b = ?", PARAMETERS);
            assert_eq!(statement.numbered_from(first).sql(), expected);
        }
    }
}
