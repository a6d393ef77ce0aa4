//! What is particular to MySQL and MariaDB.

use std::sync::Arc;
use std::time::Duration;

use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::{Backend, CaseResult, Client, OwnCase, spawn};
use leasehold_core::{ErrorKind, LeaseId, LockName, Namespace, ReleaseOutcome, RenewOptions};
use leasehold_core::{RenewOutcome, Result};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::sleep;

use super::{MySql, options};

macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        /// The cases, each with its name.
        pub(crate) const CASES: &[OwnCase<MySql>] = &[
            $((concat!("own::", stringify!($case)), |backend| Box::pin($case(backend)))),+
        ];
    };
}

cases![
    a_wrong_password_is_denied_and_not_shown,
    a_missing_database_is_named,
    a_missing_table_is_not_created_when_it_is_required,
    a_user_who_may_not_create_is_told_so,
    a_foreign_table_is_left_alone,
    a_damaged_row_costs_only_its_own_name,
    a_wait_revives_no_lease,
    settings_of_the_session_do_no_harm,
];

/// Longer than a case takes.
const LONG: Duration = Duration::from_secs(100);

/// A namespace that no other case uses.
fn fresh() -> Namespace {
    Namespace::new(format!("own_{:016x}", fastrand::u64(..))).expect("it is one")
}

fn name(name: &str) -> LockName {
    LockName::new(name).expect("it is one")
}

impl MySql {
    async fn connect(&self, url: &str, namespace: &Namespace) -> Result<Client> {
        let store = MySqlStore::connect(url, &options(namespace, Schema::Create)).await?;
        Ok(Client::new(Arc::new(store)))
    }
}

async fn a_wrong_password_is_denied_and_not_shown(backend: Arc<MySql>) -> CaseResult {
    let url = backend.url_of("root").replace(":secret@", ":wr0ngpassword@");
    let error = backend.connect(&url, &fresh()).await.expect_err("it is wrong");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(!format!("{error:?} {error}").contains("wr0ngpassword"), "{error:?}");
    Ok(())
}

async fn a_missing_database_is_named(backend: Arc<MySql>) -> CaseResult {
    let url = format!("mysql://root:secret@{}/nowhere", backend.address());
    let error = backend.connect(&url, &fresh()).await.expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.to_string().contains("/nowhere"), "{error}");
    Ok(())
}

async fn a_missing_table_is_not_created_when_it_is_required(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    let options = options(&namespace, Schema::Require);
    for _ in 0..2 {
        let error = MySqlStore::connect(backend.url(), &options).await.expect_err("no table");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        assert!(error.to_string().contains(&format!("{namespace}_locks")), "{error}");
    }
    Ok(())
}

async fn a_user_who_may_not_create_is_told_so(backend: Arc<MySql>) -> CaseResult {
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

async fn a_foreign_table_is_left_alone(backend: Arc<MySql>) -> CaseResult {
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

async fn a_damaged_row_costs_only_its_own_name(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let sound = client.take(&name("sound"), LONG).await?;
    let damages = ["token = -7", "holder = 'no JSON'", "holder = NULL", "lease = 'x'"];
    for (number, damage) in damages.into_iter().enumerate() {
        let job = name(&format!("job {number}"));
        let taken = client.take(&job, LONG).await?;
        backend
            .execute(format!("UPDATE {namespace}_locks SET {damage} WHERE name = '{job}'"))
            .await?;
        let told =
            [client.get(&job).await.err(), client.acquire(&job, LeaseId::new(), LONG).await.err()];
        for error in told {
            let error = error.expect("it is told");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}: {error:?}");
            assert!(error.to_string().contains(job.as_str()), "{damage}: {error}");
        }
        let batch = [&taken, &sound].map(|taken| RenewOptions {
            name: taken.name.clone(),
            lease: taken.lease,
            ttl: LONG,
        });
        let renewed = client.store().renew(&batch).await?;
        assert!(matches!(renewed[1], RenewOutcome::Extended { .. }), "{damage}: {renewed:?}");
    }
    backend.clean(&namespace).await?;
    Ok(())
}

async fn a_wait_revives_no_lease(backend: Arc<MySql>) -> CaseResult {
    let job = name("job");
    for releases in [false, true] {
        let namespace = fresh();
        let client = backend.connect(backend.url(), &namespace).await?;
        let taken = client.take(&job, Duration::from_millis(1500)).await?;
        let mut transaction = backend.admin().begin().await?;
        let lock = format!("SELECT 1 FROM {namespace}_locks WHERE name = 'job' FOR UPDATE");
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
        let locked = spawn(async move {
            sleep(Duration::from_millis(2500)).await;
            transaction.rollback().await?;
            Ok(())
        });
        if releases {
            let released = client.release(&job, taken.lease).await?;
            assert_eq!(released, ReleaseOutcome::NotHeld);
        } else {
            let renewed = client.renew(&job, taken.lease, LONG).await?;
            assert_eq!(renewed, RenewOutcome::Lost, "it was in force when the wait began only");
        }
        locked.join().await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}

async fn settings_of_the_session_do_no_harm(backend: Arc<MySql>) -> CaseResult {
    for setting in [
        "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,NO_UNSIGNED_SUBTRACTION'".to_owned(),
        "sql_mode = '', time_zone = '-11:30'".to_owned(),
        "NAMES latin1".to_owned(),
        "SESSION transaction_isolation = 'SERIALIZABLE'".to_owned(),
        "SESSION transaction_isolation = 'READ-UNCOMMITTED', sql_safe_updates = 1".to_owned(),
    ] {
        let namespace = fresh();
        let set = format!("SET {setting}");
        let pool = MySqlPoolOptions::new().max_connections(3).after_connect(move |session, _| {
            let set = set.clone();
            Box::pin(async move {
                session.execute(sqlx::raw_sql(AssertSqlSafe(set))).await?;
                Ok(())
            })
        });
        let pool = pool.connect(backend.url()).await?;
        let store = MySqlStore::from_pool(pool, &options(&namespace, Schema::Create)).await?;
        let client = Client::new(Arc::new(store));
        let job = name("jöb 🚧");
        let lease = LeaseId::new();
        let first = granted(client.acquire(&job, lease, LONG).await?);
        let again = granted(client.acquire(&job, lease, LONG).await?);
        assert_eq!(first.token, again.token, "{setting}");
        assert!(again.left <= LONG && again.left > LONG / 2, "{setting}: {:?}", again.left);
        let left = extended(client.renew(&job, lease, LONG).await?);
        assert!(left <= LONG, "{setting}");
        client.disable(&job, "größer 🚧").await?;
        let plain = backend.connect(backend.url(), &namespace).await?;
        let record = plain.get(&job).await?.expect("it is there");
        assert_eq!(
            record.disabled.map(|d| d.reason.as_str().to_owned()).as_deref(),
            Some("größer 🚧")
        );
        assert_eq!(client.release(&job, lease).await?, ReleaseOutcome::Released);
        client.enable(&job).await?;
        let next = client.take(&job, LONG).await?;
        assert!(next.token > first.token, "{setting}");
        backend.clean(&namespace).await?;
    }
    Ok(())
}
