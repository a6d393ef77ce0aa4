//! Checks that a table has the form that Leasehold creates. Additional columns are allowed, since a
//! later version may add some.

use sqlx::sqlite::SqliteConnection;

use crate::sql::schema::{self, Column, FoundColumn};

/// Returns the first difference from what is expected, if any.
pub(super) async fn difference(
    connection: &mut SqliteConnection,
    table: &str,
    expected: &[Column],
) -> sqlx::Result<Option<String>> {
    let options: Option<(String, bool, bool)> =
        sqlx::query_as("SELECT type, wr, strict FROM pragma_table_list(?1) WHERE schema = 'main'")
            .bind(table)
            .fetch_optional(&mut *connection)
            .await?;
    match options {
        Some((kind, true, true)) if kind == "table" => {}
        _ => return Ok(Some("it is not a STRICT, WITHOUT ROWID table".to_owned())),
    }
    let columns: Vec<(String, String, bool, bool, i64)> = sqlx::query_as(
        "SELECT name, type, \"notnull\", dflt_value IS NOT NULL OR hidden <> 0, pk \
         FROM pragma_table_xinfo(?1)",
    )
    .bind(table)
    .fetch_all(&mut *connection)
    .await?;
    let key = expected.first().map_or("", |(name, ..)| name);
    let is_key = |(name, _, _, _, position): &(String, String, bool, bool, i64)| {
        (name == key) == (*position == 1) && *position <= 1
    };
    if !columns.iter().all(is_key) {
        return Ok(Some(format!("its {key}s alone are not its primary key")));
    }
    let found = columns.into_iter().map(|(name, kind, filled, given, _)| FoundColumn {
        name,
        kind,
        filled,
        given,
        wrong: None,
    });
    if let Some(difference) = schema::difference(found, expected) {
        return Ok(Some(difference));
    }
    let collation: Option<String> = sqlx::query_scalar(
        "SELECT x.coll FROM pragma_index_list(?1) AS l JOIN pragma_index_xinfo(l.name) AS x \
         WHERE l.origin = 'pk' AND x.seqno = 0",
    )
    .bind(table)
    .fetch_optional(connection)
    .await?;
    Ok(match collation {
        Some(collation) if collation.eq_ignore_ascii_case("binary") => None,
        _ => Some(format!("its {key}s are not compared byte for byte")),
    })
}

/// Compares definitions. SQLite keeps a definition as it was written, and a migration may have a
/// different layout.
pub(super) fn same(left: &str, right: &str) -> bool {
    normalized_sql(left) == normalized_sql(right)
}

/// Returns the definition without the parts that do not matter.
fn normalized_sql(definition: &str) -> String {
    definition
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '"' | '`' | '[' | ']'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_comparison_ignores_whitespace_only() {
        assert!(same("CREATE INDEX a ON b (c)", "create index \"a\" ON b\n(c)"));
        assert!(!same("CREATE INDEX a ON b (c)", "CREATE INDEX a ON b (c DESC)"));
    }
}
