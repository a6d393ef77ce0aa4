//! These cases cover errors when a store is opened.

use std::error::Error as _;
use std::sync::Arc;

use leasehold::postgres::PostgresStore;
use leasehold::{Schema, url};
use leasehold_conformance::{Backend, CaseResult, Failure};
use leasehold_core::{Error, ErrorKind, LeaseId, Namespace};
use tokio::time::timeout;

use super::support::{LONG, fresh, name};
use super::{Postgres, options};
use crate::fake_server::{FakeServer, ServerBehaviour};

async fn refusal(url: &str, schema: Schema) -> Error {
    let opened = url::open(url, &options(&fresh(), schema)).await;
    opened.expect_err("it cannot be opened")
}

pub(super) async fn a_wrong_password_is_denied_and_not_shown(backend: Arc<Postgres>) -> CaseResult {
    let url = backend.url_of("postgres").replace(":secret@", ":wr0ngpassword@");
    let error = refusal(&url, Schema::Create).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(!format!("{error:?} {error}").contains("wr0ngpassword"), "{error:?}");
    Ok(())
}

pub(super) async fn a_missing_database_is_named_in_the_error(backend: Arc<Postgres>) -> CaseResult {
    let url = format!("postgres://postgres:secret@{}/nowhere", backend.address());
    let error = refusal(&url, Schema::Create).await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.to_string().contains("/nowhere"), "{error}");
    Ok(())
}

pub(super) async fn schema_require_creates_no_missing_table(backend: Arc<Postgres>) -> CaseResult {
    let namespace = fresh();
    let options = options(&namespace, Schema::Require);
    for _ in 0..2 {
        let error = PostgresStore::connect(backend.url(), &options).await.expect_err("no table");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        assert!(error.to_string().contains(&format!("{namespace}_locks")), "{error}");
    }
    Ok(())
}

pub(super) async fn a_user_without_create_permission_is_denied(
    backend: Arc<Postgres>,
) -> CaseResult {
    let (role, namespace) = (fresh(), fresh());
    backend.execute(format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'")).await?;
    let url = backend.url_of(role.as_str());
    let error = backend.connect(&url, &namespace).await.expect_err("it may not create");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.to_string().contains("GRANT"), "{error}");
    backend.execute(format!("DROP ROLE {role}")).await?;
    Ok(())
}

