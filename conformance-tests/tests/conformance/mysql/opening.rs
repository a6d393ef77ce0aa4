//! What can be wrong when a store is opened.

use std::sync::Arc;

use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::{Backend, CaseResult};
use leasehold_core::ErrorKind;
use sqlx::AssertSqlSafe;

use super::own::fresh;
use super::{MySql, options};

pub(super) async fn a_wrong_password_is_denied_and_not_shown(backend: Arc<MySql>) -> CaseResult {
    let url = backend.url_of("root").replace(":secret@", ":wr0ngpassword@");
    let error = backend.connect(&url, &fresh()).await.expect_err("it is wrong");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(!format!("{error:?} {error}").contains("wr0ngpassword"), "{error:?}");
    Ok(())
}

pub(super) async fn a_missing_database_is_named(backend: Arc<MySql>) -> CaseResult {
    let url = format!("mysql://root:secret@{}/nowhere", backend.address());
    let error = backend.connect(&url, &fresh()).await.expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.to_string().contains("/nowhere"), "{error}");
    Ok(())
}

pub(super) async fn a_missing_table_is_not_created_when_it_is_required(
    backend: Arc<MySql>,
) -> CaseResult {
    let namespace = fresh();
    let options = options(&namespace, Schema::Require);
    for _ in 0..2 {
        let error = MySqlStore::connect(backend.url(), &options).await.expect_err("no table");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        assert!(error.to_string().contains(&format!("{namespace}_locks")), "{error}");
    }
    Ok(())
}

pub(super) async fn a_user_who_may_not_create_is_told_so(backend: Arc<MySql>) -> CaseResult {
    let (user, other) = (fresh(), fresh());
    // Rights to one table of the database let a user choose it.
    backend.connect(backend.url(), &user).await?;
    let url = backend.user_of_table(&user).await?;
    let error = backend.connect(&url, &other).await.expect_err("it may not create");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.to_string().contains("GRANT"), "{error}");
    backend.clean(&user).await?;
    Ok(())
}

pub(super) async fn a_foreign_table_is_left_alone(backend: Arc<MySql>) -> CaseResult {
    for (what, change) in [
        ("another's", "CREATE TABLE {} (name varchar(9)); INSERT INTO {} VALUES ('a')"),
        ("another engine", "{schema} ALTER TABLE {} ENGINE = MyISAM"),
        ("another type", "{schema} ALTER TABLE {} MODIFY name varchar(255) NOT NULL"),
        ("no key", "{schema} ALTER TABLE {} DROP PRIMARY KEY"),
        ("a column to fill", "{schema} ALTER TABLE {} ADD team int NOT NULL"),
        ("a column less", "{schema} ALTER TABLE {} DROP ending"),
    ] {
        let namespace = fresh();
        let table = format!("{namespace}_locks");
        let schema = MySqlStore::schema(&namespace)?;
        backend.execute(change.replace("{schema}", &schema).replace("{}", &table)).await?;
        for schema in [Schema::Create, Schema::Require] {
            let opened = MySqlStore::connect(backend.url(), &options(&namespace, schema)).await;
            let error = opened.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
            assert!(error.to_string().contains(&table), "{what}: {error}");
        }
        if what == "another's" {
            let query = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
            let rows: i64 = sqlx::query_scalar(query).fetch_one(backend.admin()).await?;
            assert_eq!(rows, 1, "it is as it was");
        }
        backend.clean(&namespace).await?;
    }
    Ok(())
}
