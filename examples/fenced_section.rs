//! A critical section with a fence: the resource itself refuses whoever holds an older token.
//!
//! The first holder is paused between its check and its write, as a long garbage collection or a
//! suspended machine would do. Its lease runs out, a second holder writes, the first wakes and
//! writes too late. No lease can prevent that; one conditional update does.
//!
//! Each holder opens the store for itself, so it must be one that processes share.
//!
//! ```text
//! cargo run -p leasehold-examples --example fenced_section [STORE-URL]
//! ```

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use leasehold::{Client, FencingToken, Guard, OpenOptions, Reach, Settings};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

type AnyResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What the lock protects; here a table of some database that knows nothing of leases.
struct Page(SqlitePool);

impl Page {
    async fn open(folder: &Path) -> AnyResult<Self> {
        let file = SqliteConnectOptions::new().filename(folder.join("page.db"));
        let pool = SqlitePool::connect_with(file.create_if_missing(true)).await?;
        sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS page (id INTEGER PRIMARY KEY, text TEXT, token INTEGER);
             INSERT OR IGNORE INTO page VALUES (1, 'by nobody', 0);",
        )
        .execute(&pool)
        .await?;
        Ok(Self(pool))
    }

    /// Writes unless a newer holder has: check and write are one atomic statement.
    async fn write(&self, text: &str, token: FencingToken) -> AnyResult<bool> {
        let done = sqlx::query("UPDATE page SET text = ?1, token = ?2 WHERE token <= ?2")
            .bind(text)
            .bind(i64::from(token))
            .execute(&self.0)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// Enters the section, under a short lease so that the demonstration is short too.
async fn enter(url: &str) -> AnyResult<Guard> {
    let store = leasehold::url::open(url, &OpenOptions::default()).await?;
    if store.capabilities().reach == Reach::Process {
        return Err("only one process sees this store: use one that processes share".into());
    }
    let settings = Settings::new().ttl(Duration::from_secs(1));
    let client = Client::builder(store).settings(settings).build()?;
    Ok(client.lock("page")?.acquire(Duration::from_secs(20)).await?)
}

async fn paused_holder(url: &str, folder: &Path) -> AnyResult<()> {
    let page = Page::open(folder).await?;
    let guard = enter(url).await?;
    println!("first:  token {}, held: {}", guard.token(), guard.is_held());
    // Blocks the only thread of this instance: its heartbeats stop as well.
    std::thread::sleep(Duration::from_secs(3));
    println!("first:  wakes, held: {}", guard.is_held());
    // Whoever asks `is_held` stops here. This one asked just before it was paused.
    println!("first:  written: {}", page.write("by the first", guard.token()).await?);
    Ok(guard.release().await?)
}

async fn second_holder(url: &str, folder: &Path) -> AnyResult<()> {
    let page = Page::open(folder).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let guard = enter(url).await?;
    let written = page.write("by the second", guard.token()).await?;
    println!("second: token {}, written: {written}", guard.token());
    Ok(guard.release().await?)
}

#[tokio::main]
async fn main() -> AnyResult<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| {
        format!("sqlite:{}", std::env::temp_dir().join("leasehold-examples.db").display())
    });
    let folder = tempfile::tempdir()?;
    let (its_url, its_folder) = (url.clone(), folder.path().to_owned());
    let first = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(paused_holder(&its_url, &its_folder))
    });
    tokio::select! {
        ended = second_holder(&url, folder.path()) => ended?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    first.await??;
    let page = Page::open(folder.path()).await?;
    let text: String = sqlx::query_scalar("SELECT text FROM page").fetch_one(&page.0).await?;
    println!("the page was written {text}");
    Ok(())
}
