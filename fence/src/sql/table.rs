//! A namespace has these tables.

use leasehold_core::{Error, ErrorKind, Namespace};

use super::statement::{Database, Statement};

/// This text stands before the version of the schema in a comment or a definition.
const VERSION: &str = "leasehold schema ";

/// This program creates this version of the schema, which is also the newest that it can use.
const SCHEMA: u32 = 1;

/// A fence has a table of tokens, and on servers one of announcements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// The tokens, whose rows checks lock.
    Fence,
    /// The announcements, whose rows no check locks.
    Intent,
}

/// This is a column as the database describes it.
struct Column<'a> {
    name: &'a str,
    kind: &'a str,
    collation: &'a str,
    filled: bool,
    given: bool,
    key: bool,
}

impl Table {
    /// Returns the tables of a database. SQLite needs no announcements: it has one writer at a
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

    /// Returns the script with which a program creates the table.
    pub(crate) fn script(self, database: Database, namespace: &Namespace) -> String {
        let create = self.create(database, namespace);
        match database {
            // Programs that start at once queue here, since `IF NOT EXISTS` alone is not safe
            // against others that create the same. One message is one transaction.
            Database::Postgres => format!(
                "SELECT pg_advisory_xact_lock(hashtext('leasehold'), hashtext('{}'));\n{create}",
                self.name(namespace)
            ),
            Database::MySql | Database::Sqlite => create,
        }
    }

    /// Returns the query that describes the table, a text in each row; there are no rows if it does
    /// not exist.
    ///
    /// The rows are `schema=` (quoted, empty on SQLite), `kind=`, `comment=`, and for each column
    /// `column=` with its name, type, collation, `filled`, `given` and `key`, separated by `|`.
    pub(crate) fn describe(self, database: Database, namespace: &Namespace) -> Statement {
        let table = self.name(namespace);
        let template = match database {
            Database::Postgres => format!(
                "SELECT d.line FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
                 CROSS JOIN LATERAL ( \
                     SELECT 'schema=' || quote_ident(n.nspname) AS line \
                     UNION ALL SELECT 'kind=' || CASE WHEN c.relkind NOT IN ('r', 'p') \
                         THEN 'not a table' WHEN c.relpersistence = 't' \
                         THEN 'a temporary table' ELSE 'a table' END \
                     UNION ALL SELECT 'comment=' || coalesce(obj_description(c.oid, 'pg_class'), '') \
                     UNION ALL SELECT concat_ws('|', 'column=' || a.attname::text, \
                         format_type(a.atttypid, a.atttypmod), coalesce(o.collname::text, ''), \
                         CASE WHEN a.attnotnull THEN 'filled' ELSE '' END, \
                         CASE WHEN a.atthasdef OR a.attidentity <> '' THEN 'given' ELSE '' END, \
                         CASE WHEN EXISTS ( \
                             SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique \
                                 AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL \
                                 AND i.indnatts = 1 AND i.indkey[0] = a.attnum) \
                             THEN 'key' ELSE '' END) \
                     FROM pg_attribute AS a LEFT JOIN pg_collation AS o ON o.oid = a.attcollation \
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                 ) AS d WHERE c.oid = to_regclass('{table}')"
            ),
            Database::MySql => {
                let of = |of: &str| {
                    format!("{of}.table_schema = DATABASE() AND {of}.table_name = '{table}'")
                };
                let tables = format!("FROM information_schema.tables AS t WHERE {}", of("t"));
                format!(
                    "SELECT CAST(CONCAT('schema=`', REPLACE(t.table_schema, '`', '``'), '`') \
                         AS BINARY) AS line {tables} \
                     UNION ALL SELECT CAST(CONCAT('kind=', COALESCE(t.engine, 'no engine')) \
                         AS BINARY) {tables} \
                     UNION ALL SELECT CAST(CONCAT('comment=', COALESCE(t.table_comment, '')) \
                         AS BINARY) {tables} \
                     UNION ALL SELECT CAST(CONCAT_WS('|', CONCAT('column=', c.column_name), \
                         c.column_type, '', IF(c.is_nullable = 'NO', 'filled', ''), \
                         IF(c.column_default IS NOT NULL OR c.extra <> '', 'given', ''), \
                         IF(c.column_key = 'PRI' AND NOT EXISTS ( \
                             SELECT 1 FROM information_schema.statistics AS s \
                             WHERE s.table_schema = c.table_schema \
                                 AND s.table_name = c.table_name AND s.index_name = 'PRIMARY' \
                                 AND (s.column_name <> c.column_name OR s.sub_part IS NOT NULL)), \
                             'key', '')) AS BINARY) \
                     FROM information_schema.columns AS c WHERE {}",
                    of("c")
                )
            }
            Database::Sqlite => format!(
                "SELECT 'schema=' AS line FROM sqlite_schema WHERE name = '{table}' \
                 UNION ALL SELECT 'kind=' || type || iif(wr, ' without rowid', '') \
                     || iif(strict, ' strict', '') \
                     FROM pragma_table_list('{table}') WHERE schema = 'main' \
                 UNION ALL SELECT 'comment=' || coalesce(sql, '') FROM sqlite_schema \
                     WHERE name = '{table}' \
                 UNION ALL SELECT 'column=' || x.name || '|' || x.type || '|' \
                     || iif(x.pk = 1, coalesce((SELECT i.coll FROM pragma_index_list('{table}') AS l \
                         JOIN pragma_index_xinfo(l.name) AS i \
                         WHERE l.origin = 'pk' AND i.seqno = 0), ''), '') || '|' \
                     || iif(x.\"notnull\", 'filled', '') || '|' \
                     || iif(x.dflt_value IS NOT NULL OR x.hidden <> 0, 'given', '') || '|' \
                     || iif(x.pk = 1 AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo('{table}') \
                         AS y WHERE y.pk > 1), 'key', '') \
                     FROM pragma_table_xinfo('{table}') AS x"
            ),
        };
        Statement::query(database, template, &[])
    }

