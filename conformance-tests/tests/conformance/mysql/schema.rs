//! These cases cover the version of the schema, which is in the comment of the table of locks.

use std::sync::Arc;

use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::{Backend, CaseResult};
use leasehold_core::{ErrorKind, Namespace};
use sqlx::AssertSqlSafe;

use super::support::{LONG, fresh, name};
use super::{MySql, options};

async fn comment(backend: &MySql, namespace: &Namespace) -> CaseResult<String> {
    let query = format!(
        "SELECT CAST(table_comment AS CHAR) FROM information_schema.tables \
         WHERE table_schema = DATABASE() AND table_name = '{namespace}_locks'"
    );
    Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(backend.admin()).await?)
}

pub(super) async fn a_table_without_a_version_has_schema_1(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    let printed = MySqlStore::schema(&namespace)?;
    let unversioned = printed.replace("DYNAMIC COMMENT = 'leasehold schema 1'", "DYNAMIC");
    backend.execute(unversioned).await?;
    assert_eq!(comment(&backend, &namespace).await?, "");
    for schema in [Schema::Require, Schema::Create] {
        MySqlStore::connect(backend.url(), &options(&namespace, schema)).await?;
    }
    // The printed schema contains this statement.
    let named = printed.lines().find_map(|line| line.split_once("ALTER TABLE "));
    let (_, named) = named.expect("it is printed");
    backend.execute(format!("ALTER TABLE {named}")).await?;
    assert_eq!(comment(&backend, &namespace).await?, "leasehold schema 1");
    let client = backend.connect(backend.url(), &namespace).await?;
    client.acquire_free(&name("job"), LONG).await?;
    backend.clean(&namespace).await?;
    let client = backend.connect(backend.url(), &namespace).await?;
    assert_eq!(comment(&backend, &namespace).await?, "leasehold schema 1");
    client.acquire_free(&name("job"), LONG).await?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_later_schema_is_refused(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    backend.connect(backend.url(), &namespace).await?;
    backend
        .execute(format!("ALTER TABLE {namespace}_locks COMMENT = 'leasehold schema 2'"))
        .await?;
    for schema in [Schema::Require, Schema::Create] {
        let opened = MySqlStore::connect(backend.url(), &options(&namespace, schema)).await;
        let error = opened.expect_err("it is a later one");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        let text = error.to_string();
        assert!(text.contains("schema 2") && text.contains("update this program"), "{text}");
    }
    backend.clean(&namespace).await?;
    Ok(())
}