pub(super) async fn a_read_only_user_is_denied_writes(backend: Arc<Postgres>) -> CaseResult {
    let namespace = fresh();
    let full = backend.connect(backend.url(), &namespace).await?;
    full.acquire_free(&name("job"), LONG).await?;
    let url = backend.user_of_table(&namespace).await?;
    backend.execute(format!("REVOKE INSERT, UPDATE ON {namespace}_locks FROM {namespace}")).await?;
    let reader = backend.connect(&url, &namespace).await?;
    assert!(reader.get(&name("job")).await?.is_some());
    let refused = [
        reader.acquire(&name("other"), LeaseId::new(), LONG).await.err(),
        reader.renew(&name("job"), LeaseId::new(), LONG).await.err(),
        reader.release(&name("job"), LeaseId::new()).await.err(),
        reader.disable(&name("job"), "upkeep").await.err(),
        reader.enable(&name("job")).await.err(),
    ];
    for error in refused {
        let error = error.expect("it may not write");
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(error.to_string().contains("GRANT"), "{error}");
    }
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_read_only_session_is_refused(backend: Arc<Postgres>) -> CaseResult {
    let namespace = fresh();
    let full = backend.connect(backend.url(), &namespace).await?;
    let url = backend.url_with("options=-c%20default_transaction_read_only%3Don");
    let error = backend.connect(&url, &namespace).await.expect_err("it accepts no writes");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.to_string().contains("primary"), "{error}");
    // The primary became a replica while the store was open.
    let pool = super::pool(backend.url())?;
    let store =
        PostgresStore::from_pool(pool.clone(), &options(&namespace, Schema::Require)).await?;
    let client = leasehold_conformance::Client::new(Arc::new(store));
    let options = pool.connect_options().as_ref().clone();
    pool.set_connect_options(options.options([("default_transaction_read_only", "on")]));
    while pool.size() > 0 {
        drop(pool.acquire().await?.detach());
    }
    let error = client.acquire(&name("job"), LeaseId::new(), LONG).await.expect_err("no writes");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("primary"), "{error}");
    assert_eq!(full.get(&name("job")).await?, None);
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_foreign_table_is_refused_and_not_changed(
    backend: Arc<Postgres>,
) -> CaseResult {
    let sound = |namespace: &Namespace| PostgresStore::schema(namespace);
    for (what, change) in [
        ("another's", "CREATE TABLE {} (name text, token bigint); INSERT INTO {} VALUES ('a', 1)"),
        ("a view", "CREATE VIEW {} AS SELECT 'a' AS name"),
        ("another collation", "{schema} ALTER TABLE {} ALTER name TYPE text COLLATE \"default\""),
        ("another type", "{schema} ALTER TABLE {} ALTER expires_at TYPE numeric"),
        ("no key", "{schema} ALTER TABLE {} DROP CONSTRAINT {}_pkey"),
        ("a column to fill", "{schema} ALTER TABLE {} ADD team text NOT NULL"),
        ("a column less", "{schema} ALTER TABLE {} DROP ending"),
    ] {
        let namespace = fresh();
        let table = format!("{namespace}_locks");
        let change = change.replace("{schema}", &sound(&namespace)?).replace("{}", &table);
        backend.execute(change).await?;
        for schema in [Schema::Create, Schema::Require] {
            let opened = PostgresStore::connect(backend.url(), &options(&namespace, schema)).await;
            let error = opened.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
            assert!(error.to_string().contains(&table), "{what}: {error}");
        }
        if what == "another's" {
            let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            let rows: i64 = sqlx::query_scalar(query).fetch_one(backend.admin()).await?;
            assert_eq!(rows, 1, "the table was not changed");
        }
        let kind = if what == "a view" { "VIEW" } else { "TABLE" };
        backend.execute(format!("DROP {kind} {table}")).await?;
    }
    // Additional columns do no harm, unless an insert must give them a value.
    let namespace = fresh();
    backend
        .execute(format!(
            "{} ALTER TABLE {namespace}_locks ADD note text, \
                 ADD number bigint GENERATED ALWAYS AS IDENTITY, \
                 ADD length int GENERATED ALWAYS AS (length(name)) STORED NOT NULL",
            sound(&namespace)?
        ))
        .await?;
    backend.connect(backend.url(), &namespace).await?.acquire_free(&name("job"), LONG).await?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_database_with_another_encoding_is_refused(
    backend: Arc<Postgres>,
) -> CaseResult {
    let database = fresh();
    backend
        .execute(format!(
            "CREATE DATABASE {database} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
        ))
        .await?;
    let url = format!("postgres://postgres:secret@{}/{database}", backend.address());
    let error = refusal(&url, Schema::Create).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(error.to_string().contains("LATIN1"), "{error}");
    backend.execute(format!("DROP DATABASE {database} WITH (FORCE)")).await?;
    Ok(())
}

pub(super) async fn the_table_is_found_by_the_search_path(backend: Arc<Postgres>) -> CaseResult {
    let (schema, namespace) = (fresh(), fresh());
    let url = backend.url_with(&format!("options=-c%20search_path%3D{schema}"));
    let error = backend.connect(&url, &namespace).await.expect_err("the schema does not exist");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.to_string().contains("search_path"), "{error}");
    backend.execute(format!("CREATE SCHEMA {schema}")).await?;
    let (there, here) = (
        backend.connect(&url, &namespace).await?,
        backend.connect(backend.url(), &namespace).await?,
    );
    there.acquire_free(&name("job"), LONG).await?;
    here.acquire_free(&name("job"), LONG).await?;
    backend.execute(format!("DROP SCHEMA {schema} CASCADE")).await?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_server_that_is_not_postgresql_is_refused(_: Arc<Postgres>) -> CaseResult {
    // These are the greeting of MySQL and the replies of HTTP and Redis. The fake server first
    // refuses an encrypted connection with 'N', and it also ends one in the middle of a message.
    let mysql = b"\x4a\0\0\0\x0a8.4.0\0\x08\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15\0";
    let fake_servers = [
        (ServerBehaviour::Says(mysql), ErrorKind::Invalid),
        (ServerBehaviour::HTTP, ErrorKind::Invalid),
        (ServerBehaviour::Says(b"-ERR unknown command\r\n"), ErrorKind::Invalid),
        (ServerBehaviour::Says(b"N-ERR unknown command\r\n"), ErrorKind::Invalid),
        (ServerBehaviour::Says(b"NR\0\0\0\x05\0"), ErrorKind::Invalid),
        (ServerBehaviour::Closes, ErrorKind::Unavailable),
        (ServerBehaviour::IsSilent, ErrorKind::Unavailable),
    ];
    for (number, (behaviour, kind)) in fake_servers.into_iter().enumerate() {
        let server = FakeServer::start(behaviour).await?;
        let url = format!("postgres://app:secret@{}/app", server.address());
        let error = timeout(LONG / 2, refusal(&url, Schema::Create))
            .await
            .map_err(|_| Failure::new("opening never ends"))?;
        assert_eq!(error.kind(), kind, "{number}: {error:?}");
        assert!(error.to_string().contains(&server.address()), "{error}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        assert!(
            error.source().is_some() || matches!(behaviour, ServerBehaviour::IsSilent),
            "{error:?}"
        );
    }
    Ok(())
}