    /// Returns the table's name with its schema, from its description, or `None` if the table does
    /// not exist.
    ///
    /// # Errors
    /// This returns [`ErrorKind::Corrupt`] for a table that is not as this crate creates it, and
    /// [`ErrorKind::Unsupported`] for one of a newer version.
    pub(crate) fn find(
        self,
        database: Database,
        namespace: &Namespace,
        description: &[String],
    ) -> Result<Option<String>, Error> {
        let table = self.name(namespace);
        let of = |key| description.iter().find_map(|line| line.strip_prefix(key));
        let Some(schema) = of("schema=") else { return Ok(None) };
        check_version(&table, of("comment=").unwrap_or_default())?;
        let (kind, expected) = expected(database);
        let found = of("kind=").unwrap_or("missing");
        if !found.eq_ignore_ascii_case(kind) {
            return Err(differs(&table, &format!("it is {found}, not {kind}")));
        }
        let columns = description.iter().filter_map(|line| line.strip_prefix("column="));
        if let Some(difference) = difference(columns, &expected) {
            return Err(differs(&table, &difference));
        }
        let qualified = if schema.is_empty() { table } else { format!("{schema}.{table}") };
        Ok(Some(qualified))
    }

    /// Returns the error for a table that is missing and may not be created.
    pub(crate) fn missing(self, namespace: &Namespace) -> Error {
        Error::invalid(format!("the table \"{}\" is missing", self.name(namespace)))
            .with_fix("allow leasehold to create it, or apply the schema that it prints")
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

/// Returns the kind of the table and its columns: name, type, collation, and whether it is the key.
fn expected(database: Database) -> (&'static str, [(&'static str, &'static str, &'static str); 2]) {
    match database {
        Database::Postgres => ("a table", [("name", "text", "C"), ("token", "bigint", "")]),
        Database::MySql => ("InnoDB", [("name", "varbinary(255)", ""), ("token", "bigint", "")]),
        Database::Sqlite => {
            let kind = "table without rowid strict";
            (kind, [("name", "TEXT", "BINARY"), ("token", "INTEGER", "")])
        }
    }
}

