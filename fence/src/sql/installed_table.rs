//! A table is found in a database, or created there.

use leasehold_core::{Error, Namespace};

use super::description::find;
use super::statement::{Database, Statement};
use super::table::Table;

impl Table {
    /// Returns the script with which a program creates the table.
    pub(crate) fn script(self, database: Database, namespace: &Namespace) -> String {
        let create = self.create(database, namespace);
        match database {
            // Programs that start at the same moment run this one after the other, because with
            // `IF NOT EXISTS` alone one of them could fail. One message is one transaction.
            Database::Postgres => format!(
                "SELECT pg_advisory_xact_lock(hashtext('leasehold'), hashtext('{}'));\n{create}",
                self.name(namespace)
            ),
            Database::MySql | Database::Sqlite => create.trim_end_matches(['\n', ';']).to_owned(),
        }
    }

    /// Returns the query that describes the table, a text in each row; there are no rows if it does
    /// not exist.
    ///
    /// The rows are `schema=` (quoted; `main` on SQLite, where the name alone would be that of a
    /// temporary table if there is one), `kind=`, `comment=`, and for each column
    /// `column=` with its name, type, collation, `not null`, `default` and `key`, separated by `|`.
    /// The last three are empty where they do not apply.
    ///
    /// An unlogged table of PostgreSQL is of another kind: it is empty after a crash, and a term
    /// that is over could raise its fence again.
    pub(crate) fn describe(self, database: Database, namespace: &Namespace) -> Statement {
        let table = self.name(namespace);
        let template = match database {
            Database::Postgres => format!(
                "SELECT d.line FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
                 CROSS JOIN LATERAL ( \
                     SELECT 'schema=' || quote_ident(n.nspname) AS line \
                     UNION ALL SELECT 'kind=' || CASE WHEN c.relkind NOT IN ('r', 'p') \
                         THEN 'not a table' WHEN c.relpersistence = 't' \
                         THEN 'a temporary table' WHEN c.relpersistence = 'u' \
                         THEN 'an unlogged table' ELSE 'a table' END \
                     UNION ALL SELECT 'comment=' || coalesce(obj_description(c.oid, 'pg_class'), '') \
                     UNION ALL SELECT concat_ws('|', 'column=' || a.attname::text, \
                         format_type(a.atttypid, a.atttypmod), coalesce(o.collname::text, ''), \
                         CASE WHEN a.attnotnull THEN 'not null' ELSE '' END, \
                         CASE WHEN a.atthasdef OR a.attidentity <> '' THEN 'default' ELSE '' END, \
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
                let is_this = |of: &str| {
                    format!("{of}.table_schema = DATABASE() AND {of}.table_name = '{table}'")
                };
                let tables = format!("FROM information_schema.tables AS t WHERE {}", is_this("t"));
                format!(
                    "SELECT CAST(CONCAT('schema=`', REPLACE(t.table_schema, '`', '``'), '`') \
                         AS BINARY) AS line {tables} \
                     UNION ALL SELECT CAST(CONCAT('kind=', COALESCE(t.engine, 'no engine')) \
                         AS BINARY) {tables} \
                     UNION ALL SELECT CAST(CONCAT('comment=', COALESCE(t.table_comment, '')) \
                         AS BINARY) {tables} \
                     UNION ALL SELECT CAST(CONCAT_WS('|', CONCAT('column=', c.column_name), \
                         c.column_type, '', IF(c.is_nullable = 'NO', 'not null', ''), \
                         IF(c.column_default IS NOT NULL OR c.extra <> '', 'default', ''), \
                         IF(c.column_key = 'PRI' AND NOT EXISTS ( \
                             SELECT 1 FROM information_schema.statistics AS s \
                             WHERE s.table_schema = c.table_schema \
                                 AND s.table_name = c.table_name AND s.index_name = 'PRIMARY' \
                                 AND (s.column_name <> c.column_name OR s.sub_part IS NOT NULL)), \
                             'key', '')) AS BINARY) \
                     FROM information_schema.columns AS c WHERE {}",
                    is_this("c")
                )
            }
            Database::Sqlite => format!(
                "SELECT 'schema=main' AS line FROM main.sqlite_schema WHERE name = '{table}' \
                 UNION ALL SELECT 'kind=' || type || iif(wr, ' without rowid', '') \
                     || iif(strict, ' strict', '') \
                     FROM pragma_table_list('{table}') WHERE schema = 'main' \
                 UNION ALL SELECT 'comment=' || coalesce(sql, '') FROM main.sqlite_schema \
                     WHERE name = '{table}' \
                 UNION ALL SELECT 'column=' || x.name || '|' || x.type || '|' \
                     || iif(x.pk = 1, coalesce((SELECT i.coll \
                         FROM pragma_index_list('{table}', 'main') AS l \
                         JOIN pragma_index_xinfo(l.name, 'main') AS i \
                         WHERE l.origin = 'pk' AND i.seqno = 0), ''), '') || '|' \
                     || iif(x.\"notnull\", 'not null', '') || '|' \
                     || iif(x.dflt_value IS NOT NULL OR x.hidden <> 0, 'default', '') || '|' \
                     || iif(x.pk = 1 AND NOT EXISTS (SELECT 1 FROM \
                         pragma_table_xinfo('{table}', 'main') AS y WHERE y.pk > 1), 'key', '') \
                     FROM pragma_table_xinfo('{table}', 'main') AS x"
            ),
        };
        Statement::query(database, template, &[])
    }

    /// Returns the table's name with its schema, from its description, or `None` if the table does
    /// not exist.
    ///
    /// # Errors
    /// It fails as [`find`] does.
    pub(crate) fn find(
        self,
        database: Database,
        namespace: &Namespace,
        description: &[String],
    ) -> Result<Option<String>, Error> {
        find(database, &self.name(namespace), description)
    }

    /// Returns the error for a table that is missing and may not be created.
    pub(crate) fn missing(self, namespace: &Namespace) -> Error {
        Error::invalid(format!("the table \"{}\" is missing", self.name(namespace)))
            .with_fix("allow leasehold to create it, or apply the schema that it prints")
    }
}

#[cfg(test)]
mod tests {
    use super::super::description::expected;
    use super::super::table::schema;
    use super::*;

    #[test]
    fn the_columns_expected_are_those_created() {
        for database in [Database::Postgres, Database::MySql, Database::Sqlite] {
            let created = schema(database, &Namespace::default());
            for (name, kind, _) in expected(database).1 {
                assert!(created.contains(&format!("    {name} {kind}")), "{created}");
            }
            assert!(created.contains("leasehold schema 1"), "{created}");
        }
    }
}
