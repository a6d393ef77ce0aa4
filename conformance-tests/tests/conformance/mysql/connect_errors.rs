//! These cases cover errors when a store is opened.

use std::sync::Arc;

use leasehold::mysql::MySqlStore;
use leasehold::{Schema, url};
use leasehold_conformance::{Backend, CaseResult, Client, Failure, race};
use leasehold_core::{ErrorKind, LeaseId};
use sqlx::AssertSqlSafe;
use tokio::time::timeout;

use super::support::{LONG, fresh, name};
use super::tunnel::Tunnel;
use super::{MySql, options, pool, start};
use crate::fake_server::{FakeServer, ServerBehaviour};

pub(super) async fn a_wrong_password_is_denied_and_not_shown(backend: Arc<MySql>) -> CaseResult {
    let url = backend.url_of("root").replace(":secret@", ":wr0ngpassword@");
    let error = backend.connect(&url, &fresh()).await.expect_err("it is wrong");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(!format!("{error:?} {error}").contains("wr0ngpassword"), "{error:?}");
    Ok(())
}

pub(super) async fn a_missing_database_is_named_in_the_error(backend: Arc<MySql>) -> CaseResult {
    let url = format!("mysql://root:secret@{}/nowhere", backend.address());
    let error = backend.connect(&url, &fresh()).await.expect_err("the database does not exist");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.to_string().contains("/nowhere"), "{error}");
    Ok(())
}

pub(super) async fn schema_require_creates_no_missing_table(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    let options = options(&namespace, Schema::Require);
    for _ in 0..2 {
        let error = MySqlStore::connect(backend.url(), &options).await.expect_err("no table");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        assert!(error.to_string().contains(&format!("{namespace}_locks")), "{error}");
    }
    Ok(())
}

pub(super) async fn a_user_without_create_permission_is_denied(backend: Arc<MySql>) -> CaseResult {
    let (user, other) = (fresh(), fresh());
    // Permissions on one table of the database let a user choose it.
    backend.connect(backend.url(), &user).await?;
    let url = backend.user_of_table(&user).await?;
    let error = backend.connect(&url, &other).await.expect_err("it may not create");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.to_string().contains("GRANT"), "{error}");
    backend.clean(&user).await?;
    Ok(())
}

pub(super) async fn a_foreign_table_is_refused_and_not_changed(backend: Arc<MySql>) -> CaseResult {
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
            assert_eq!(rows, 1, "the table was not changed");
        }
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn a_read_only_user_is_denied_writes(backend: Arc<MySql>) -> CaseResult {
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

pub(super) async fn a_read_only_server_is_refused(backend: Arc<MySql>) -> CaseResult {
    backend.may_start_servers()?;
    let (_server, root) = start(backend.image, &[]).await?;
    let admin = pool(&root)?;
    let run = |sql: &'static str| sqlx::raw_sql(sql).execute(&admin);
    // The administrator may still write, but other users may not.
    run("CREATE USER app IDENTIFIED BY 'secret'; GRANT ALL ON leasehold.* TO app").await?;
    let url = root.replace("root:", "app:");
    let namespace = fresh();
    let store = MySqlStore::connect(&url, &options(&namespace, Schema::Create)).await?;
    let client = Client::new(Arc::new(store));
    let taken = client.acquire_free(&name("job"), LONG).await?;
    let settings = if backend.name() == "mysql" { "super_read_only" } else { "read_only" };
    for setting in ["read_only", settings] {
        sqlx::raw_sql(AssertSqlSafe(format!("SET GLOBAL {setting} = 1"))).execute(&admin).await?;
        for url in [&root, &url] {
            let error = backend.connect(url, &namespace).await.expect_err("it accepts no writes");
            assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
            assert!(error.to_string().contains("primary"), "{error}");
        }
        // The primary became a replica while the store was open, and another server may become the
        // primary.
        let request = client.options(LeaseId::new(), LONG);
        let acquired = client.store().acquire(&name("other"), &request).await;
        let released = client.store().release(&taken.name, taken.lease).await;
        for error in [acquired.expect_err("no writes"), released.expect_err("no writes")] {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(error.to_string().contains("primary"), "{error}");
        }
        assert!(client.get(&taken.name).await?.is_some(), "existing records can be read");
    }
    run("SET GLOBAL read_only = 0").await?;
    client.release_held(&taken).await?;
    Ok(())
}

pub(super) async fn a_server_that_is_not_mysql_is_refused(_: Arc<MySql>) -> CaseResult {
    // This greeting has an obsolete protocol version, in a message of the right length.
    let ancient = b"\x14\0\0\0\x099.0.0\0\x08\0\0\0abcdefgh\0";
    let fake_servers = [
        (ServerBehaviour::Says(ancient), ErrorKind::Invalid),
        (ServerBehaviour::Closes, ErrorKind::Unavailable),
        (ServerBehaviour::IsSilent, ErrorKind::Unavailable),
        // Both this server and a client of MySQL wait for the other one to send first.
        (ServerBehaviour::HTTP, ErrorKind::Unavailable),
        // As the beginning of a MySQL message, these announce more bytes than follow. They are
        // replies of Redis, and of PostgreSQL to a message that it does not understand.
        (ServerBehaviour::Says(b"-ERR unknown command\r\n"), ErrorKind::Unavailable),
        (ServerBehaviour::Says(b"E\0\0\0\x0cSFATAL\0\0"), ErrorKind::Unavailable),
    ];
    // Most of these take some time, so they run at the same time.
    race(fake_servers.map(|(behaviour, kind)| async move {
        let server = FakeServer::start(behaviour).await?;
        let url = format!("mysql://app:secret@{}/app", server.address());
        let error = timeout(LONG / 2, url::open(&url, &options(&fresh(), Schema::Create)))
            .await
            .map_err(|_| Failure::new("opening never ends"))?
            .expect_err("it cannot be opened");
        assert_eq!(error.kind(), kind, "{behaviour:?}: {error:?}");
        assert!(error.to_string().contains(&server.address()), "{error}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        Ok(())
    }))
    .await?;
    Ok(())
}

pub(super) async fn a_server_is_reached_over_its_socket_and_over_ipv6(
    backend: Arc<MySql>,
) -> CaseResult {
    let namespace = fresh();
    backend.connect(backend.url(), &namespace).await?;
    let (_, database) = backend.url().rsplit_once('/').expect("it names a database");
    let login = backend.url().rsplit_once('@').map_or("mysql://root", |(login, _)| login);
    let tunnel = Tunnel::to(backend.address()).await?;
    for location in [
        format!("/{database}?socket={}", tunnel.socket().display()),
        format!("[::1]:{}/{database}", tunnel.port()),
    ] {
        let client = backend.connect(&format!("{login}@{location}"), &namespace).await?;
        client.acquire_free(&name(&location), LONG).await?;
    }
    backend.clean(&namespace).await?;
    Ok(())
}