/// Returns the first difference from what is expected. Additional columns are allowed, unless they
/// must be filled: a later version may add some.
fn difference<'a>(
    columns: impl Iterator<Item = &'a str>,
    expected: &[(&str, &str, &str)],
) -> Option<String> {
    let mut missing = expected.to_vec();
    for column in columns {
        let Column { name, kind, collation, filled, given, key } = parse(column);
        let known = missing.iter().position(|(expected, ..)| *expected == name);
        let Some((_, expected, collated)) = known.map(|at| missing.swap_remove(at)) else {
            if filled && !given {
                return Some(format!("its column {name} is NOT NULL without a default"));
            }
            continue;
        };
        // MariaDB shows a width, which means nothing.
        let kind = if kind == "bigint(20)" { "bigint" } else { kind };
        if !kind.eq_ignore_ascii_case(expected) {
            return Some(format!("its column {name} is {kind}, not {expected}"));
        }
        let same = collation.eq_ignore_ascii_case(collated) || collation == "POSIX";
        if !collated.is_empty() && !same {
            return Some(format!("its {name}s compare as {collation:?}, not as {collated:?}"));
        }
        if !filled {
            return Some(format!("its column {name} may be NULL"));
        }
        if name == "name" && !key {
            return Some("its names are not unique".to_owned());
        }
    }
    missing.first().map(|(name, ..)| format!("it has no column {name}"))
}

fn parse(column: &str) -> Column<'_> {
    let mut parts = column.split('|');
    let mut next = || parts.next().unwrap_or_default();
    Column {
        name: next(),
        kind: next(),
        collation: next(),
        filled: next() == "filled",
        given: next() == "given",
        key: next() == "key",
    }
}

fn differs(table: &str, difference: &str) -> Error {
    let message = format!("\"{table}\" is not as leasehold creates it: {difference}");
    Error::new(ErrorKind::Corrupt, message)
        .with_fix("compare it with the schema that leasehold prints, or use another namespace")
}

/// Refuses a table whose comment or definition states a newer version of the schema.
fn check_version(table: &str, stated: &str) -> Result<(), Error> {
    for stated in stated.split(VERSION).skip(1) {
        let end = stated.find(|c: char| !c.is_ascii_digit()).unwrap_or(stated.len());
        let version = &stated[..end];
        if version.is_empty() || version.parse().is_ok_and(|version: u32| version <= SCHEMA) {
            continue;
        }
        let message =
            format!("\"{table}\" has schema {version}, and this program knows {SCHEMA} at most");
        return Err(Error::new(ErrorKind::Unsupported, message).with_fix(
            "update this program: use a newer version of leasehold, or another namespace",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASES: [Database; 3] = [Database::Postgres, Database::MySql, Database::Sqlite];

    fn description(database: Database) -> Vec<String> {
        let (kind, [(name, text, collation), (token, number, _)]) = expected(database);
        vec![
            "schema=app".to_owned(),
            format!("kind={kind}"),
            "comment=leasehold schema 1".to_owned(),
            format!("column={name}|{text}|{collation}|filled||key"),
            format!("column={token}|{number}||filled||"),
        ]
    }

    fn find(database: Database, lines: &[String]) -> Result<Option<String>, Error> {
        Table::Fence.find(database, &Namespace::default(), lines)
    }

    #[test]
    fn the_columns_expected_are_those_created() {
        for database in DATABASES {
            let created = schema(database, &Namespace::default());
            for (name, kind, _) in expected(database).1 {
                assert!(created.contains(&format!("    {name} {kind}")), "{created}");
            }
            assert!(created.contains("leasehold schema 1"), "{created}");
        }
    }

    #[test]
    fn a_table_as_created_is_found_with_its_schema() {
        for database in DATABASES {
            assert_eq!(find(database, &[]).unwrap(), None);
            let found = find(database, &description(database)).unwrap();
            assert_eq!(found.as_deref(), Some("app.leasehold_fence"));
            let mut more = description(database);
            more.push("column=note|text||||".to_owned());
            assert!(find(database, &more).unwrap().is_some());
        }
    }

    #[test]
    fn a_table_that_differs_is_refused() {
        for database in DATABASES {
            for (at, line, expected) in [
                (1, "kind=something", "it is something"),
                (3, "column=name|integer||filled||key", "its column name is integer"),
                (3, "column=other|text||filled||", "its column other is NOT NULL"),
                (3, "column=other|text||||", "it has no column name"),
                (4, "column=token|text||filled||", "its column token is text"),
            ] {
                let mut lines = description(database);
                line.clone_into(&mut lines[at]);
                let error = find(database, &lines).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(error.to_string().contains(expected), "{error}");
            }
            let mut lines = description(database);
            lines[3] = lines[3].replace("key", "");
            assert!(find(database, &lines).unwrap_err().to_string().contains("not unique"));
            let mut lines = description(database);
            lines[2] = "comment=leasehold schema 2".to_owned();
            assert!(find(database, &lines).unwrap_err().is_unsupported());
        }
    }
}
